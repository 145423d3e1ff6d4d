package enginetest_test

import (
	"errors"
	"slices"
	"strings"
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

func open(t testing.TB) *sim.Backend {
	t.Helper()
	b, err := sim.New(sim.Options{Context: 512, Cells: 1024, Batch: 128})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// broken is a simulated backend that breaks one promise.
type broken struct {
	*sim.Backend

	info     func(engine.ModelInfo) engine.ModelInfo
	step     func(b *sim.Backend, rows []engine.Row) error
	logits   func(b *broken, i int, logits []float32) ([]float32, error)
	remove   func(b *sim.Backend, seq engine.SeqID, from int32) error
	share    func(b *sim.Backend, dst, src engine.SeqID, n int32) error
	restore  func(b *sim.Backend, seq engine.SeqID, state []byte) error
	used     func(used int) int
	rows     []engine.Row
	vocab    engine.Vocabulary
	closeErr error
}

func (b *broken) Info() engine.ModelInfo {
	if b.info != nil {
		return b.info(b.Backend.Info())
	}
	return b.Backend.Info()
}

func (b *broken) Vocabulary() engine.Vocabulary {
	if b.vocab != nil {
		return b.vocab
	}
	return b.Backend.Vocabulary()
}

func (b *broken) Step(rows []engine.Row) error {
	b.rows = rows
	if b.step != nil {
		return b.step(b.Backend, rows)
	}
	return b.Backend.Step(rows)
}

func (b *broken) Logits(i int) ([]float32, error) {
	logits, err := b.Backend.Logits(i)
	if b.logits != nil {
		return b.logits(b, i, logits)
	}
	return logits, err
}

func (b *broken) Remove(seq engine.SeqID, from int32) error {
	if b.remove != nil {
		return b.remove(b.Backend, seq, from)
	}
	return b.Backend.Remove(seq, from)
}

func (b *broken) Share(dst, src engine.SeqID, n int32) error {
	if b.share != nil {
		return b.share(b.Backend, dst, src, n)
	}
	return b.Backend.Share(dst, src, n)
}

func (b *broken) Restore(seq engine.SeqID, state []byte) error {
	if b.restore != nil {
		return b.restore(b.Backend, seq, state)
	}
	return b.Backend.Restore(seq, state)
}

func (b *broken) CellsUsed() int {
	if b.used != nil {
		return b.used(b.Backend.CellsUsed())
	}
	return b.Backend.CellsUsed()
}

func (b *broken) Close() error { return errors.Join(b.Backend.Close(), b.closeErr) }

// endless never ends the model's turn.
type endless struct{ engine.Vocabulary }

func (endless) EndOfGeneration(engine.Token) bool { return false }

// mangled gives other bytes than were read.
type mangled struct{ engine.Vocabulary }

func (m mangled) AppendPiece(dst []byte, token engine.Token, special bool) []byte {
	if token == ' ' {
		return dst
	}
	return m.Vocabulary.AppendPiece(dst, token, special)
}

// The suite finds what is broken, in the case that is about it.
func TestFindsBrokenPromises(t *testing.T) {
	disturb := func(b *broken, i int, logits []float32) ([]float32, error) {
		if logits == nil || i < 0 || i >= len(b.rows) || !b.rows[i].Logits {
			return b.Backend.Logits(i)
		}
		// The neighbour shines through.
		out := slices.Clone(logits)
		out[b.rows[0].Token] += float32(len(b.rows))
		return out, nil
	}
	for name, c := range map[string]struct {
		broken *broken
		found  string
	}{
		"no fingerprint": {
			&broken{info: func(info engine.ModelInfo) engine.ModelInfo { info.Fingerprint = ""; return info }},
			"backend/describes itself",
		},
		"text is not read": {&broken{vocab: mangled{}}, "backend/describes itself"},
		"cells leak": {
			&broken{remove: func(b *sim.Backend, seq engine.SeqID, from int32) error {
				if from > 0 {
					return nil
				}
				return b.Remove(seq, from)
			}},
			"backend/cells are counted",
		},
		"neighbours disturb": {&broken{logits: disturb}, "backend/logits depend on the sequence alone"},
		"neighbours disturb answers": {
			&broken{logits: func(b *broken, _ int, logits []float32) ([]float32, error) {
				if len(b.rows) > 1 && len(logits) > 0 {
					out := slices.Clone(logits)
					slices.Reverse(out)
					return out, nil
				}
				return logits, nil
			}},
			"engine/a batch of N equals N alone",
		},
		"sharing counts twice": {
			&broken{share: func(b *sim.Backend, dst, src engine.SeqID, n int32) error {
				if err := b.Share(dst, src, n); err != nil {
					return err
				}
				return b.Step([]engine.Row{{Seq: dst, Pos: n}})
			}},
			"backend/shared positions use no cells",
		},
		"what is shared is something else": {
			&broken{share: func(b *sim.Backend, dst, _ engine.SeqID, n int32) error {
				for pos := range n {
					if err := b.Step([]engine.Row{{Seq: dst, Pos: pos}}); err != nil {
						return err
					}
				}
				return nil
			}},
			"engine/a beginning that many share is read once",
		},
		"it does not share": {
			&broken{share: func(*sim.Backend, engine.SeqID, engine.SeqID, int32) error { return engine.ErrInvalid }},
			"engine/n of one prompt",
		},
		"states come back as something else": {
			&broken{restore: func(b *sim.Backend, seq engine.SeqID, state []byte) error {
				// A bit of what the model knows after the last token.
				state[len(state)-56] ^= 1
				return b.Restore(seq, state)
			}},
			"engine/preempted sequences go on",
		},
		"gaps are taken": {
			&broken{step: func(b *sim.Backend, rows []engine.Row) error {
				if err := b.Step(rows); !errors.Is(err, engine.ErrInvalid) || len(rows) == 0 || rows[0].Pos != 9 {
					return err
				}
				return nil
			}},
			"backend/invalid arguments are refused",
		},
		"no room changes something": {
			&broken{step: func(b *sim.Backend, rows []engine.Row) error {
				err := b.Step(rows)
				if errors.Is(err, engine.ErrNoRoom) {
					return errors.Join(err, b.Step(rows[:1]))
				}
				return err
			}},
			"backend/no room changes nothing",
		},
		"interrupts are remembered": {
			&broken{step: func(*sim.Backend, []engine.Row) error { return engine.ErrInterrupted }},
			"backend/interrupt ends one step at most",
		},
		"it does not close": {&broken{closeErr: errors.New("busy")}, "engine/greedy text repeats itself"},
	} {
		t.Run(name, func(t *testing.T) {
			c.broken.Backend = open(t)
			switch c.broken.vocab.(type) {
			case mangled:
				c.broken.vocab = mangled{c.broken.Backend.Vocabulary()}
			case endless:
				c.broken.vocab = endless{c.broken.Backend.Vocabulary()}
			}
			if err := run(t, c.found, c.broken); err == nil || errors.Is(err, enginetest.ErrUnproven) {
				t.Errorf("%s: %v", c.found, err)
			}
		})
	}
}

func run(t *testing.T, name string, backend engine.Backend) error {
	t.Helper()
	cases := enginetest.Cases()
	i := slices.IndexFunc(cases, func(c enginetest.Case) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no case %q", name)
	}
	return cases[i].Run(t.Context(), backend)
}

// Where bits are not promised to be equal a difference is said, no failure.
func TestSaysWhatIsNotPromised(t *testing.T) {
	for name, b := range map[string]*broken{
		"backend/logits depend on the sequence alone": {logits: func(b *broken, _ int, logits []float32) ([]float32, error) {
			out := slices.Clone(logits)
			out[0] += float32(len(b.rows))
			return out, nil
		}},
		"engine/the end of the model's turn": {vocab: endless{}},
	} {
		b.Backend = open(t)
		if b.vocab != nil {
			b.vocab = endless{b.Backend.Vocabulary()}
		}
		b.info = func(info engine.ModelInfo) engine.ModelInfo { info.Backend = "metal"; return info }
		if err := run(t, name, b); !errors.Is(err, enginetest.ErrUnproven) {
			t.Errorf("%s: %v, want ErrUnproven", name, err)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range enginetest.Cases() {
		if seen[c.Name] || strings.TrimSpace(c.Name) == "" {
			t.Errorf("%q", c.Name)
		}
		seen[c.Name] = true
	}
}

func BenchmarkEngine(b *testing.B) { enginetest.BenchmarkEngine(b, quick) }

func BenchmarkObserved(b *testing.B) { enginetest.BenchmarkObserved(b, quick) }

// quick is a simulated backend that takes no time.
func quick(b *testing.B, sequences int) engine.Backend {
	b.Helper()
	backend, err := sim.New(sim.Options{Sequences: sequences})
	if err != nil {
		b.Fatal(err)
	}
	return backend
}

func TestSoak(t *testing.T) {
	for name, memory := range map[string]engine.MemoryKind{"cells": engine.MemoryCells, "whole": engine.MemoryWhole} {
		t.Run(name, func(t *testing.T) {
			open := func(cells int) engine.Backend {
				backend, err := sim.New(sim.Options{Context: 256, Cells: cells, Sequences: 6, Batch: 128, Apart: 64, Memory: memory})
				if err != nil {
					t.Fatal(err)
				}
				return backend
			}
			enginetest.Soak(t, open(600), open(4096), 12)
		})
	}
}
