package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// A worker of a release that does not know a change is named, and told apart from
// one that hangs, one that dies in the middle, and one that is not there.
func TestChangeOfOtherReleases(t *testing.T) {
	srv := queuetest.Start(t)
	mine, operator := queuetest.Open(t, srv, fast), queuetest.Open(t, srv, fast)
	ctx := within(t, 30*time.Second)
	now := &queue.WorkerSettings{BatchWindowMS: 1, LogLevel: "info"}
	for id, answer := range map[string]func(queue.ControlMessage) *queue.WorkerReport{
		"old": func(m queue.ControlMessage) *queue.WorkerReport { // says nothing to what it does not know
			if m.Kind == queue.ControlReport {
				return &queue.WorkerReport{}
			}
			return nil
		},
		"between": func(m queue.ControlMessage) *queue.WorkerReport { // knows settings, not this one
			if m.Kind == queue.ControlReport {
				return &queue.WorkerReport{Settings: now}
			}
			return &queue.WorkerReport{Settings: now, Unknown: m.Kind}
		},
		"dying": func(m queue.ControlMessage) *queue.WorkerReport {
			if m.Kind == queue.ControlReport {
				return &queue.WorkerReport{Settings: now}
			}
			return nil
		},
		"hung": func(queue.ControlMessage) *queue.WorkerReport { return nil },
		"current": func(m queue.ControlMessage) *queue.WorkerReport {
			r := &queue.WorkerReport{Worker: "current", Settings: now}
			if m.Kind != queue.ControlReport {
				if m.By != "anna" || m.RequestID != "r1" {
					t.Errorf("asked by %q for %q", m.By, m.RequestID)
				}
				r.Before = &queue.WorkerSettings{BatchWindowMS: 7}
			}
			return r
		},
	} {
		registration, err := mine.Register(ctx, schemas.WorkerStatus{
			ID: id, Incarnation: id + "-1", Model: model, Fingerprint: "f", Backend: "sim", StartedAt: time.Now(), UpdatedAt: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = registration.Close(context.Background()) })
		feed, err := mine.Control(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(feed.Close)
		go func() {
			for {
				m, err := feed.Next(context.WithoutCancel(ctx))
				if err != nil {
					return
				}
				if r := answer(m); r != nil {
					feed.Answer(m, *r)
				}
			}
		}()
	}
	waitFor(t, func() bool {
		workers, err := operator.Workers(ctx)
		return err == nil && len(workers) == 5
	})
	for _, id := range []string{"old", "between"} {
		_, err := operator.SetBatchWindow(ctx, id, time.Millisecond)
		var outdated *queue.OutdatedError
		if !errors.As(err, &outdated) || outdated.Worker != id || !strings.Contains(err.Error(), queue.ControlBatchWindow) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"dying", "hung"} {
		if _, err := operator.Pause(ctx, id); !errors.Is(err, queue.ErrSilent) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if _, err := operator.Resume(ctx, "nobody"); !errors.Is(err, queue.ErrNoWorker) {
		t.Errorf("nobody: %v", err)
	}
	c, err := operator.SetLogLevel(queue.WithActor(queue.WithRequestID(ctx, "r1"), "anna"), "current", "debug")
	if err != nil || c.Before.BatchWindowMS != 7 || c.After != *now {
		t.Errorf("%+v, %v", c, err)
	}
}
