package stress

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Thousands of streams wait for their turn and get nothing but keep-alives, while
// others hold every place. One stream more than may be open is refused with 429; the
// streams that run are not disturbed; and when the places are free, every one that
// waited is answered, and what it cost is given back.
func TestIdleStreams(t *testing.T) {
	parallel(t)
	const places = 32
	idle := openable(t, sized(1000, 10_000)-places)
	name := fmt.Sprintf("%d idle streams", idle)
	s := serve(t, "--parallel", strconv.Itoa(places), "--ctx", "65536", "--sim-step", "50ms",
		"--max-open-streams", strconv.Itoa(idle+places), "--event-retention", forgotten.String())
	s.warm()
	before := s.rest()
	busy := s.openBusy(places, 1000)
	var reading sync.WaitGroup
	for _, r := range busy {
		reading.Go(func() { s.readOn(r) })
	}
	running := s.usage()
	began := time.Now()
	waiting := s.openMany(idle, func(i int) ask {
		return ask{prompt: tell(100_000+i, 1), agent: fmt.Sprint("idle-", i), class: schemas.ClassBatch}
	})
	measured.number(name, "opened", spent(began), "ms")
	one := ask{prompt: tell(1, 1), agent: "more", class: schemas.ClassBatch}
	if err := s.oneMore(one); err == nil || !strings.Contains(err.Error(), string(schemas.CodeTooManyStreams)) {
		t.Errorf("one stream more than may be open: %v", err)
	}
	for _, r := range waiting { // a keep-alive: each is really open
		if _, err := r.response.Body.Read(make([]byte, 64)); err != nil {
			t.Fatalf("job %s, which waits: %v", r.job, err)
		}
	}
	open := s.usage()
	for _, process := range []string{"serve", "worker"} {
		o, r := open[process], running[process]
		measured.number(name, "memory of "+process+" for each", math.Round((o.memory-r.memory)/float64(idle)/1024), "KiB")
		measured.number(name, "goroutines of "+process+" for each", round2((o.goroutines-r.goroutines)/float64(idle)), "")
	}
	began = time.Now()
	for _, r := range busy {
		if err := s.delete(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	reading.Wait()
	var all sync.WaitGroup
	failed := make(chan error, len(waiting))
	for _, r := range waiting {
		all.Go(func() {
			if err := s.finish(r); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	close(failed)
	shown := 0
	for err := range failed {
		if shown++; shown <= 10 {
			t.Error(err)
		}
	}
	measured.number(name, "until all were answered", spent(began), "ms")
	after := s.settle(before, tolerances{goroutines: atRest.goroutines, files: atRest.files, memory: tolerance{share: 1000}})
	atRest.tell(name+", at rest", before, after)
}

// openBusy opens streams that go on for as long as they are let. All run when it
// returns.
func (s *server) openBusy(n, story int) []*reply {
	s.t.Helper()
	busy := s.openMany(n, func(i int) ask {
		return ask{prompt: tell(story+i, 1_000_000), agent: fmt.Sprint("busy-", i), class: schemas.ClassInteractive}
	})
	for _, r := range busy {
		if err := r.next(); err != nil {
			s.t.Fatal(err)
		}
	}
	return busy
}

// readOn reads a stream until its job is cancelled.
func (s *server) readOn(r *reply) {
	defer func() { _ = r.response.Body.Close() }()
	var err error
	for err == nil {
		err = r.next()
	}
	if !is(err, schemas.CodeCancelled) {
		s.t.Errorf("a stream that ran: %v", err)
	}
	if problem := s.right.begins(r.prompt, r.text.String()); problem != nil {
		s.t.Error(problem)
	}
}

// oneMore returns the refusal of a stream, or another error.
func (s *server) oneMore(a ask) error {
	r, err := s.send(s.t.Context(), a)
	if err == nil {
		_ = r.response.Body.Close()
		return errors.New("it was accepted")
	}
	if full := new(refusal); errors.As(err, &full) {
		return full
	}
	return fmt.Errorf("not refused as it should be: %w", err)
}

// openMany opens streams, many at once, and returns them when all are open. The
// test's end closes them.
func (s *server) openMany(n int, of func(int) ask) []*reply {
	s.t.Helper()
	list, failures := make([]*reply, n), make([]error, n)
	gate := make(chan struct{}, 256)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			list[i], failures[i] = s.send(s.t.Context(), of(i))
		})
	}
	all.Wait()
	for _, r := range list {
		if r != nil {
			s.t.Cleanup(func() { _ = r.response.Body.Close() })
		}
	}
	if err := errors.Join(failures...); err != nil {
		s.t.Fatalf("%.500v", err)
	}
	return list
}

// openable is how many streams can be open: n, or as many as this system has files
// for in one process, which is said.
func openable(t *testing.T, n int) int {
	t.Helper()
	const others = 600
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if can := int(min(limit.Cur, 1<<20)) - others; can < n {
		t.Logf("%d streams instead of %d: ulimit -n is %d", can, n, limit.Cur)
		measured.number("idle streams", "fewer than wanted, for ulimit -n is "+strconv.FormatUint(limit.Cur, 10), float64(n-can), "streams")
		return can
	}
	return n
}

func round2(v float64) float64 { return math.Round(v*100) / 100 }
