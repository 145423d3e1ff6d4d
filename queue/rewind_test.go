package queue_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestLogRewound: a sole broker comes back without its last writes, as after a
// power cut. A reader that had seen more is told so, also where other events
// have taken their places meanwhile; the job itself is claimed again and goes on
// from what is left.
func TestLogRewound(t *testing.T) {
	for _, test := range []struct {
		name  string
		other []schemas.Event // that another worker writes instead
	}{
		{"shorter", nil},
		{"rewritten", []schemas.Event{started("w2", "w2-1", 2), delta("x")}},
		{"rewritten and longer", []schemas.Event{started("w2", "w2-1", 2), delta("x"), delta("y")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := t.TempDir()
			srv := queuetest.Start(t, func(o *embedded.Options) { o.StoreDir = store })
			q := queuetest.Open(t, srv, fast)
			d := claimed(t, q)
			f := follow(t, q, "", d.JobID, 0)
			add(t, d, started("w", "w-1", 1), delta("a"))
			srv.Stop()
			disk := t.TempDir()
			if err := os.CopyFS(disk, os.DirFS(store)); err != nil {
				t.Fatal(err)
			}
			srv.Resume(t)
			add(t, d, delta("b"), delta("c"))
			expect(t, f, 1, schemas.EventSubmitted, schemas.EventStarted, schemas.EventDelta, schemas.EventDelta, schemas.EventDelta)

			srv.Stop()
			if err := os.RemoveAll(store); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(store, os.DirFS(disk)); err != nil {
				t.Fatal(err)
			}
			srv.Resume(t)
			if len(test.other) > 0 {
				// f reads only within Next, so it meets a log that is as long as it knows, or longer.
				again := claim(t, claimer(t, queuetest.Open(t, srv, fast), "w2"))
				add(t, again, test.other...)
			}
			if e, err := f.Next(within(t, time.Minute)); !errors.Is(err, queue.ErrLogRewound) {
				t.Fatalf("read %+v, error %v; want ErrLogRewound", e, err)
			}
			if err := d.Append(within(t, time.Minute), delta("d")); !errors.Is(err, queue.ErrFenced) {
				t.Errorf("the writer of what was lost: %v, want ErrFenced", err)
			}
			if _, err := q.Follow(within(t, time.Minute), "", d.JobID, 9); !errors.Is(err, queue.ErrLogRewound) {
				t.Errorf("a reader from beyond the end: %v, want ErrLogRewound", err)
			}
		})
	}
}
