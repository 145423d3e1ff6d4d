package stress

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/bench"
	"github.com/semantic-worker/semantic/schemas"
)

// Sequences hold the whole pool, and requests come until the queue is full as well:
// first one agent's flow, then the class. More get 429 with Retry-After. The
// sequences go on, and say what they have to until they are told to stop; every
// accepted request is answered, and who was refused gets in when he comes again.
func TestPoolExhaustion(t *testing.T) {
	parallel(t)
	s := serve(t, "--ctx", "8192", "--parallel", "128", "--sim-step", "60ms")
	for round := range sized(1, 5) {
		f := &flood{server: s, base: (round + 1) * 1_000_000}
		f.exhaust()
		f.release()
		f.recover()
		s.quiet()
		s.wait("it is ready again", func() bool { return s.health() == http.StatusOK })

		measured.number(poolTest, "accepted while nothing was left", float64(f.accepted.Load()), "requests")
		measured.number(poolTest, "429 of the agent's own flow", float64(f.own.Load()), "answers")
		measured.number(poolTest, "429 of the class", float64(f.class.Load()), "answers")
		measured.number(poolTest, "pool in use at most", round2(100*f.mostUsed()), "%")
		measured.times(poolTest, "Retry-After", f.afters)
		measured.times(poolTest, "longest pause of each running stream", f.pauses)
	}
}

// flood fills the pool and the queue of a server.
type flood struct {
	*server
	base int // of the numbers of prompts

	accepted, own, class atomic.Int64
	stories              atomic.Int64
	used                 atomic.Uint64 // bits of the greatest share of the pool seen

	held    []*reply       // what runs, and holds the pool
	pauses  []bench.Millis // theirs
	reading sync.WaitGroup
	waiting sync.WaitGroup
	mu      sync.Mutex     // guards what follows
	again   []ask          // what was refused
	afters  []bench.Millis // what Retry-After said
	failed  []error
}

const (
	poolTest = "pool exhaustion"
	// holders hold the pool, which is four contexts, each with a prompt of so many
	// tokens, and would go on for most of a minute: several times as long as the flood
	// takes. More of that size wait for them.
	holders, more, held = 4, 2, 7500
	// senders send at once: an answer's head waits for a while for a worker.
	senders = 400
	// mostSent ends a flood that meets no bound: a few more than all bounds together.
	mostSent = 4000
)

// exhaust fills first the pool, then one agent's flow, then the class.
func (f *flood) exhaust() {
	f.t.Helper()
	f.held = f.openMany(holders, func(i int) ask { return f.large(i, 600) })
	for _, r := range f.held {
		f.reading.Go(func() { f.readOn(r) })
	}
	f.wait("the pool is full, and the server says that it is not ready", func() bool {
		return f.look() > 0.9 && f.health() == http.StatusServiceUnavailable
	})
	for i := range more {
		f.one(f.t.Context(), f.large(holders+i, 20))
	}
	f.until(&f.own, func(int64) string { return "greedy" })
	f.look()
	f.until(&f.class, func(i int64) string { return fmt.Sprint("agent-", i) })
	f.look()
}

// large is a request that takes a quarter of the pool.
func (f *flood) large(i, words int) ask {
	f.t.Helper()
	prompt, err := f.right.long(f.base+900_000+i, words, held)
	if err != nil {
		f.t.Fatal(err)
	}
	return ask{prompt: prompt, agent: fmt.Sprint("holder-", i), class: schemas.ClassInteractive}
}

// release ends what holds the pool, which ran until now.
func (f *flood) release() {
	f.t.Helper()
	for _, r := range f.held {
		if err := f.delete(f.t.Context(), r); err != nil {
			f.t.Error(err)
		}
	}
	f.reading.Wait()
	for _, r := range f.held {
		f.pauses = append(f.pauses, bench.Millis(r.pause.Milliseconds()))
	}
}

// until sends requests until so many were refused for that cause.
func (f *flood) until(refused *atomic.Int64, agent func(int64) string) {
	f.t.Helper()
	const enough = 20
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for refused.Load() < enough && f.stories.Load() < mostSent && ctx.Err() == nil {
				i := f.stories.Add(1)
				f.one(ctx, ask{prompt: tell(f.base+int(i), 2), agent: agent(i), class: schemas.ClassInteractive})
			}
		})
	}
	sending.Wait()
	if n := refused.Load(); n < enough {
		f.t.Errorf("%d were refused of %d, %d accepted", n, f.stories.Load(), f.accepted.Load())
	}
}

// one sends a request, and reads its answer beside the others.
func (f *flood) one(ctx context.Context, a ask) {
	r, err := f.send(context.WithoutCancel(ctx), a) // it is read when no more are sent
	full := new(refusal)
	switch {
	case errors.As(err, &full):
		if strings.Contains(full.message, "You have ") {
			f.own.Add(1)
		} else {
			f.class.Add(1)
		}
		f.mu.Lock()
		f.again, f.afters = append(f.again, a), append(f.afters, bench.Millis(full.after.Milliseconds()))
		f.mu.Unlock()
	case err != nil:
		f.fail(err)
	default:
		f.accepted.Add(1)
		f.waiting.Go(func() {
			if err := f.finish(r); err != nil {
				f.fail(err)
			}
		})
	}
}

func (f *flood) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = append(f.failed, err)
}

// recover waits until everything was answered: what was accepted, and what was
// refused and is sent again.
func (f *flood) recover() {
	f.t.Helper()
	began := time.Now()
	answered := make(chan struct{})
	go func() {
		f.waiting.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-time.After(patience):
		f.t.Fatal("what was accepted is not answered")
	}
	measured.number(poolTest, "until what was accepted was answered", spent(began), "ms")
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	began = time.Now()
	for _, a := range f.again {
		f.waiting.Go(func() {
			r, _, err := f.insist(ctx, a, nil)
			if err == nil {
				err = f.finish(r)
			}
			if err != nil {
				f.fail(fmt.Errorf("refused, and sent again: %w", err))
			}
		})
	}
	f.waiting.Wait()
	measured.number(poolTest, "until what was refused was answered", spent(began), "ms")
	for i, err := range f.failed {
		if i == 10 {
			f.t.Errorf("and %d more", len(f.failed)-i)
			break
		}
		f.t.Error(err)
	}
}

// look notes how full the pool is.
func (f *flood) look() float64 {
	now, _ := f.metrics().sum("semantic_pool_utilization_ratio")
	f.used.Store(math.Float64bits(max(now, f.mostUsed())))
	return now
}

func (f *flood) mostUsed() float64 { return math.Float64frombits(f.used.Load()) }
