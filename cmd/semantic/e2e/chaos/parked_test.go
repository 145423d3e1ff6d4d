package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// mostDeaths is after how many deaths that bring it nowhere a job is given up.
const mostDeaths = 3

// parked reads the dead jobs.
func (f *fleet) parked(ctx context.Context) (map[string]schemas.Parked, error) {
	stream, err := f.js.Stream(ctx, "DEAD")
	if err != nil {
		return nil, err
	}
	left := stream.CachedInfo().State.Msgs
	all := map[string]schemas.Parked{}
	if left == 0 {
		return all, nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	for ; left > 0; left-- {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		p, err := schemas.DecodeParked(m.Data())
		if err != nil {
			return nil, err
		}
		all[p.Job] = p
	}
	return all, nil
}

// deserved says why a job should not have been parked; empty if workers really
// died under it, as often as its evidence says.
func (f *fleet) deserved(p schemas.Parked) string {
	deaths := 0
	for _, a := range p.Attempts {
		if !a.Counted {
			continue
		}
		if deaths++; !f.died(a.Worker, a.Began) {
			return fmt.Sprintf("nobody killed %s after %s", a.Worker, f.book.since(a.Began))
		}
	}
	if deaths < mostDeaths {
		return fmt.Sprintf("its evidence has %d deaths", deaths)
	}
	return ""
}

// died reports whether a worker was made to end soon after it began with a job.
func (f *fleet) died(worker string, began time.Time) bool {
	name := f.names[worker]
	f.book.mu.Lock()
	defer f.book.mu.Unlock()
	return slices.ContainsFunc(f.book.faults, func(made fault) bool {
		return made.who == name && (made.kind == faultKillWorker || made.kind == faultDrainWorker) && made.from.After(began)
	})
}
