package sim_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/enginetest"
	"github.com/semantic-worker/semantic/engine/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(patient{m}) }

// patient lets what ends by itself take its time before leaks are looked for.
type patient struct{ *testing.M }

// Run implements goleak.TestingM.
func (p patient) Run() int {
	code := p.M.Run()
	for late := time.Now().Add(time.Minute); goleak.Find() != nil && time.Now().Before(late); {
	}
	return code
}

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
