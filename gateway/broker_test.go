package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// The broker restarts under a stream: the client sees a pause, and nothing
// twice.
func TestStreamSurvivesBrokerRestart(t *testing.T) {
	b := startBench(t)
	goOn := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		j.delta("before ")
		select {
		case <-goOn:
		case <-ctx.Done():
			return
		}
		j.delta("after")
		j.done()
	})
	stream := newSSEReader(t, b.post(chatBody("", true)).Body)
	first, _ := stream.next()
	b.srv.Restart(t)
	close(goOn)
	if got := text(t, append([]sseEvent{first}, stream.rest()...)); got != "before after" {
		t.Errorf("text %q", got)
	}
}

// The queue is closed under a stream, as by a fault in the order of stopping:
// the client is told, in the stream.
func TestQueueClosedInMidStream(t *testing.T) {
	b := startBench(t)
	appended := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		j.delta("half")
		close(appended)
		<-ctx.Done()
	})
	stream := newSSEReader(t, b.post(chatBody("", true), headerRequestID, "closed-1").Body)
	first, _ := stream.next()
	<-appended // the stream may show it before the worker hears that it is stored
	if err := b.q.Close(b.context()); err != nil {
		t.Fatal(err)
	}
	events := append([]sseEvent{first}, stream.rest()...)
	if last := events[len(events)-1]; !strings.Contains(last.data, string(schemas.CodeQueueUnavailable)) {
		t.Errorf("the stream ends with %+v", last)
	}
	if line := b.endLine(t, "closed-1"); line[schemas.LogError] == nil || line[schemas.LogCode] != string(schemas.CodeQueueUnavailable) {
		t.Errorf("logged %v", line)
	}
}

// The deadline passes while the broker is away: the client is not kept
// waiting for an event that nobody can write.
func TestDeadlineWithoutBroker(t *testing.T) {
	// Where the deadline was over before the broker was away, or the queue's own time
	// before the job was stored, it says nothing: again, with more of both.
	for deadline := 500 * time.Millisecond; ; deadline *= 3 {
		b := startBench(t, expectM, func(o *benchOptions) { o.Config.QueueTimeout = deadline / 2 })
		begun, answer := time.Now(), make(chan reply, 1)
		go func() {
			answer <- b.post(chatBody("", false), headerDeadline, deadline.String(), headerRequestID, "away-1")
		}()
		stored := false
		eventually(t, "the job is stored", func() bool {
			stored = b.stored() == 1
			return stored || time.Since(begun) > deadline
		})
		b.srv.Stop()
		away := time.Since(begun) < deadline
		resp := <-answer
		if (!stored || !away || resp.StatusCode == http.StatusServiceUnavailable) && deadline < patience {
			continue
		}
		wantError(t, resp, schemas.CodeDeadlineExceeded)
		warned := false
		for _, line := range b.logs.lines(t) {
			warned = warned || line[schemas.LogRequestID] == "away-1" && line["level"] == "WARN" && line[schemas.LogError] != nil
		}
		if !warned {
			t.Error("nothing in the log about the end that could not be written")
		}
		return
	}
}

// Over HTTP/2 a deadline that passes between two writes would reset the
// stream; waiting longer than the write timeout must not.
func TestHTTP2(t *testing.T) {
	longer(t, 100*time.Millisecond, func(timeout time.Duration) error {
		b := startBench(t, func(o *benchOptions) { o.Config.WriteTimeout = timeout })
		b.work(func(_ context.Context, j *claimed) {
			wait := time.NewTicker(timeout * 3 / 2)
			defer wait.Stop()
			<-wait.C
			j.start()
			j.delta("one ")
			<-wait.C
			j.delta("two")
			j.done()
		})
		srv := httptest.NewUnstartedServer(nil)
		srv.Config = NewHTTPServer(b.g)
		srv.EnableHTTP2 = true
		srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		srv.StartTLS()
		defer srv.Close()
		b.http.Close()
		b.http = srv

		for _, stream := range []bool{true, false} {
			resp, err := srv.Client().Do(b.request(b.context(), http.MethodPost, "/v1/chat/completions", chatBody("", stream)))
			if err != nil {
				return err
			}
			data, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.ProtoMajor != 2 {
				t.Fatalf("protocol %s", resp.Proto)
			}
			if err != nil || resp.StatusCode != http.StatusOK {
				return fmt.Errorf("status %d, %s: %w", resp.StatusCode, data, err)
			}
			if !stream {
				continue
			}
			if got := text(t, newSSEReader(t, bytes.NewReader(data)).rest()); got != "one two" {
				t.Errorf("text %q", got)
			}
		}
		return nil
	})
}

func TestWholeWaitsPlainly(t *testing.T) {
	b := startBench(t, func(o *benchOptions) { o.Config.KeepAlive = time.Millisecond })
	b.work(func(_ context.Context, j *claimed) {
		wait := time.NewTimer(20 * time.Millisecond)
		defer wait.Stop()
		<-wait.C
		j.fail(schemas.CodeTemplateFailed, "no template")
	})
	wantError(t, b.post(chatBody("", false)), schemas.CodeTemplateFailed)
}
