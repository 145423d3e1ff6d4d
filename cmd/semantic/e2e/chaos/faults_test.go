package chaos

import (
	"context"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The faults, by the names that the report has for them.
const (
	faultKillWorker  = "worker killed"
	faultZombie      = "worker stopped beyond the acknowledgement wait, and woken"
	faultDrainWorker = "worker drained (SIGTERM)"
	faultCutWorker   = "worker's link cut"
	faultHangWorker  = "worker's link hung"
	faultSlowWorker  = "worker's link slowed"

	faultKillGateway  = "gateway killed"
	faultDrainGateway = "gateway drained (SIGTERM)"
	faultStopGateway  = "gateway stopped and woken"
	faultCutGateway   = "gateway's link cut"
	faultHangGateway  = "gateway's link hung"
	faultSlowGateway  = "gateway's link slowed"

	faultKillBroker  = "broker killed"
	faultDrainBroker = "broker restarted (SIGTERM)"
	faultStopBroker  = "broker stopped and woken"
	faultFullEvents  = "quota of the logs filled"
	faultFullJobs    = "quota of the jobs filled"
	faultFullWorkers = "quota of the registry filled"
	faultFullInputs  = "quota of the large jobs filled"
)

// choice is a fault and how often it is drawn beside the others.
type choice struct {
	kind   string
	weight int
}

func workerFaults() []choice {
	return []choice{
		{faultKillWorker, 78}, {faultZombie, 6}, {faultDrainWorker, 7}, {faultCutWorker, 4}, {faultHangWorker, 3}, {faultSlowWorker, 2},
	}
}

func gatewayFaults() []choice {
	return []choice{
		{faultKillGateway, 8}, {faultDrainGateway, 4}, {faultStopGateway, 2}, {faultCutGateway, 3}, {faultHangGateway, 2}, {faultSlowGateway, 1},
	}
}

func brokerFaults() []choice {
	return []choice{
		{faultKillBroker, 9}, {faultDrainBroker, 3}, {faultStopBroker, 4}, {faultFullEvents, 3}, {faultFullJobs, 1},
		{faultFullWorkers, 1}, {faultFullInputs, 1},
	}
}

func draw(random *rand.Rand, from []choice) string {
	sum := 0
	for _, c := range from {
		sum += c.weight
	}
	n := random.IntN(sum)
	for _, c := range from {
		if n -= c.weight; n < 0 {
			return c.kind
		}
	}
	return ""
}

// around is d, more or less.
func around(random *rand.Rand, d time.Duration) time.Duration {
	return d/2 + time.Duration(random.Int64N(int64(d)))
}

// faults makes faults until ctx ends, and all whole again before it returns.
type faults struct {
	*fleet
	pace pace
	wait sync.WaitGroup
}

// pace is the mean time between the faults of a kind of process.
type pace struct{ worker, gateway, broker time.Duration }

func (f *faults) run(ctx context.Context, seed uint64) {
	lane := func(n uint64, every time.Duration, next func(random *rand.Rand)) {
		random := rand.New(rand.NewPCG(seed, n))
		f.wait.Go(func() {
			for pause(ctx, around(random, every)) {
				next(random)
			}
		})
	}
	lane(1, f.pace.worker, func(r *rand.Rand) {
		f.worker(ctx, f.workers[r.IntN(len(f.workers))], draw(r, workerFaults()), r.Uint64())
	})
	lane(2, f.pace.gateway, func(r *rand.Rand) {
		f.gateway(ctx, f.gateways[r.IntN(len(f.gateways))], draw(r, gatewayFaults()), r.Uint64())
	})
	lane(3, f.pace.broker, func(r *rand.Rand) { f.brokerFault(ctx, draw(r, brokerFaults()), r) })
	f.wait.Wait()
}

// pause waits; false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// worker makes a fault of a worker that has none now. It is over when the worker
// is whole again, which others do not wait for.
func (f *faults) worker(ctx context.Context, m *member, kind string, seed uint64) {
	if !m.hold.TryLock() {
		return
	}
	random := rand.New(rand.NewPCG(seed, 0))
	f.wait.Go(func() {
		defer m.hold.Unlock()
		defer f.book.fault(kind, m.name)()
		switch kind {
		case faultKillWorker:
			m.kill()
			pause(ctx, time.Duration(random.Int64N(int64(300*time.Millisecond))))
			f.again(m.process)
		case faultZombie:
			f.freeze(ctx, m.process, ackWait+around(random, 2*ackWait))
		case faultDrainWorker:
			f.drain(m.process)
		default:
			f.link(ctx, m, kind, random)
		}
	})
}

// gateway makes a fault of a gateway.
func (f *faults) gateway(ctx context.Context, m *member, kind string, seed uint64) {
	if !m.hold.TryLock() {
		return
	}
	random := rand.New(rand.NewPCG(seed, 0))
	f.wait.Go(func() {
		defer m.hold.Unlock()
		defer f.book.fault(kind, m.name)()
		switch kind {
		case faultKillGateway:
			m.kill()
			pause(ctx, time.Duration(random.Int64N(int64(300*time.Millisecond))))
			f.again(m.process)
		case faultDrainGateway:
			f.drain(m.process)
		case faultStopGateway:
			f.freeze(ctx, m.process, around(random, 800*time.Millisecond))
		default:
			f.link(ctx, m, kind, random)
		}
	})
}

// link disturbs the way of a process to the broker.
func (f *faults) link(ctx context.Context, m *member, kind string, random *rand.Rand) {
	var err error
	switch kind {
	case faultCutWorker, faultCutGateway:
		m.link.cut()
		pause(ctx, around(random, ackWait))
		err = m.link.mend()
	case faultHangWorker, faultHangGateway:
		m.link.hang()
		pause(ctx, around(random, 2*ackWait))
		m.link.heal()
	case faultSlowWorker, faultSlowGateway:
		m.link.slow(around(random, 40*time.Millisecond))
		pause(ctx, around(random, 3*ackWait))
		m.link.heal()
	}
	if err != nil {
		f.book.fail("the harness: %v", err)
	}
}

// brokerFault makes one and waits until the broker is whole again.
func (f *faults) brokerFault(ctx context.Context, kind string, random *rand.Rand) {
	defer f.book.fault(kind, "broker")()
	switch kind {
	case faultKillBroker:
		f.broker.kill()
		pause(ctx, time.Duration(random.Int64N(int64(700*time.Millisecond))))
		f.again(f.broker)
	case faultDrainBroker:
		f.drain(f.broker)
	case faultStopBroker:
		f.freeze(ctx, f.broker, around(random, ackWait))
	case faultFullEvents:
		f.fill(ctx, around(random, ackWait), "EVENTS")
	case faultFullJobs:
		f.fill(ctx, around(random, ackWait), "JOBS_INTERACTIVE", "JOBS_NORMAL", "JOBS_BATCH")
	case faultFullWorkers:
		f.fill(ctx, around(random, ackWait), "KV_workers", "KV_models", "KV_leases")
	case faultFullInputs:
		f.fill(ctx, around(random, ackWait), "OBJ_inputs")
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := f.brokerUp(bounded); err != nil {
		f.book.fail("the broker does not come back: %v", err)
	}
}

// again starts a process that was ended.
func (f *faults) again(p *process) {
	if err := p.start(); err != nil {
		f.book.fail("the harness: start %s: %v", p.name, err)
	}
}

func (f *faults) drain(p *process) {
	if err := p.stop(); err != nil {
		f.book.fail("%v; see %s", err, p.logPath)
	}
	f.again(p)
}

// freeze stops a process for a time, as a laptop's lid does.
func (f *faults) freeze(ctx context.Context, p *process, d time.Duration) {
	p.send(syscall.SIGSTOP, false)
	pause(ctx, d)
	p.send(syscall.SIGCONT, false)
}

// fill leaves streams no room for a time.
func (f *faults) fill(ctx context.Context, d time.Duration, names ...string) {
	whole := context.WithoutCancel(ctx)
	var before []jetstream.StreamConfig
	for _, name := range names {
		if c, found := f.squeeze(whole, name); found {
			before = append(before, c)
		}
	}
	pause(ctx, d)
	for _, c := range before {
		f.retry(whole, "restore the quota of "+c.Name, func(ctx context.Context) error {
			_, err := f.js.UpdateStream(ctx, c)
			return err
		})
	}
}

// squeeze sets a stream's bound to what it holds now, and returns how it was;
// false where nothing was changed.
func (f *faults) squeeze(ctx context.Context, name string) (jetstream.StreamConfig, bool) {
	bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	stream, err := f.js.Stream(bounded, name)
	if err != nil {
		return jetstream.StreamConfig{}, false
	}
	info := stream.CachedInfo()
	c := info.Config
	c.MaxBytes = int64(info.State.Bytes) + 1
	_, _ = f.js.UpdateStream(bounded, c) // its answer may be lost
	return info.Config, true
}

// retry does what has to be done in the end.
func (f *faults) retry(ctx context.Context, what string, op func(context.Context) error) {
	all, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		try, done := context.WithTimeout(all, 2*time.Second)
		err := op(try)
		done()
		if err == nil {
			return
		}
		if !pause(all, 100*time.Millisecond) {
			f.book.fail("the harness: %s: %v", what, err)
			return
		}
	}
}
