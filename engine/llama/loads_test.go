package llama

import (
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/enginetest"
)

// BenchmarkLoads: what users feel, on the default model.
func BenchmarkLoads(b *testing.B) {
	enginetest.BenchmarkLoads(b, func(b *testing.B, cells, sequences int) engine.Backend {
		o := shipped(b)
		o.Context, o.Cells, o.Parallel = min(cells, 8192), cells, sequences
		backend, err := Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		return backend
	})
}
