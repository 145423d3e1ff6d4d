package llama

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/semantic-worker/semantic/engine"
)

func save(t testing.TB, b *Backend, seq engine.SeqID, n int32) []byte {
	t.Helper()
	state, err := b.Save(seq, n)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func restore(t testing.TB, b *Backend, seq engine.SeqID, state []byte) {
	t.Helper()
	if err := b.Restore(seq, state); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, b *Backend, seq engine.SeqID, from int32) {
	t.Helper()
	if err := b.Remove(seq, from); err != nil {
		t.Fatal(err)
	}
}

// next is the logits after one more token, which is taken back.
func next(t testing.TB, b *Backend, seq engine.SeqID, token engine.Token) []float32 {
	t.Helper()
	feed(t, b, seq, 1, token)
	out := slices.Clone(logits(t, b, 0))
	remove(t, b, seq, b.cells.length(seq)-1)
	return out
}

func checkCells(t testing.TB, b *Backend, want int) {
	t.Helper()
	if n, native := b.CellsUsed(), nativeCells(t, b); n != want || native != want {
		t.Errorf("%d cells used, natively %d, want %d", n, native, want)
	}
}

// TestState: a state is bit for bit what was saved, of a part and of all, also
// when the cells that it comes back into are others, and in every KV type.
func TestState(t *testing.T) {
	for _, kv := range []string{KVF16, KVQ8, KVQ4} {
		t.Run(kv, func(t *testing.T) {
			b := open(t, func(o *Options) { o.KVType = kv })
			ids := tokens(t, b, "the quick brown fox jumps over the lazy dog ", 400)
			feed(t, b, 0, 64, ids[:300]...)
			whole, part := save(t, b, 0, 300), save(t, b, 0, 256)
			checkCells(t, b, 300)
			want := next(t, b, 0, ids[300])
			again := save(t, b, 0, 300)
			if !slices.Equal(whole, again) {
				t.Error("the same state is saved in other bytes")
			}
			remove(t, b, 0, 256)
			wantPart := next(t, b, 0, ids[300])
			remove(t, b, 0, 0)
			checkCells(t, b, 0)

			// Others come and go, so that the cells are elsewhere.
			feed(t, b, 1, 64, ids[:70]...)
			restore(t, b, 0, whole)
			checkCells(t, b, 370)
			if !slices.Equal(next(t, b, 0, ids[300]), want) {
				t.Error("restored beside another: other bits")
			}
			restore(t, b, 2, part)
			if !slices.Equal(next(t, b, 2, ids[300]), wantPart) {
				t.Error("a restored part: other bits")
			}
			if !slices.Equal(save(t, b, 2, 256), part) {
				t.Error("what was restored is saved in other bytes")
			}
			remove(t, b, 0, 0)
			remove(t, b, 1, 0)
			checkCells(t, b, 256)
			feed(t, b, 2, 1, ids[256])
			checkCells(t, b, 257)
		})
	}
}

// TestStateOfCellsOutOfOrder: a sequence that grew into holes has its cells out
// of order, on which its bits depend. It comes back in that order, also into
// holes: llama.cpp saves cells as they lie and fills free ones from the lowest.
func TestStateOfCellsOutOfOrder(t *testing.T) {
	b := open(t, nil)
	ids := tokens(t, b, "one two three four five six seven ", 400)
	// Holes: 0 and 2 take turns, then 0 goes and 1 grows where it was.
	for i := range 6 {
		feed(t, b, 0, 16, ids[16*i:16*i+16]...)
		feed(t, b, 2, 16, ids[16*i:16*i+16]...)
	}
	remove(t, b, 0, 0)
	feed(t, b, 1, 7, ids[:150]...)
	state := save(t, b, 1, 150)
	want := next(t, b, 1, ids[150])
	remove(t, b, 1, 0)
	remove(t, b, 2, 0)
	restore(t, b, 3, state)
	if !slices.Equal(next(t, b, 3, ids[150]), want) {
		t.Error("restored into one piece: other bits")
	}
	remove(t, b, 3, 0)

	for i := range 6 {
		feed(t, b, 0, 16, ids[16*i:16*i+16]...)
		feed(t, b, 2, 16, ids[16*i:16*i+16]...)
	}
	remove(t, b, 0, 0)
	restore(t, b, 3, state)
	if !slices.Equal(next(t, b, 3, ids[150]), want) {
		t.Error("restored into holes: other bits")
	}
	checkCells(t, b, 96+150)
}

// TestRestoreElsewhere: another process with more cells and sequences takes the
// state; one with another KV type or model does not.
func TestRestoreElsewhere(t *testing.T) {
	a := open(t, nil)
	ids := tokens(t, a, "the state travels ", 200)
	feed(t, a, 3, 64, ids[:150]...)
	state := save(t, a, 3, 150)
	want := next(t, a, 3, ids[150])
	other := open(t, func(o *Options) { o.Context, o.Cells, o.Parallel = 512, 4096, 2 })
	restore(t, other, 0, state)
	if !slices.Equal(next(t, other, 0, ids[150]), want) {
		t.Error("other bits in another context")
	}
	for name, b := range map[string]*Backend{
		"another KV type": open(t, func(o *Options) { o.KVType = KVQ8 }),
		"another model":   open(t, func(o *Options) { o.WeightsHash = "01" }),
	} {
		if err := b.Restore(0, state); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: error %v", name, err)
		}
		checkCells(t, b, 0)
	}
}

// TestRestoreRefuses: bytes that are no state, and states where there is no
// room, change nothing.
func TestRestoreRefuses(t *testing.T) {
	b := open(t, func(o *Options) { o.Context, o.Cells = 512, 512 })
	ids := tokens(t, b, "a b c d ", 400)
	feed(t, b, 0, 64, ids[:300]...)
	state := save(t, b, 0, 300)
	want := next(t, b, 0, ids[300])
	if err := b.Restore(1, state); !errors.Is(err, engine.ErrNoRoom) {
		t.Errorf("300 positions with 212 cells free: %v", err)
	}
	checkCells(t, b, 300)
	part := save(t, b, 0, 100)
	edit := func(change func(s []byte) []byte) []byte { return change(slices.Clone(part)) }
	sealed := func(change func(s []byte)) []byte {
		return edit(func(s []byte) []byte {
			change(s)
			binary.LittleEndian.PutUint32(s[28:], stateSum(s[stateHeader:]))
			return s
		})
	}
	shortened := slices.Clone(part[:5000])
	binary.LittleEndian.PutUint32(shortened[28:], stateSum(shortened[stateHeader:]))
	for name, bad := range map[string][]byte{
		"nothing":           nil,
		"a header":          part[:stateHeader],
		"no magic":          edit(func(s []byte) []byte { s[0]++; return s }),
		"another identity":  edit(func(s []byte) []byte { s[9]++; return s }),
		"a bit is flipped":  edit(func(s []byte) []byte { s[len(s)/2] ^= 4; return s }),
		"cut off":           edit(func(s []byte) []byte { return s[:len(s)-1] }),
		"more than it was":  edit(func(s []byte) []byte { return append(s, 0) }),
		"no positions":      edit(func(s []byte) []byte { binary.LittleEndian.PutUint32(s[24:], 0); return s }),
		"too many":          edit(func(s []byte) []byte { binary.LittleEndian.PutUint32(s[24:], 513); return s }),
		"other positions":   edit(func(s []byte) []byte { binary.LittleEndian.PutUint32(s[24:], 99); return s }),
		"native: magic":     sealed(func(s []byte) { s[stateHeader]++ }),
		"native: streams":   sealed(func(s []byte) { s[stateHeader+8] = 2 }),
		"native: too short": shortened,
	} {
		if err := b.Restore(1, bad); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: error %v", name, err)
		}
		checkCells(t, b, 300)
	}
	for name, call := range map[string]func() error{
		"save a sequence below":     func() error { _, err := b.Save(-1, 1); return err },
		"save the scratch sequence": func() error { _, err := b.Save(4, 1); return err },
		"save nothing":              func() error { _, err := b.Save(0, 0); return err },
		"save more than there is":   func() error { _, err := b.Save(0, 301); return err },
		"save an empty sequence":    func() error { _, err := b.Save(1, 1); return err },
		"restore below":             func() error { return b.Restore(-1, part) },
		"restore into scratch":      func() error { return b.Restore(4, part) },
		"restore into one in use":   func() error { return b.Restore(0, part) },
	} {
		if err := call(); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if !slices.Equal(next(t, b, 0, ids[300]), want) {
		t.Error("the sequence that was there has other bits")
	}
	restore(t, b, 1, part)
	checkCells(t, b, 400)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, errSave := b.Save(0, 1)
	if err := b.Restore(2, part); !errors.Is(err, engine.ErrInvalid) || !errors.Is(errSave, engine.ErrInvalid) {
		t.Errorf("after Close: %v, %v", err, errSave)
	}
}

// TestStatesAgainstNative: random sharing, cutting, saving and restoring keeps
// the count of cells what llama.cpp's is.
func TestStatesAgainstNative(t *testing.T) {
	b := open(t, func(o *Options) { o.Context, o.Cells = 256, 512 })
	ids := tokens(t, b, "random walks ", 256)
	r := rand.New(rand.NewPCG(1, 2))
	var states [][]byte
	for range 300 {
		seq, other := engine.SeqID(r.IntN(4)), engine.SeqID(r.IntN(4))
		length := b.cells.length(seq)
		switch r.IntN(6) {
		case 0, 1:
			if n := r.Int32N(32) + 1; length+n <= 256 && int(n) <= len(b.cells.free) {
				feed(t, b, seq, 32, ids[length:length+n]...)
			}
		case 2:
			remove(t, b, seq, r.Int32N(length+1))
		case 3:
			if length > 0 && b.cells.length(other) == 0 {
				if err := b.Share(other, seq, r.Int32N(length)+1); err != nil {
					t.Fatal(err)
				}
			}
		case 4:
			if length > 0 {
				states = append(states, save(t, b, seq, r.Int32N(length)+1))
			}
		case 5:
			if len(states) > 0 && length == 0 {
				if err := b.Restore(seq, states[r.IntN(len(states))]); err != nil && !errors.Is(err, engine.ErrNoRoom) {
					t.Fatal(err)
				}
			}
		}
		if n, native := b.CellsUsed(), nativeCells(t, b); n != native {
			t.Fatalf("%d cells used, natively %d", n, native)
		}
	}
}

func TestSpecialPieces(t *testing.T) {
	v := open(t, nil).Vocabulary()
	ids, err := v.Tokenize("<|im_start|>é", true)
	if err != nil || len(ids) < 2 {
		t.Fatal(ids, err)
	}
	var plain, special []byte
	for _, id := range ids {
		plain, special = v.AppendPiece(plain, id, false), v.AppendPiece(special, id, true)
	}
	if string(plain) != "é" || string(special) != "<|im_start|>é" {
		t.Errorf("%q and %q", plain, special)
	}
}

// BenchmarkState: 1,024 positions of the default model.
func BenchmarkState(b *testing.B) {
	backend := open(b, func(o *Options) { o.Context = 2048 })
	ids := tokens(b, backend, "the quick brown fox ", 1024)
	feed(b, backend, 0, 512, ids...)
	state := save(b, backend, 0, 1024)
	b.Run("save", func(b *testing.B) {
		b.SetBytes(int64(len(state)))
		b.ReportAllocs()
		for b.Loop() {
			save(b, backend, 0, 1024)
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(int64(len(state)))
		b.ReportAllocs()
		for b.Loop() {
			restore(b, backend, 1, state)
			remove(b, backend, 1, 0)
		}
	})
}
