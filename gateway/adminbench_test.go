package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

const testAdminKey = "admin-key-for-tests"

// adminBench is the admin interface of a bench, over real HTTP.
type adminBench struct {
	*bench
	a     *Admin
	level slog.LevelVar
	// hung is the worker that never answers.
	hung string
}

func startAdmin(t *testing.T, change ...func(*benchOptions)) *adminBench {
	t.Helper()
	return startBench(t, change...).adminOf()
}

// adminOf serves the admin interface of b instead of b's own.
func (b *bench) adminOf() *adminBench {
	b.t.Helper()
	ab := &adminBench{bench: &bench{t: b.t, srv: b.srv, q: b.q, g: b.g, reg: b.reg, logs: b.logs}}
	var err error
	ab.a, err = NewAdmin(b.g, AdminOptions{
		Keys: []AdminKey{{Name: "anna", Key: testAdminKey}, {Key: "other-key"}}, Level: &ab.level, Host: "here",
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ab.http = httptest.NewUnstartedServer(nil)
	ab.http.Config = NewAdminHTTPServer(ab.a)
	ab.http.Start()
	b.t.Cleanup(ab.http.Close)
	return ab
}

// ask sends a request with the key: again, where a worker that does answer was too busy
// for that, as an operator would.
func (b *adminBench) ask(method, path, body string, headers ...string) reply {
	b.t.Helper()
	for over := time.Now().Add(patience); ; {
		resp := b.do(method, path, body, append([]string{"Authorization", "Bearer " + testAdminKey}, headers...)...)
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			b.t.Fatal(err)
		}
		_ = resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(data))
		silent := 0 // of those that were asked
		if b.hung != "" && (!strings.HasPrefix(path, "/admin/v1/workers/") || strings.HasPrefix(path, "/admin/v1/workers/"+b.hung+"/")) {
			silent = 1
		}
		if bytes.Count(data, []byte(`"`+schemas.CodeWorkerSilent+`"`)) <= silent || time.Now().After(over) {
			return resp
		}
	}
}

// ok wants a status, and reads the answer into what.
func (b *adminBench) ok(resp reply, status int, into any) {
	b.t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if resp.StatusCode != status {
		b.t.Fatalf("%s %s: %d %s, want %d", resp.Request.Method, resp.Request.URL.Path, resp.StatusCode, data, status)
	}
	if into == nil {
		return
	}
	reflect.ValueOf(into).Elem().SetZero()
	if err := json.Unmarshal(data, into); err != nil {
		b.t.Fatalf("%s: %v", data, err)
	}
}

// made are the lines of changes that were made.
func (b *adminBench) made() []map[string]any {
	b.t.Helper()
	return slices.DeleteFunc(b.audits(), func(l map[string]any) bool { return l[schemas.LogError] != nil })
}

// audits are the lines of changes.
func (b *adminBench) audits() []map[string]any {
	b.t.Helper()
	var lines []map[string]any
	for _, l := range b.logs.lines(b.t) {
		if l["event"] == schemas.LogEventAdminChange {
			lines = append(lines, l)
		}
	}
	return lines
}

// operable is a worker that has settings and nothing else.
type operable struct {
	mu       sync.Mutex
	settings queue.WorkerSettings
	draining bool
	asked    []queue.ControlMessage
}

// answering changes how a worker answers a message; nil: not at all.
type answering func(queue.ControlMessage, *queue.WorkerReport) *queue.WorkerReport

// operable registers one.
func (b *bench) operable(status schemas.WorkerStatus, how ...answering) *operable {
	b.t.Helper()
	w := &operable{settings: queue.WorkerSettings{LogLevel: "info"}}
	b.announce(status)
	feed, err := b.q.Control(b.context(), status.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	var over sync.WaitGroup
	b.t.Cleanup(func() { feed.Close(); over.Wait() })
	over.Go(func() {
		for {
			m, err := feed.Next(context.WithoutCancel(b.t.Context()))
			if err != nil {
				return
			}
			r := w.answer(m)
			for _, change := range how {
				if r != nil {
					r = change(m, r)
				}
			}
			if r != nil {
				r.Worker, r.Incarnation = status.ID, "i"
				feed.Answer(m, *r)
			}
		}
	})
	eventually(b.t, status.ID+" is there", func() bool { _, err := b.q.Worker(b.context(), status.ID); return err == nil })
	return w
}

func (w *operable) answer(m queue.ControlMessage) *queue.WorkerReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, m)
	before := w.settings
	r := &queue.WorkerReport{Jobs: []queue.RunningJob{}}
	switch m.Kind {
	case queue.ControlReport:
	case queue.ControlBatchWindow:
		w.settings.BatchWindowMS, r.Before = *m.WindowMS, &before
	case queue.ControlLogLevel:
		w.settings.LogLevel, r.Before = m.Level, &before
	case queue.ControlPause, queue.ControlResume:
		if w.draining {
			r.Refused = "it is draining"
			break
		}
		w.settings.Paused, r.Before = m.Kind == queue.ControlPause, &before
	case queue.ControlDrain:
		w.draining = true
	}
	after := w.settings
	r.Settings, r.Draining = &after, w.draining
	return r
}

func (w *operable) now() queue.WorkerSettings {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settings
}

// adminRoutes are method and path of every route, with an id of the kind.
func (b *adminBench) routes() []string {
	var all []string
	for _, rt := range b.a.routes() {
		for method := range rt.methods {
			if method != http.MethodHead {
				all = append(all, method+" "+strings.ReplaceAll(rt.path, "{id}", "some"))
			}
		}
	}
	return all
}
