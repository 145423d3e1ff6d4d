package gateway

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// TestFullClassTellsWhatToDo: far more requests than fit in. Each is accepted or
// told what is full, how many wait, and when to come back; when a job has ended,
// there is room again.
func TestFullClassTellsWhatToDo(t *testing.T) {
	const fit, come = 10, 200
	b := startBench(t, expectM, bounds(queue.Bounds{MaxJobs: fit, MaxBytes: 64 << 20, MaxJobsPerFlow: fit}), func(o *benchOptions) {
		o.Config.StatusHold = 0 // the head goes out when the job is stored
	})
	var all sync.WaitGroup
	var mu sync.Mutex
	accepted, refused := 0, 0
	for i := range come {
		all.Go(func() {
			resp := b.post(chatBody("x", true), headerAgent, "agent-"+strconv.Itoa(i))
			mu.Lock()
			defer mu.Unlock()
			if resp.StatusCode == http.StatusOK {
				accepted++
				return
			}
			refused++
			said := wantError(t, resp, schemas.CodeQueueFull)
			after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
			if err != nil || after < 1 || after > 60 {
				t.Errorf("Retry-After: %q", resp.Header.Get("Retry-After"))
			}
			if !strings.Contains(said.Message, "10 jobs") {
				t.Errorf("message: %s", said.Message)
			}
		})
	}
	all.Wait()
	if accepted != fit || refused != come-fit {
		t.Fatalf("accepted %d, refused %d; want %d and %d", accepted, refused, fit, come-fit)
	}
	said := wantError(t, b.post(chatBody("x", true)), schemas.CodeQueueFull)
	if !strings.Contains(said.Message, "jobs of this class wait for m.") {
		t.Errorf("message: %s", said.Message)
	}
	b.work(func(_ context.Context, j *claimed) {
		j.start()
		j.done()
	})
	eventually(t, "room", func() bool { return b.post(chatBody("x", true)).StatusCode == http.StatusOK })
}

// TestOwnFlowIsFull: one owner's jobs in one flow leave another's way in.
func TestOwnFlowIsFull(t *testing.T) {
	b := startBench(t, expectM, withKeys("anna", "bob"), bounds(queue.Bounds{MaxJobs: 100, MaxBytes: 64 << 20, MaxJobsPerFlow: 1}))
	b.inBackground(chatBody("first", true), "Authorization", "Bearer anna", headerAgent, "a")
	eventually(t, "the job is stored", func() bool { return b.stored() == 1 })
	said := wantError(t, b.post(chatBody("x", false), "Authorization", "Bearer anna", headerAgent, "a"), schemas.CodeQueueFull)
	if !strings.Contains(said.Message, "You have 1 jobs in one flow") {
		t.Errorf("message: %s", said.Message)
	}
	b.inBackground(chatBody("first", true), "Authorization", "Bearer bob", headerAgent, "a")
	eventually(t, "the other's job is stored", func() bool { return b.stored() == 2 })
}

func TestTooManyStreams(t *testing.T) {
	b := startBench(t, expectM, func(o *benchOptions) { o.Config.MaxOpenStreams = 1 })
	b.leaveWaiting(chatBody("first", true))
	resp := b.post(chatBody("second", true))
	wantError(t, resp, schemas.CodeTooManyStreams)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := b.do(http.MethodGet, "/v1/models", ""); got.StatusCode != http.StatusOK {
		t.Errorf("models: %d", got.StatusCode)
	}
}
