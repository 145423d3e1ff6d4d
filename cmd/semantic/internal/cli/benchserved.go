package cli

import (
	"context"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/bench"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// classOf is the class that a flag names; it is checked where it is used.
func classOf(name string) schemas.Class { return schemas.Class(name) }

// servedOverNATS is the model of a load and who serves it now.
func servedOverNATS(ctx context.Context, q *queue.Queue, named string) (bench.Served, error) {
	model, err := queueModel(ctx, q, named)
	if err != nil {
		return bench.Served{}, err
	}
	workers, err := q.Workers(ctx)
	if err != nil {
		return bench.Served{}, brokerHint(err)
	}
	served := bench.Served{By: "nats", Model: model}
	for _, w := range workers {
		if w.Model != model {
			continue
		}
		served.Release = w.Release
		served.Workers = append(served.Workers, bench.ServedBy{
			Backend: w.Backend, Quantisation: w.Quantisation, Fingerprint: w.Fingerprint, Context: w.Context, Capacity: w.Capacity,
		})
	}
	return served, nil
}
