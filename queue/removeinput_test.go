package queue

import (
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/schemas"
)

// TestRemoveInput: nothing is left of a large job; any other job has nothing to
// remove, and neither has one twice.
func TestRemoveInput(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(t.Context(), embedded.Options{Port: -1, StoreDir: t.TempDir(), MaxStore: 16 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Stop()
	q, err := Open(t.Context(), Options{InProcess: srv})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close(t.Context()) }()
	if err := q.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{10, 700 << 10} {
		ticket, err := q.Submit(t.Context(), Submission{Owner: "o", Job: schemas.Job{
			Model: "m", Messages: []schemas.Message{{Role: schemas.RoleUser, Content: strings.Repeat("x", size)}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := q.removeInput(t.Context(), "o", ticket.JobID); err != nil {
				t.Error(err)
			}
		}
		info, err := q.streamState(t.Context(), objectStream(storeInputs), "")
		if err != nil || info.State.Msgs != 0 {
			t.Errorf("%d messages are left of %d bytes, %v", info.State.Msgs, size, err)
		}
	}
}
