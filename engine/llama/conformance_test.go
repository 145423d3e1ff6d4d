package llama

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/enginetest"
)

// TestConformance runs the suite that every backend passes on the default
// model. The cache is small, so that it can be filled.
func TestConformance(t *testing.T) {
	o := options(t)
	o.Context, o.Cells, o.Parallel, o.Batch = 512, 512, 8, 256
	enginetest.Run(t, func(t *testing.T) engine.Backend {
		t.Helper()
		b, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

// TestMemoryUsed: what the engine exports as semantic_memory_used_bytes.
func TestMemoryUsed(t *testing.T) {
	o := options(t)
	backend, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	e, err := engine.New(engine.Options{Backend: backend, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	if n, err := testutil.GatherAndCount(registry, "semantic_memory_used_bytes"); err != nil || n != 2 {
		t.Fatalf("%d series of semantic_memory_used_bytes, error %v; want weights and kv", n, err)
	}
	weights, cache := backend.MemoryUsed()
	// The default model: 30 layers with 3 KV heads of 64 values, keys and values
	// of 2 bytes, and what a cell says of itself.
	const perCell = 30 * 3 * 64 * 2 * 2
	if least := int64(o.Cells) * perCell; cache < least || cache > least+least/50 {
		t.Errorf("%d bytes of KV cache, want %d and little more", cache, least)
	}
	if weights < 90<<20 || weights > 98362432 {
		t.Errorf("%d bytes of weights of a file of 98,362,432", weights)
	}
}

// BenchmarkEngine: the engine against a bare loop over this backend.
func BenchmarkEngine(b *testing.B) { enginetest.BenchmarkEngine(b, shippedFor(b)) }

// BenchmarkObserved: an engine that is observed against one that is not.
func BenchmarkObserved(b *testing.B) { enginetest.BenchmarkObserved(b, shippedFor(b)) }

// shippedFor opens the default model for so many sequences.
func shippedFor(b *testing.B) func(b *testing.B, sequences int) engine.Backend {
	b.Helper()
	o := shipped(b)
	// All prompts go into one step on both sides.
	o.Context, o.Cells, o.Batch = 512, 4096, 1024
	return func(b *testing.B, sequences int) engine.Backend {
		b.Helper()
		o := o
		o.Parallel = sequences
		backend, err := Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		return backend
	}
}

// TestSoak: a random load on the default model, in tight room.
func TestSoak(t *testing.T) {
	o := options(t)
	o.Context, o.Cells, o.Parallel, o.Batch = 256, 512, 6, 128
	backend, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Soak(t, backend, nil, 2)
}
