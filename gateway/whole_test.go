package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/sim"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas/openai"
	"github.com/semantic-worker/semantic/worker"
)

// realWorker starts the product's own worker on a simulated engine, for "m".
func (b *bench) realWorker(o sim.Options) *engine.Engine {
	b.t.Helper()
	fatal := func(err error) {
		b.t.Helper()
		if err != nil {
			b.t.Fatal(err)
		}
	}
	o.Name = "m"
	backend, err := sim.New(o)
	fatal(err)
	e, err := engine.New(engine.Options{Backend: backend, Config: engine.DefaultConfig()})
	fatal(err)
	b.t.Cleanup(func() { _ = e.Close() })
	template, err := chat.Parse("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "m", "", "")
	fatal(err)
	w, err := worker.New(worker.Options{
		Queue: queuetest.Open(b.t, b.srv, unhurried), Engine: e, Template: template, Config: worker.DefaultConfig(),
		Identity: worker.Identity{ID: "w", Incarnation: "i", Host: "test", Release: "test"},
	})
	fatal(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.Run(ctx); err != nil {
			b.t.Errorf("the worker ended: %v", err)
		}
	}()
	b.t.Cleanup(func() {
		stop()
		<-ended
	})
	select {
	case <-w.Ready():
	case <-ended:
		b.t.Fatal("the worker ended before it was ready")
	}
	return e
}

func greedy(content string, stream bool) string {
	return strings.Replace(chatBody(content, stream), "{", `{"temperature":0,"max_tokens":40,`, 1)
}

// Requests cross the whole product but for the model: at temperature 0 a
// crowd's streams say what each request says alone.
func TestWholeWay(t *testing.T) {
	b := startBench(t)
	b.realWorker(sim.Options{Sequences: 8})

	const crowd = 8
	alone := make([]string, crowd)
	for i := range alone {
		var got openai.ChatCompletion
		decode(t, b.post(greedy(fmt.Sprintf("question %d", i), false)), &got)
		alone[i] = *got.Choices[0].Message.Content
		if alone[i] == "" || got.Usage.CompletionTokens == 0 || got.SystemFingerprint == "" {
			t.Fatalf("got %+v", got)
		}
	}
	var wg sync.WaitGroup
	for i, want := range alone {
		wg.Go(func() {
			events := newSSEReader(t, b.post(greedy(fmt.Sprintf("question %d", i), true)).Body).rest()
			if got := text(t, events); got != want {
				t.Errorf("question %d in a crowd: %q, alone: %q", i, got, want)
			}
		})
	}
	wg.Wait()
	eventually(t, "nothing is left", func() bool { return b.stored() == 0 })
}

// A client that leaves gives the engine its room back.
func TestDisconnectFreesTheEngine(t *testing.T) {
	b := startBench(t)
	// However slow the test: it talks until it is told to stop.
	e := b.realWorker(sim.Options{Sequences: 2, Words: 100_000, DecodeStep: 50 * time.Millisecond})
	free := e.Room()
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	resp, err := b.http.Client().Do(b.request(ctx, http.MethodPost, "/v1/chat/completions", chatBody("talk", true)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, ok := newSSEReader(t, resp.Body).next(); !ok {
		t.Fatal("no stream")
	}
	if e.Room() == free {
		t.Fatal("a running sequence takes no room")
	}
	leave()
	eventually(t, "the engine's room is back", func() bool { return e.Room() == free })
	eventually(t, "the job is gone", func() bool { return b.stored() == 0 })
}
