package chaos

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// plan is how long, and how much.
type plan struct {
	seed   uint64
	faults time.Duration
	// kills ends the faults early: so many workers killed, and a tenth as many
	// faults of the broker. 0 is no end.
	kills   int
	clients int
	shapes  int
	pace    pace
	deaths  int // of each answer of the real model
}

// planned is the short plan, or what the environment says.
func planned(t *testing.T) plan {
	t.Helper()
	p := plan{
		seed: uint64(time.Now().UnixNano()), faults: 12 * time.Second, clients: 16, shapes: 36, deaths: 1,
		pace: pace{worker: 500 * time.Millisecond, gateway: 2 * time.Second, broker: 3 * time.Second},
	}
	var err error
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		if p.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CHAOS_SEED: %v", err)
		}
	}
	if text := os.Getenv("CHAOS_KILLS"); text != "" {
		if p.kills, err = strconv.Atoi(text); err != nil {
			t.Fatalf("CHAOS_KILLS: %v", err)
		}
	}
	if text := os.Getenv("CHAOS"); text != "" {
		if p.faults, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CHAOS: %v", err)
		}
		p.shapes, p.clients, p.deaths = 180, 24, 3
		p.pace = pace{worker: 400 * time.Millisecond, gateway: 3 * time.Second, broker: 5 * time.Second}
	}
	return p
}

// Random faults of every kind under a load of every kind: every stream says what
// it has to, and every job ends once.
func TestChaos(t *testing.T) {
	t.Parallel() // it waits as much as it computes
	p := planned(t)
	b := newBook()
	b.phase("start")
	f := makeFleet(t, b, "", 2,
		simWorker("4ms"), simWorker("6ms"), simWorker("8ms"), simWorker("12ms"))
	shapes := simShapes(rand.New(rand.NewPCG(p.seed, 0)), p.shapes)
	b.phase("answers without faults")
	if p.seed%2 == 0 {
		b.count("with API keys and idempotency keys")
		f.requireKeys(t.Context())
	} else {
		b.count("without API keys, with owner tokens")
	}
	f.learn(t.Context(), shapes)
	if kinds := unlearned(shapes); kinds != "" {
		t.Fatalf("no right answers for: %s\n%s", kinds, b.report("without faults", p.seed, 25))
	}

	b.phase("faults")
	wanted, enough := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range p.clients {
		c := &client{
			fleet: f, shapes: shapes, random: rand.New(rand.NewPCG(p.seed, uint64(100+i))),
			http: &http.Client{Transport: &http.Transport{}},
		}
		clients.Go(func() { c.run(t.Context(), wanted) })
	}
	f.disturb(t.Context(), p)
	enough()
	b.phase("last answers")
	clients.Wait()
	b.phase("check")
	f.check(t.Context(), shapes)
	f.checkMetrics()
	b.phase("stop")
	slowest := f.history(t.Context(), b.longest)
	f.leave()
	f.checkLogs()

	if err := os.WriteFile(f.path("report.txt"), []byte(b.report("chaos", p.seed, len(b.failures))), 0o600); err != nil {
		t.Error(err)
	}
	t.Log("\n" + b.report("chaos", p.seed, 25))
	t.Logf("the longest pause: job %s%s", b.longest, slowest)
	if len(b.failures) > 0 {
		t.Fail()
	}
}

func simWorker(step string) []string {
	return []string{"--backend", "sim", "--model", "sim", "--sim-step", step, "--parallel", "8"}
}

// disturb makes faults for as long as the plan says.
func (f *fleet) disturb(ctx context.Context, p plan) {
	during, over := context.WithTimeout(ctx, p.faults)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer over()
	watch.Go(func() {
		for p.kills > 0 && pause(during, time.Second) {
			if f.book.made(faultKillWorker) >= p.kills && f.book.made(brokerKinds()...) >= p.kills/10 {
				over()
			}
		}
	})
	(&faults{fleet: f, pace: p.pace}).run(during, p.seed)
}

func brokerKinds() []string {
	var kinds []string
	for _, c := range brokerFaults() {
		kinds = append(kinds, c.kind)
	}
	return kinds
}
