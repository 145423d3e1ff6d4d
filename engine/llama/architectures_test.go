package llama

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/llama/internal/tinymodel"
)

// tiny is how to open a tiny model.
func tiny(t testing.TB, a tinymodel.Architecture) func(o *Options) {
	t.Helper()
	path := filepath.Join(t.TempDir(), string(a)+".gguf")
	if err := tinymodel.Write(path, a); err != nil {
		t.Fatal(err)
	}
	return func(o *Options) {
		o.ModelPath, o.WeightsHash, o.Name = path, "", ""
		o.Context, o.Cells, o.Parallel, o.Batch = 512, 512, 8, 256
	}
}

// TestArchitectures: what the probe says of each, and what each can do.
func TestArchitectures(t *testing.T) {
	for a, want := range map[tinymodel.Architecture]struct {
		memory engine.MemoryKind
		reason string
	}{
		tinymodel.Qwen3:  {engine.MemoryCells, "could be removed"},
		tinymodel.Gemma3: {engine.MemoryWhole, "see the last 64 tokens only"},
		tinymodel.Mamba:  {engine.MemoryWhole, "a running state instead of tokens"},
		tinymodel.LFM2:   {engine.MemoryWhole, "some of its layers keep a running state"},
	} {
		t.Run(string(a), func(t *testing.T) {
			b := open(t, tiny(t, a))
			s, info := b.Status(), b.Info()
			if info.Memory != want.memory || s.Memory != want.memory || !strings.Contains(s.MemoryReason, want.reason) {
				t.Errorf("memory %v, %q", s.Memory, s.MemoryReason)
			}
			if info.Architecture != string(a) || info.Quantisation != "Q8_0" || info.ContextTrained != tinymodel.Context {
				t.Errorf("info %+v", info)
			}
			if said := strings.Contains(info.ContextReason, "kept as wholes, since "+s.MemoryReason); said != (want.memory == engine.MemoryWhole) {
				t.Errorf("context reason %q", info.ContextReason)
			}
			if want.memory == engine.MemoryWhole {
				testWhole(t, b)
			}
		})
	}
}

// testWhole: a sequence is shared, saved and removed as a whole, and everything
// else is refused and changes nothing.
func testWhole(t *testing.T, b *Backend) {
	ids := tokens(t, b, "the story of the end ", 200)
	feed(t, b, 0, 63, ids[:150]...)
	step := func(seq engine.SeqID, from int) []float32 {
		feed(t, b, seq, 7, ids[from:from+7]...)
		return slices.Clone(logits(t, b, 6))
	}
	_, errSave := b.Save(0, 149)
	for what, err := range map[string]error{
		"cut": b.Remove(0, 149), "cut within the window": b.Remove(0, 148), "share a part": b.Share(1, 0, 149), "save a part": errSave,
	} {
		if !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if n := b.CellsUsed(); n != 150 {
		t.Fatalf("%d cells used", n)
	}
	remove(t, b, 0, 150) // nothing is there
	state := save(t, b, 0, 150)
	if err := b.Share(1, 0, 150); err != nil {
		t.Fatal(err)
	}
	if n := b.CellsUsed(); n != 150 {
		t.Errorf("%d cells used after sharing", n)
	}
	want := step(0, 150)
	if got := step(1, 150); !slices.Equal(got, want) {
		t.Error("shared: other bits")
	}
	remove(t, b, 0, 0)
	restore(t, b, 2, state)
	if got := step(2, 150); !slices.Equal(got, want) {
		t.Error("restored: other bits")
	}
	remove(t, b, 1, 0)
	if n := b.CellsUsed(); n != 157 {
		t.Errorf("%d cells used at the end", n)
	}
	// What was saved has lost what is out of the window, and so has what is
	// restored; it is saved again in the same bytes.
	restore(t, b, 3, state)
	if !slices.Equal(save(t, b, 3, 150), state) {
		t.Error("what was restored is saved in other bytes")
	}
	for seq := range engine.SeqID(4) {
		remove(t, b, seq, 0)
	}
	feed(t, b, 4, 63, ids[:150]...)
	if got := step(4, 150); !slices.Equal(got, want) {
		t.Error("computed again: other bits")
	}
}

// TestWindowLongerThanContext: nothing is ever out of the window.
func TestWindowLongerThanContext(t *testing.T) {
	change := tiny(t, tinymodel.Gemma3)
	l := &opening{status: Status{SlidingWindow: tinymodel.Window}}
	if kind, reason := l.memoryKind(tinymodel.Window); kind != engine.MemoryCells || !strings.Contains(reason, "64") {
		t.Errorf("%v, %q", kind, reason)
	}
	if b := open(t, change); b.Status().SlidingWindow != tinymodel.Window {
		t.Errorf("window %d", b.Status().SlidingWindow)
	}
}

// TestInterruptedWhole: a step that is interrupted spoils a recurrent state: the
// sequence can only be removed, and another takes its place.
func TestInterruptedWhole(t *testing.T) {
	for _, a := range tinymodel.All() {
		t.Run(string(a), func(t *testing.T) {
			b := open(t, tiny(t, a))
			ids := tokens(t, b, "the story of the end ", 300)
			feed(t, b, 0, 63, ids[:40]...)
			want := slices.Clone(logits(t, b, 39))
			remove(t, b, 0, 0)
			interrupted(t, b, ids[:40], ids[40:240])
			if n := b.CellsUsed(); n != 40 {
				t.Errorf("%d cells used", n)
			}
			err := b.Step(rowsOf(b, 0, ids[40]))
			if recurrent := a == tinymodel.Mamba || a == tinymodel.LFM2; recurrent != errors.Is(err, engine.ErrInvalid) {
				t.Errorf("going on after an interrupted step: %v", err)
			} else if recurrent {
				_, errSave := b.Save(0, 40)
				for what, err := range map[string]error{"share": b.Share(1, 0, 40), "cut": b.Remove(0, 40), "save": errSave} {
					if !errors.Is(err, engine.ErrInvalid) {
						t.Errorf("%s: error %v", what, err)
					}
				}
			}
			remove(t, b, 0, 0)
			if n := b.CellsUsed(); n != 0 {
				t.Errorf("%d cells used", n)
			}
			feed(t, b, 0, 63, ids[:40]...)
			if !slices.Equal(logits(t, b, 39), want) {
				t.Error("other bits after it was removed")
			}
		})
	}
}

// interrupted makes sequence 0 read ids, and interrupts the step that reads more.
// An interrupt may come too late, so it is tried until one does not.
func interrupted(t *testing.T, b *Backend, ids, more []engine.Token) {
	t.Helper()
	for {
		remove(t, b, 0, 0)
		feed(t, b, 0, 63, ids...)
		var over atomic.Bool
		var interrupter sync.WaitGroup
		interrupter.Go(func() {
			for !over.Load() {
				b.Interrupt()
			}
		})
		err := b.Step(rowsOf(b, 0, more...))
		over.Store(true)
		interrupter.Wait()
		if errors.Is(err, engine.ErrInterrupted) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
