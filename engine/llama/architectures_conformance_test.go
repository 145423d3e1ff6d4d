package llama

import (
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/enginetest"
	"github.com/semantic-worker/semantic/engine/llama/internal/tinymodel"
)

// TestArchitecturesSoak: a random load on the tiny models.
func TestArchitecturesSoak(t *testing.T) {
	for _, a := range tinymodel.All() {
		t.Run(string(a), func(t *testing.T) {
			o := options(t)
			tiny(t, a)(&o)
			o.Context, o.Cells = min(o.Context, 256), min(o.Cells, 600)
			b, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			enginetest.Soak(t, b, nil, 2)
		})
	}
}

// TestArchitecturesConformance runs the suite on every tiny model.
func TestArchitecturesConformance(t *testing.T) {
	for _, a := range tinymodel.All() {
		t.Run(string(a), func(t *testing.T) {
			o := options(t)
			tiny(t, a)(&o)
			enginetest.Run(t, func(t *testing.T) engine.Backend {
				t.Helper()
				b, err := Open(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				return b
			})
		})
	}
}
