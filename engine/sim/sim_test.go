package sim_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/enginetest"
	"github.com/semantic-worker/semantic/engine/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	for name, opts := range map[string]sim.Options{
		"default": {},
		"small":   {Context: 512, Cells: 1024, Sequences: 4, Batch: 64},
		"whole":   {Context: 512, Cells: 1024, Sequences: 4, Batch: 64, Memory: engine.MemoryWhole},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T) engine.Backend {
				b, err := sim.New(opts)
				if err != nil {
					t.Fatal(err)
				}
				return b
			})
		})
	}
}
