package llama

import (
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/enginetest"
)

func BenchmarkLoads(b *testing.B) {
	enginetest.BenchmarkLoads(b, func(b *testing.B, cells, sequences int) engine.Backend {
		o := options(b)
		o.Context, o.Cells, o.Parallel, o.Threads, o.Batch = min(cells, 8192), cells, sequences, 0, 512
		backend, err := Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		return backend
	})
}
