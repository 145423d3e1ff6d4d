package worker_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Workers of different sizes come and go in the middle of jobs of all classes and
// many agents; every job gets its right text and one end, costs no attempt that
// counts, and nothing is left.
func TestCompanyComesAndGoes(t *testing.T) {
	t.Parallel()
	const jobs, changes = 150, 12
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	h := newHouse(t)
	join := func(i int) *instance {
		return h.start(named(fmt.Sprintf("w%d", i)), func(s *setup) {
			s.sim.Sequences, s.sim.Context, s.sim.Cells = 1+i, 250<<i, 600<<i
			s.sim.DecodeStep = time.Millisecond
			s.config.DrainTimeout = 0
		})
	}
	workers := []*instance{join(0), join(1), join(2)}
	tickets := make([]queue.Ticket, jobs)
	stored := make([]schemas.Job, jobs)
	for i := range jobs {
		if i%(jobs/changes) == 0 {
			who := random.IntN(len(workers))
			requireNoError(t, workers[who].drained())
			workers[who] = join(who)
		}
		// Now and then a prompt that the smallest cannot hold, but two can.
		long := strings.Repeat("word ", random.IntN(2)*random.IntN(300))
		// Its end is to be its own, whoever serves it.
		most := 100
		stored[i] = prompt(fmt.Sprintf("%d %s words=%d", i, long, 1+random.IntN(30)), asked(strconv.Itoa(random.IntN(30))))
		stored[i].MaxTokens = &most
		tickets[i] = h.put(schemas.Classes()[random.IntN(3)], stored[i])
	}
	for i, ticket := range tickets {
		r := h.result(ticket)
		r.done()
		if want, _ := reference(t, stored[i]); r.text() != want {
			t.Errorf("job %d said %q, want %q: %s", i, r.text(), want, r.types())
		}
	}
	h.emptied()
}
