package llama

import (
	"context"
	"errors"

	"github.com/semantic-worker/semantic/engine"
)

// Backend is a loaded model with its KV cache: see engine.Backend.
type Backend struct {
	engine.Backend
}

// Open loads the libraries and the model and makes its KV cache.
func Open(ctx context.Context, o Options) (*Backend, error) {
	if _, err := o.withDefaults(); err != nil {
		return nil, err
	}
	return nil, errors.Join(ctx.Err(), errors.New("llama: not there yet"))
}
