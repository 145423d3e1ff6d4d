package queue

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// ModelInUseError says that a live worker serves a model that was to be forgotten.
type ModelInUseError struct {
	Model string
	// Workers are the ids of those that serve it.
	Workers []string
}

// Error names the model and its workers.
func (e *ModelInUseError) Error() string {
	return fmt.Sprintf("queue: model %q is served by %v", e.Model, e.Workers)
}

// ForgetModel takes a model from the known ones, until a worker announces it
// again. Jobs that wait for it are left to the reconciler. Errors:
// ErrUnknownModel, *ModelInUseError, ErrUnavailable.
func (q *Queue) ForgetModel(ctx context.Context, model string) error {
	models, err := q.Models(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(models, model) {
		return fmt.Errorf("%w: %s", ErrUnknownModel, model)
	}
	workers, err := q.Workers(ctx)
	if err != nil {
		return err
	}
	inUse := &ModelInUseError{Model: model}
	for _, w := range workers {
		if w.Model == model {
			inUse.Workers = append(inUse.Workers, w.ID)
		}
	}
	if len(inUse.Workers) > 0 {
		return inUse
	}
	return q.retry(ctx, func(ctx context.Context) error {
		stream, err := q.stream(ctx, bucketStream(bucketModels))
		if err == nil {
			// Not a deletion of the key, which would leave a marker under its name.
			err = stream.Purge(ctx, jetstream.WithPurgeSubject("$KV."+bucketModels+"."+Slug(model)))
		}
		if err != nil {
			return fmt.Errorf("queue: forget %s: %w", model, err)
		}
		return nil
	})
}
