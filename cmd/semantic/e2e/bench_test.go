package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/sim"
	"github.com/semantic-worker/semantic/gateway"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/worker"
)

// BenchmarkAddedTimeToFirstToken is what gateway, queue and worker add to the
// time to first token: a request over HTTP, against the same prompt given to
// the same engine directly. The two take turns in one run, on a simulated
// backend whose step takes 2 ms, so that the difference is not the model's. All
// parts share this process and its cores.
func BenchmarkAddedTimeToFirstToken(b *testing.B) {
	h := newBenchHouse(b)
	var direct, whole []time.Duration
	for b.Loop() {
		direct = append(direct, h.direct(b))
		whole = append(whole, h.overHTTP(b))
	}
	if len(direct) < 2 {
		return // the framework's first look
	}
	slices.Sort(direct)
	slices.Sort(whole)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	at := func(times []time.Duration, percent int) time.Duration { return times[(len(times)-1)*percent/100] }
	b.ReportMetric(ms(at(direct, 50)), "engine-p50-ms")
	b.ReportMetric(ms(at(whole, 50)), "http-p50-ms")
	b.ReportMetric(ms(at(whole, 50)-at(direct, 50)), "added-p50-ms")
	b.ReportMetric(ms(at(whole, 99)-at(direct, 99)), "added-p99-ms")
	b.ReportMetric(0, "ns/op")
}

// benchHouse is the whole way in one process.
type benchHouse struct {
	engine *engine.Engine
	prompt []engine.Token
	url    string
	client *http.Client
	runs   int
}

const benchQuestion = "words=2 How long does it take?"

func newBenchHouse(b *testing.B) *benchHouse {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	broker := queuetest.Start(b)
	backend, err := sim.New(sim.Options{Name: "sim", DecodeStep: 2 * time.Millisecond, Clock: kernelClock{}})
	must(err)
	eng, err := engine.New(engine.Options{Backend: backend})
	must(err)
	b.Cleanup(func() { must(eng.Close()) })
	info := eng.Info()
	template, err := chat.Parse(info.ChatTemplate, info.Name, info.BOS, info.EOS)
	must(err)
	w, err := worker.New(worker.Options{
		Queue: queuetest.Open(b, broker), Engine: eng, Template: template, Config: worker.DefaultConfig(),
		Identity: worker.Identity{ID: "bench", Incarnation: "bench-1", Host: "bench", Release: "bench"},
	})
	must(err)
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		must(<-ended)
	})
	select {
	case <-w.Ready():
	case err := <-ended:
		ended <- err
		b.Fatal("the worker ended before it was ready")
	}
	// As in `semantic serve`, where the gateway is in the broker's process.
	beside := queuetest.Open(b, broker, func(o *queue.Options) { o.InProcess = broker })
	g, err := gateway.New(gateway.Options{Queue: beside, Config: gateway.DefaultConfig()})
	must(err)
	server := httptest.NewServer(g.Handler())
	b.Cleanup(server.Close)

	text, err := template.Render([]chat.Message{{Role: "user", Content: benchQuestion}})
	must(err)
	prompt, err := eng.Vocabulary().Tokenize(text, true)
	must(err)
	return &benchHouse{engine: eng, prompt: prompt, url: server.URL, client: server.Client()}
}

// direct is the time to first token of the engine alone.
func (h *benchHouse) direct(b *testing.B) time.Duration {
	b.Helper()
	h.runs++
	begin := time.Now()
	s, err := h.engine.Submit(b.Context(), engine.Request{ID: fmt.Sprint("direct-", h.runs), Prompt: h.prompt})
	if err != nil {
		b.Fatal(err)
	}
	chunk, err := s.Next(b.Context())
	took := time.Since(begin)
	for err == nil && chunk.Finish == "" {
		chunk, err = s.Next(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// overHTTP is the time to the first chunk with content.
func (h *benchHouse) overHTTP(b *testing.B) time.Duration {
	b.Helper()
	body := `{"model":"sim","stream":true,"temperature":0,"messages":[{"role":"user","content":"` + benchQuestion + `"}]}`
	begin := time.Now()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, h.url+"/v1/chat/completions", bytes.NewBufferString(body))
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := h.client.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var took time.Duration
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if took == 0 && strings.Contains(lines.Text(), `"delta":{"content":`) {
			took = time.Since(begin)
		}
	}
	if lines.Err() != nil || took == 0 {
		b.Fatalf("status %d, no token: %v", response.StatusCode, lines.Err())
	}
	return took
}

// kernelClock waits in the kernel, as a step of a model is a call that returns when
// the device has done. A timer of the Go runtime is rounded to milliseconds, and
// differently in a process that is otherwise idle than in one that awaits answers
// from sockets: the difference would count as the queue's.
type kernelClock struct{}

func (kernelClock) Sleep(d time.Duration, _ <-chan struct{}) bool {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return true
		}
		_, _ = unix.Poll(nil, int((left+time.Millisecond-1)/time.Millisecond))
	}
}
