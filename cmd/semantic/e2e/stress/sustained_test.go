package stress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/bench"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// forgotten is after how long the logs of jobs are forgotten: so soon that what is
// kept for its time does not look like a leak, and not before a client that was held
// up has done with its job.
const forgotten = 5 * time.Second

// steady is what is allowed between the first and the last third of a load, behind
// its warm-up; atRest between two moments at which nothing is asked.
var (
	steady = tolerances{goroutines: tolerance{0.15, 30}, files: tolerance{0.15, 20}, memory: tolerance{0.15, 24 << 20}}
	atRest = tolerances{goroutines: tolerance{0, 15}, files: tolerance{0, 8}, memory: tolerance{0.25, 48 << 20}}
)

// A load of every kind without a pause: goroutines, open files and memory of both
// processes stay where they were after the warm-up, and at rest they are as before.
func TestSustainedLoad(t *testing.T) {
	parallel(t)
	const name = "sustained load"
	warm, long := sized(forgotten+2*time.Second, min(full/4, 2*time.Minute)), sized(8*time.Second, full)
	s := serve(t, "--parallel", "16", "--sim-step", "10ms", "--event-retention", forgotten.String())
	l := &steadyLoad{server: s}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	s.warm()
	before := s.rest()
	samples := l.run(ctx, warm+long)
	behind := samples[len(samples)*int(warm)/int(warm+long):]
	third := max(len(behind)/3, 1)
	first, last := median(behind[:third]), median(behind[len(behind)-third:])
	// What piled up because the machine was busy elsewhere goes away; a leak grows on.
	for again := 0; again < 4 && len(steady.grown(first, last)) > 0; again++ {
		last = median(l.run(ctx, long))
	}
	after := s.settle(before, atRest)
	for _, problem := range steady.grown(first, last) {
		t.Errorf("under load: %s", problem)
	}
	for _, err := range l.failed {
		t.Error(err)
	}
	if l.answered.Load() == 0 || l.left.Load() == 0 {
		t.Errorf("%d answered, %d left", l.answered.Load(), l.left.Load())
	}
	measured.number(name, "warm-up", warm.Seconds(), "s")
	measured.number(name, "time", long.Seconds(), "s")
	measured.number(name, "answered", float64(l.answered.Load()), "requests")
	measured.number(name, "left by their clients", float64(l.left.Load()), "requests")
	measured.times(name, "first token", l.first)
	steady.tell(name+", under load", first, last)
	atRest.tell(name+", at rest", before, after)
}

// warm makes everything that is made at its first use: a consumer for each class and
// flow above all.
func (s *server) warm() {
	s.t.Helper()
	var all sync.WaitGroup
	for i, class := range schemas.Classes() {
		for flow := range queue.Flows {
			agent := 0
			for queue.Flow(queue.OwnerLocal, schemas.Job{Agent: fmt.Sprint("warm-", agent)}) != flow {
				agent++
			}
			all.Go(func() {
				r, err := s.send(s.t.Context(), ask{prompt: tell(i*queue.Flows+flow, 3), agent: fmt.Sprint("warm-", agent), class: class})
				if err == nil {
					err = s.finish(r)
				}
				if err != nil {
					s.t.Errorf("the first requests: %v", err)
				}
			})
		}
	}
	all.Wait()
}

// rest is the usage at a moment at which nothing is asked.
func (s *server) rest() usages {
	s.t.Helper()
	s.http.CloseIdleConnections()
	s.quiet()
	return s.usage()
}

// settle waits until the usage is what it was, and returns what it is. Memory is the
// collector's to give back, so it is only looked at.
func (s *server) settle(before usages, t tolerances) usages {
	s.t.Helper()
	s.quiet()
	waited := t
	waited.memory = tolerance{share: 1000}
	var now usages
	var grown []string
	s.waitFor(func() string { return "goroutines and open files are as before: " + strings.Join(grown, "; ") }, func() bool {
		s.http.CloseIdleConnections()
		now = s.usage()
		grown = waited.grown(before, now)
		return len(grown) == 0
	})
	for _, problem := range t.grown(before, now) {
		s.t.Errorf("at rest: %s", problem)
	}
	return now
}

// steadyLoad is the load.
type steadyLoad struct {
	*server
	stories, answered, left atomic.Int64

	mu     sync.Mutex // guards what follows
	first  []bench.Millis
	failed []error
}

// run puts the load on for a while and samples what the processes hold.
func (l *steadyLoad) run(ctx context.Context, d time.Duration) []usages {
	l.t.Helper()
	const clients = 24
	loading, stop := context.WithTimeout(ctx, d)
	defer stop()
	var all sync.WaitGroup
	for n := range clients {
		random := rand.New(rand.NewPCG(uint64(n), uint64(d)))
		all.Go(func() {
			for loading.Err() == nil {
				if err := l.one(ctx, random); err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, err)
					l.mu.Unlock()
					return
				}
			}
		})
	}
	var samples []usages
	tick := time.NewTicker(max(d/60, 250*time.Millisecond))
	defer tick.Stop()
	for loading.Err() == nil {
		samples = append(samples, l.usage()) //nolint:contextcheck // a page is read to its end
		select {
		case <-tick.C:
		case <-loading.Done():
		}
	}
	all.Wait()
	return samples
}

// one sends a request of one kind or another.
func (l *steadyLoad) one(ctx context.Context, random *rand.Rand) error {
	a := ask{
		prompt: tell(int(l.stories.Add(1)), 5+random.IntN(30)), agent: fmt.Sprint("agent-", random.IntN(40)),
		class: schemas.Classes()[random.IntN(3)],
	}
	kind := random.IntN(10)
	if kind == 0 { // over what is kept in the queue itself
		a.prompt = strings.Repeat("Once upon a time there was an island. ", 100) + a.prompt
	}
	if kind == 1 {
		a.header = map[string]string{"X-Semantic-Durable": "true"}
	}
	r, err := l.send(ctx, a)
	if err != nil {
		return err
	}
	if kind < 8 {
		if err := l.finish(r); err != nil {
			return err
		}
		l.answered.Add(1)
		l.mu.Lock()
		l.first = append(l.first, since(r.sent, r.first))
		l.mu.Unlock()
		return nil
	}
	for range random.IntN(6) {
		if err := r.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	l.left.Add(1)
	if kind == 9 {
		if err := l.delete(ctx, r); err != nil && time.Since(r.sent) < forgotten { // later it may be forgotten
			return err
		}
	}
	return r.response.Body.Close()
}

// delete cancels a stream's job.
func (s *server) delete(ctx context.Context, r *reply) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.HTTP+"/v1/jobs/"+r.job, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Semantic-Owner-Token", r.token)
	response, err := s.http.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("DELETE of job %s: %s", r.job, response.Status)
	}
	return err
}
