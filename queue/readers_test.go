package queue_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

func attend(t testing.TB, q *queue.Queue, owner, job string) *queue.Attendance {
	t.Helper()
	a, err := q.Attend(owner, job)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func attended(t testing.TB, q *queue.Queue, owner, job string) bool {
	t.Helper()
	is, err := q.Attended(within(t, time.Minute), owner, job)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// TestAttended: a reader is known to itself and to others, until it leaves, and
// also after the broker was restarted; one that leaves is known to have left by
// its own next question.
func TestAttended(t *testing.T) {
	srv := queuetest.Start(t)
	one, two := queuetest.Open(t, srv, fast), queuetest.Open(t, srv, fast)
	for range 50 {
		if attended(t, one, "ann", "j") {
			t.Fatal("attended by nobody")
		}
		a := attend(t, one, "ann", "j")
		if !attended(t, one, "ann", "j") || attended(t, one, "ann", "k") || attended(t, one, "bob", "j") {
			t.Fatal("who reads what is confused")
		}
		a.Close()
	}
	a, b := attend(t, one, "ann", "j"), attend(t, two, "ann", "j")
	a.Close()
	// What two asks comes after what it said of itself.
	if !attended(t, two, "ann", "j") || !attended(t, one, "ann", "j") {
		t.Error("the other reader is not known")
	}
	srv.Restart(t)
	waitFor(t, func() bool { return attended(t, one, "ann", "j") })
	b.Close()
	if attended(t, two, "ann", "j") {
		t.Error("attended by nobody")
	}
}

func TestAwaitReader(t *testing.T) {
	srv := queuetest.Start(t)
	// A question that comes to a reader who has just left is never answered.
	short := func(o *queue.Options) { o.Config.RequestTimeout = time.Second }
	q, other := queuetest.Open(t, srv, fast, short), queuetest.Open(t, srv, fast, short)
	await := func(ctx context.Context, d time.Duration) (bool, error) { return q.AwaitReader(ctx, "", "j", d) }
	if came, err := await(within(t, time.Minute), time.Millisecond); came || err != nil {
		t.Errorf("nobody: %v, %v", came, err)
	}
	// What a reader that has left answers another is no arrival.
	nc, _ := stranger(t, srv)
	stop := make(chan struct{})
	var asked sync.WaitGroup
	asked.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_ = nc.Publish("semantic.arrivals.local.j", []byte("_INBOX.another"))
			}
		}
	})
	if came, err := await(within(t, time.Minute), 200*time.Millisecond); came || err != nil {
		t.Errorf("an answer to another: %v, %v", came, err)
	}
	close(stop)
	asked.Wait()
	// One that comes and goes at once was there all the same.
	type result struct {
		came bool
		err  error
	}
	results := make(chan result)
	go func() {
		came, err := await(within(t, time.Minute), time.Minute)
		results <- result{came, err}
	}()
	var r result
	for waiting := true; waiting; {
		attend(t, other, "", "j").Close()
		select {
		case r = <-results:
			waiting = false
		default:
		}
	}
	if !r.came || r.err != nil {
		t.Errorf("a short reader: %+v", r)
	}
	a := attend(t, other, "", "j")
	if came, err := await(within(t, time.Minute), 5*time.Second); !came || err != nil { // asks again, should the answer be late
		t.Errorf("one who was there before: %v, %v", came, err)
	}
	a.Close()
	if attended(t, other, "", "j") {
		t.Error("attended by who has left")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if came, err := await(ctx, time.Minute); came || err == nil || !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v, %v", came, err)
	}
}
