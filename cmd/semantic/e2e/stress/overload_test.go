package stress

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/bench"
	"github.com/semantic-worker/semantic/schemas"
)

// So many times as many agents ask at once as the worker has places, each again
// when it was answered, and beside the most of them (in a full run: always) a greedy
// one asks for more than its flow may hold: then every place is taken until everybody
// has asked. Every request of everybody is answered right; who is refused is told so and
// comes again; and who asks little does not wait as long as who asks much.
func TestOverload(t *testing.T) {
	parallel(t)
	places := sized(32, 200)
	s := serve(t, "--parallel", strconv.Itoa(places), "--ctx", "16384", "--sim-step", sized("10ms", "50ms"))
	for i, times := range []int{1, 2, 5, 10} {
		l := &crowd{server: s, base: (i + 1) * 1_000_000, places: places}
		greedy := 280
		if full == 0 && times < 10 {
			greedy = 0
		}
		l.load(times*places, sized(1, 5), greedy)
		s.quiet()
		l.tell(fmt.Sprintf("overload %2d×, %d places", times, places))
	}
}

// crowd is many agents that ask at once.
type crowd struct {
	*server
	base, places int

	mu     sync.Mutex // guards what follows
	agents waits
	greedy waits
	failed []error
}

// waits are the times of requests.
type waits struct {
	// first is from when the request was wanted until its first token, with all
	// refusals; whole until its end.
	first, whole []bench.Millis
	// refused is how often they were refused, most the most often of one.
	refused, most int
}

// load lets so many agents ask so often each, and the greedy one for so many at once
// each time. Who is greedy is seen only where more is asked at once than is answered
// meanwhile, however fast requests come: so beside him others have every place until
// each request was stored or refused.
func (l *crowd) load(agents, rounds, greedy int) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), sized(patience, 15*time.Minute))
	defer cancel()
	var all, asked sync.WaitGroup
	release := func() {}
	if greedy > 0 {
		release = l.occupy()
	}
	client := func(agent string, w *waits, story int) {
		asked.Add(1)
		all.Go(func() {
			heard := asked.Done
			for round := range rounds {
				l.one(ctx, agent, w, story+round, heard)
				heard = nil
			}
		})
	}
	for n := range greedy {
		client("greedy", &l.greedy, l.base+500_000+n*100)
	}
	for n := range agents {
		client(fmt.Sprint("agent-", n), &l.agents, l.base+n*100)
	}
	asked.Wait()
	release()
	all.Wait()
	for _, err := range l.failed[:min(10, len(l.failed))] {
		l.t.Error(err)
	}
	if have, want := len(l.agents.whole)+len(l.greedy.whole), (agents+greedy)*rounds; have != want {
		l.t.Errorf("%d requests of %d were answered", have, want)
	}
}

// occupy takes every place, until the function that it returns is called.
func (l *crowd) occupy() (release func()) {
	l.t.Helper()
	busy := l.openBusy(l.places, l.base+900_000)
	var reading sync.WaitGroup
	for _, r := range busy {
		reading.Go(func() { l.readOn(r) })
	}
	return func() {
		for _, r := range busy {
			if err := l.delete(l.t.Context(), r); err != nil {
				l.t.Error(err)
			}
		}
		reading.Wait()
	}
}

// one asks until it is answered.
func (l *crowd) one(ctx context.Context, agent string, w *waits, story int, heard func()) {
	wanted := time.Now()
	r, refusals, err := l.insist(ctx, ask{prompt: tell(story, 8), agent: agent, class: schemas.ClassInteractive}, heard)
	if err == nil {
		err = l.finish(r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w.refused, w.most = w.refused+refusals, max(w.most, refusals)
	if err != nil {
		l.failed = append(l.failed, fmt.Errorf("%s: %w", agent, err))
		return
	}
	w.first, w.whole = append(w.first, since(wanted, r.first)), append(w.whole, since(wanted, r.last))
}

// tell adds what was found to the table.
func (l *crowd) tell(name string) {
	l.t.Helper()
	l.agents.tell(name, "agents")
	if len(l.greedy.whole) == 0 {
		return
	}
	l.greedy.tell(name, "the greedy one")
	if l.greedy.refused == 0 {
		l.t.Errorf("%s: the greedy one was never refused", name)
	}
	if few, much := middle(l.agents.first), middle(l.greedy.first); few > much {
		l.t.Errorf("%s: who asks little waits for %v in the middle, who asks much for %v", name, few, much)
	}
}

func (w *waits) tell(name, who string) {
	measured.times(name, who+": first token", w.first)
	measured.times(name, who+": whole answer", w.whole)
	measured.number(name, who+": refused", float64(w.refused), "times")
	measured.number(name, who+": refused, most often", float64(w.most), "times")
}

// middle is the median.
func middle(times []bench.Millis) bench.Millis {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[len(times)/2]
}
