package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semantic-worker/semantic/queue"
)

// pass lets time pass in a bubble of synctest.
func pass(d time.Duration) { <-time.After(d) }

// Many pollers are one question a second.
func TestProbeIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		p := newProbe(func(ctx context.Context, _ int) error {
			asked.Add(1)
			pass(200 * time.Millisecond)
			return ctx.Err()
		})
		start := time.Now()
		var pollers sync.WaitGroup
		for i := range 100 {
			pollers.Go(func() {
				// Of those who hang up, one may be the one that asks for all.
				ctx, hangUp := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Hour)
				defer hangUp()
				if i%2 == 0 {
					hangUp()
				}
				for range 5 {
					if _, err := p.look(ctx); err != nil && i%2 == 1 {
						t.Errorf("poller %d: %v", i, err)
					}
					pass(time.Second)
				}
			})
		}
		pollers.Wait()
		if most := int64(time.Since(start)/probeEvery) + 1; asked.Load() > most || asked.Load() < 4 {
			t.Errorf("asked %d times in %v", asked.Load(), time.Since(start))
		}
	})
}

// A late answer is none of a broker that is gone; what a request met is, until
// something is stored again.
func TestProbeTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		small := false // the broker stores what is small
		p := newProbe(func(_ context.Context, bytes int) error {
			if small && bytes > 0 {
				return queue.ErrUnavailable
			}
			return answer
		})
		look := func(after time.Duration) error {
			pass(after)
			_, err := p.look(t.Context())
			return err
		}
		answer = queue.ErrUnavailable
		if age, err := p.look(t.Context()); age >= 0 || !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("never answered: %v, %v", age, err)
		}
		answer = nil
		for _, step := range []struct {
			name   string
			do     func()
			after  time.Duration
			answer error
			want   error
		}{
			{"answers", nil, time.Second, nil, nil},
			{"is late", nil, time.Second, queue.ErrUnavailable, nil},
			{"is back", nil, time.Second, nil, nil},
			{"is late again", nil, time.Second, queue.ErrUnavailable, nil},
			{"and still", nil, time.Second, queue.ErrUnavailable, nil},
			{"and too long", nil, 2 * time.Second, queue.ErrUnavailable, queue.ErrUnavailable},
			{"is back", nil, time.Second, nil, nil},
			{"is full", nil, time.Second, queue.ErrStorageFull, queue.ErrStorageFull},
			{"has room", nil, time.Second, nil, nil},
			{"a request failed", func() { p.tell(queue.ErrUnavailable) }, 0, nil, queue.ErrUnavailable},
			{"and what is late does not excuse it", nil, time.Second, queue.ErrUnavailable, queue.ErrUnavailable},
			{"stores again", nil, time.Second, nil, nil},
			{"a request failed", func() { p.tell(queue.ErrUnavailable) }, 0, nil, queue.ErrUnavailable},
			{"another one did not", func() { p.tell(nil) }, 0, nil, nil},
			{"a request failed", func() { p.tell(queue.ErrUnavailable); small = true }, time.Second, nil, queue.ErrUnavailable},
			{"a full disk has room for little", nil, 5 * time.Second, nil, queue.ErrUnavailable},
			{"and then for more", func() { small = false }, time.Second, nil, nil},
			{"one client's trouble", func() { p.tell(queue.ErrQueueFull) }, 0, nil, nil},
		} {
			answer = step.answer
			if step.do != nil {
				step.do()
			}
			if err := look(step.after); !errors.Is(err, step.want) || (err == nil) != (step.want == nil) {
				t.Errorf("%s: %v, want %v", step.name, err, step.want)
			}
		}
	})
}

// A broker that does not answer keeps no poller for longer than the bound.
func TestProbeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbe(func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return queue.ErrUnavailable
		})
		var pollers sync.WaitGroup
		for range 10 {
			pollers.Go(func() {
				start := time.Now()
				if _, err := p.look(t.Context()); err == nil || time.Since(start) > probeBound {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		}
		pollers.Wait()
	})
}
