package gateway

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Every error of the contract is provoked for real and read over HTTP. Codes
// that only a worker can find come from a worker.
func TestEveryErrorOverHTTP(t *testing.T) {
	// fails lets a worker end the job with a code before its first token.
	fails := func(code schemas.Code) func(*testing.T) reply {
		return func(t *testing.T) reply {
			b := startBench(t)
			b.work(func(_ context.Context, j *claimed) { j.fail(code, "the worker says so") })
			return b.post(chatBody("x", true))
		}
	}
	posts := func(body string, headers ...string) func(*testing.T) reply {
		return func(t *testing.T) reply {
			return startBench(t, expectM).post(body, headers...)
		}
	}
	cases := map[schemas.Code]func(*testing.T) reply{
		schemas.CodeInvalidRequest:       posts(`{"model":"m","messages":[`),
		schemas.CodeUnsupportedParameter: posts(strings.Replace(chatBody("x", false), "{", `{"verbosity":"low",`, 1)),
		schemas.CodeUnknownParameter:     posts(strings.Replace(chatBody("x", false), "{", `{"no_such_field":1,`, 1)),
		schemas.CodeModelNotFound:        posts(strings.Replace(chatBody("x", false), `"m"`, `"nobody"`, 1)),

		schemas.CodeContextLengthExceeded: fails(schemas.CodeContextLengthExceeded),
		schemas.CodeTemplateFailed:        fails(schemas.CodeTemplateFailed),
		schemas.CodeWorkerLost:            fails(schemas.CodeWorkerLost),
		schemas.CodeInputLost:             fails(schemas.CodeInputLost),
		schemas.CodeJobLost:               fails(schemas.CodeJobLost),
		schemas.CodeSlowConsumer:          fails(schemas.CodeSlowConsumer),
		schemas.CodeEngineFailed:          fails(schemas.CodeEngineFailed),
		schemas.CodeInternal:              fails(schemas.CodeInternal),

		schemas.CodeQueueFull: func(t *testing.T) reply {
			b := startBench(t, expectM, bounds(queue.Bounds{MaxJobs: 1, MaxBytes: 64 << 20, MaxJobsPerFlow: 1}))
			b.leaveWaiting(chatBody("first", false))
			return b.post(chatBody("second", false))
		},
		schemas.CodeTooManyStreams: func(t *testing.T) reply {
			b := startBench(t, expectM, func(o *benchOptions) { o.Config.MaxOpenStreams = 1 })
			b.leaveWaiting(chatBody("first", false))
			return b.post(chatBody("second", false))
		},
		schemas.CodeStorageFull: func(t *testing.T) reply {
			b := startBench(t, expectM, bounds(queue.Bounds{MaxJobs: 100, MaxBytes: 8 << 10, MaxJobsPerFlow: 100}))
			b.leaveWaiting(chatBody(strings.Repeat("x", 7<<10), false))
			return b.post(chatBody(strings.Repeat("y", 7<<10), false))
		},
		schemas.CodeQueueUnavailable: func(t *testing.T) reply {
			b := startBench(t, expectM, func(o *benchOptions) { o.Config.QueueTimeout = 300 * time.Millisecond })
			b.srv.Stop()
			return b.post(chatBody("x", true))
		},
		schemas.CodeDeadlineExceeded: posts(chatBody("x", false), headerDeadline, "50ms"),
		schemas.CodeCancelled: func(t *testing.T) reply {
			b := startBench(t)
			b.work(func(_ context.Context, j *claimed) {
				j.append(schemas.Event{Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{Reason: "requested"}})
			})
			return b.post(chatBody("x", false))
		},
		schemas.CodeServerRestarting: func(t *testing.T) reply {
			b := startBench(t, expectM)
			b.g.Drain(b.context())
			return b.post(chatBody("x", false))
		},
		schemas.CodeUnauthorized: func(t *testing.T) reply {
			b := startBench(t, expectM, withKeys("right"))
			return b.post(chatBody("x", false), "Authorization", "Bearer wrong")
		},
		schemas.CodeForbidden: posts(chatBody("x", false), "Host", "evil.example.com"),
		schemas.CodeNotFound:  requests(http.MethodGet, "/v2/nothing"),
		schemas.CodeMethodNotAllowed: func(t *testing.T) reply {
			resp := startBench(t).do(http.MethodGet, "/v1/chat/completions", "")
			if got := resp.Header.Get("Allow"); got != "POST" {
				t.Errorf("Allow: %q", got)
			}
			return resp
		},
		schemas.CodeRequestTooLarge: func(t *testing.T) reply {
			b := startBench(t, expectM, func(o *benchOptions) { o.Config.MaxBodyBytes = 100 })
			return b.post(chatBody(strings.Repeat("x", 200), false))
		},
		schemas.CodeUnsupportedMediaType: posts(chatBody("x", false), "Content-Type", "text/plain"),

		schemas.CodeWorkerNotFound: func(t *testing.T) reply {
			return startAdmin(t).ask(http.MethodGet, "/admin/v1/workers/nobody", "")
		},
		schemas.CodeWorkerSilent: func(t *testing.T) reply {
			b := startAdmin(t)
			b.hung = "w"
			b.operable(schemas.WorkerStatus{ID: "w"}, func(queue.ControlMessage, *queue.WorkerReport) *queue.WorkerReport { return nil })
			return b.ask(http.MethodPost, "/admin/v1/workers/w/drain", "")
		},
		schemas.CodeWorkerOutdated: func(t *testing.T) reply {
			b := startAdmin(t)
			b.operable(schemas.WorkerStatus{ID: "w"}, func(_ queue.ControlMessage, r *queue.WorkerReport) *queue.WorkerReport {
				r.Settings = nil
				return r
			})
			return b.ask(http.MethodGet, "/admin/v1/workers/w/log-level", "")
		},
		schemas.CodeWorkerDraining: func(t *testing.T) reply {
			b := startAdmin(t)
			b.operable(schemas.WorkerStatus{ID: "w"}).draining = true
			return b.ask(http.MethodPost, "/admin/v1/workers/w/undrain", "")
		},

		schemas.CodeJobNotFound: requests(http.MethodGet, "/v1/jobs/never-was"),
		schemas.CodeLogRewound: func(t *testing.T) reply {
			b := startBench(t)
			b.work(echo)
			job := b.post(chatBody("x", false)).Header.Get(headerJob)
			return b.events(job, b.token(job), job+":99.0")
		},
		schemas.CodeIdempotencyMismatch: func(t *testing.T) reply {
			b := startBench(t, withKeys("k"))
			b.work(echo)
			b.post(chatBody("x", false), headerIdempotencyKey, "1", "Authorization", "Bearer k")
			return b.post(chatBody("y", false), headerIdempotencyKey, "1", "Authorization", "Bearer k")
		},
		schemas.CodeIdempotencyConflict: func(t *testing.T) reply {
			b := startBench(t)
			b.work(echo)
			b.post(chatBody("x", false), headerIdempotencyKey, "1")
			return b.post(chatBody("x", false), headerIdempotencyKey, "1")
		},
	}
	for _, code := range schemas.Codes() {
		t.Run(string(code), func(t *testing.T) {
			provoke, ok := cases[code]
			if !ok {
				t.Fatal("no test provokes this code")
			}
			got := wantError(t, provoke(t), code)
			t.Log(got.Message)
		})
	}
}

func requests(method, path string) func(*testing.T) reply {
	return func(t *testing.T) reply { return startBench(t).do(method, path, "") }
}

// expectM makes "m" known without a worker.
func expectM(o *benchOptions) { o.Expect = []string{"m"} }

func withKeys(keys ...string) func(*benchOptions) {
	return func(o *benchOptions) { o.Config.APIKeys = keys }
}

// bounds gives every class the same bounds.
func bounds(b queue.Bounds) func(*benchOptions) {
	return func(o *benchOptions) {
		o.queue = append(o.queue, func(q *queue.Options) {
			q.Config.Bounds = map[schemas.Class]queue.Bounds{}
			for _, class := range schemas.Classes() {
				q.Config.Bounds[class] = b
			}
		})
	}
}

// leaveWaiting posts a request whose job nobody takes, and returns once its
// job is stored. The client leaves with the test.
func (b *bench) leaveWaiting(body string) {
	b.t.Helper()
	b.inBackground(body)
	eventually(b.t, "the job is stored", func() bool { return b.stored() > 0 })
}

// inBackground posts a request on a context that ends with the test, and
// returns how to leave early.
func (b *bench) inBackground(body string, headers ...string) (leave func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r := b.request(ctx, http.MethodPost, "/v1/chat/completions", body, headers...)
	go func() {
		defer close(done)
		resp, err := b.http.Client().Do(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}()
	leave = func() {
		cancel()
		<-done
	}
	b.t.Cleanup(leave)
	return leave
}

// stored is how many jobs the broker holds.
func (b *bench) stored() int64 {
	b.t.Helper()
	depth, err := b.q.Depth(b.context())
	if err != nil {
		b.t.Fatal(err)
	}
	var n int64
	for _, d := range depth {
		n += d.Queued + d.Running
	}
	return n
}
