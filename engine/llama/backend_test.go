package llama

import (
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/semantic-worker/semantic/engine"
)

func TestSpeaks(t *testing.T) {
	b := open(t, nil)
	prompt, err := b.Vocabulary().Tokenize("<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n", true)
	if err != nil {
		t.Fatal(err)
	}
	next := feed(t, b, 0, 64, prompt...)
	var text []byte
	for range 20 {
		if b.Vocabulary().EndOfGeneration(next) {
			break
		}
		text = b.Vocabulary().AppendPiece(text, next, false)
		next = feed(t, b, 0, 1, next)
	}
	if string(text) != "The capital of France is Paris." {
		t.Errorf("the model said %q", text)
	}
	info := b.Info()
	if info.Architecture != "llama" || info.Quantisation != "Q4_1" || info.Backend != BackendCPU || info.ContextTrained != 8192 ||
		info.BOS != "<|im_start|>" || info.EOS != "<|im_end|>" || !strings.Contains(info.ChatTemplate, "im_start") ||
		len(info.Fingerprint) != 32 {
		t.Errorf("info %+v", info)
	}
	if !strings.Contains(info.ContextReason, "1024 tokens (as asked for)") {
		t.Errorf("reason %q", info.ContextReason)
	}
	status := b.Status()
	if status.Memory != engine.MemoryCells || status.MemoryReason == "" || status.Threads != 1 ||
		status.Release != "v0.4.0" || status.Device == "" || status.DeviceReason == "" {
		t.Errorf("status %+v", status)
	}
}

// TestRefusals: every call that would kill the process is refused, and refusing
// changes nothing.
func TestRefusals(t *testing.T) {
	b := open(t, func(o *Options) { o.Context, o.Batch = 256, 64 })
	ids := tokens(t, b, "one two three ", 8)
	feed(t, b, 0, 8, ids...)
	vocabulary := int32(b.Vocabulary().Size())
	row := func(token engine.Token, pos int32, seq engine.SeqID) []engine.Row {
		return []engine.Row{{Token: token, Pos: pos, Seq: seq}}
	}
	many := make([]engine.Row, 65)
	for i := range many {
		many[i] = engine.Row{Pos: int32(i), Seq: 1}
	}
	long := rowsOf(b, 1, make([]engine.Token, 16)...)
	step := func(rows []engine.Row) func() error { return func() error { return b.Step(rows) } }
	logitsOf := func(i int) func() error { return func() error { _, err := b.Logits(i); return err } }
	for name, call := range map[string]func() error{
		"no rows":                        step(nil),
		"more rows than n_batch":         step(many),
		"token below the vocabulary":     step(row(-1, 8, 0)),
		"token beyond the vocabulary":    step(row(vocabulary, 8, 0)),
		"sequence below":                 step(row(1, 0, -1)),
		"sequence beyond":                step(row(1, 0, 4)),
		"scratch sequence":               step(row(1, 0, int32(b.limits.Sequences))),
		"gap in the positions":           step(row(1, 9, 0)),
		"position that is there":         step(row(1, 7, 0)),
		"negative position":              step(row(1, -1, 1)),
		"first position not 0":           step(row(1, 1, 1)),
		"gap within the step":            step(append(row(1, 8, 0), row(1, 10, 0)...)),
		"descending positions":           step(append(row(1, 9, 0), row(1, 8, 0)...)),
		"remove of a sequence below":     func() error { return b.Remove(-1, 0) },
		"remove of a sequence beyond":    func() error { return b.Remove(4, 0) },
		"remove from below":              func() error { return b.Remove(0, -1) },
		"share onto itself":              func() error { return b.Share(0, 0, 4) },
		"share onto a sequence in use":   func() error { feed(t, b, 2, 1, ids[0]); return b.Share(2, 0, 4) },
		"share more than there is":       func() error { return b.Share(1, 0, 100) },
		"share nothing":                  func() error { return b.Share(1, 0, 0) },
		"share from an empty sequence":   func() error { return b.Share(1, 3, 1) },
		"share to a sequence beyond":     func() error { return b.Share(4, 0, 1) },
		"share from a sequence below":    func() error { return b.Share(1, -1, 1) },
		"logits that were not asked for": func() error { return errors.Join(b.Step(long), logitsOf(0)(), b.Remove(1, 0)) },
		"logits of a row below":          logitsOf(-1),
		"logits of a row beyond": func() error {
			feed(t, b, 3, 1, ids[0])
			return errors.Join(logitsOf(1)(), b.Remove(3, 0))
		},
		"logits after a step that failed": func() error {
			if err := b.Step(nil); err == nil {
				t.Error("a step of no rows succeeded")
			}
			return logitsOf(0)()
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := call(); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("error %v, want one that wraps ErrInvalid", err)
			}
			if err := b.Remove(2, 0); err != nil {
				t.Error(err)
			}
			if n := b.CellsUsed(); n != len(ids) {
				t.Errorf("%d cells used afterwards, want %d", n, len(ids))
			}
		})
	}
	t.Run("position beyond the context", func(t *testing.T) {
		feed(t, b, 1, 64, tokens(t, b, "a b c ", 256)...)
		if err := b.Step(row(1, 256, 1)); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("error %v", err)
		}
	})
}

func TestNoRoom(t *testing.T) {
	b := open(t, func(o *Options) { o.Context, o.Cells = 256, 256 })
	feed(t, b, 0, 256, tokens(t, b, "a b ", 200)...)
	before := slices.Clone(logits(t, b, 199))
	if err := b.Step(rowsOf(b, 1, tokens(t, b, "x y ", 57)...)); !errors.Is(err, engine.ErrNoRoom) {
		t.Fatalf("error %v", err)
	}
	if _, err := b.Logits(0); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("logits of a step that failed: %v", err)
	}
	feed(t, b, 1, 56, tokens(t, b, "x y ", 56)...)
	if n := b.CellsUsed(); n != 256 {
		t.Errorf("%d cells used", n)
	}
	for seq := range engine.SeqID(2) {
		if err := b.Remove(seq, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.CellsUsed(); n != 0 {
		t.Errorf("%d cells used after everything was removed", n)
	}
	feed(t, b, 0, 256, tokens(t, b, "a b ", 200)...)
	if !slices.Equal(before, logits(t, b, 199)) {
		t.Error("the logits differ after the cells were used by others")
	}
}

// TestCellsAgainstNative compares CellsUsed with the state that llama.cpp
// exports: after a shape of sharing, cutting and freeing, the state has one
// entry for each cell.
func TestCellsAgainstNative(t *testing.T) {
	b := open(t, nil)
	check := func(what string, want int) {
		t.Helper()
		if n := b.CellsUsed(); n != want {
			t.Errorf("%s: CellsUsed %d, want %d", what, n, want)
		}
		if n := nativeCells(t, b); n != want {
			t.Errorf("%s: llama.cpp has %d cells, want %d", what, n, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check("empty", 0)
	ids := tokens(t, b, "the quick brown fox ", 100)
	feed(t, b, 0, 64, ids...)
	check("one sequence", 100)
	do(b.Share(1, 0, 60))
	do(b.Share(2, 1, 30))
	check("shared twice", 100)
	feed(t, b, 1, 64, ids[:10]...)
	check("one of them grown", 110)
	do(b.Remove(0, 0))
	check("the source gone", 70)
	do(b.Remove(1, 20))
	check("cut within the shared part", 30)
	do(b.Remove(2, 50))
	check("cut behind the end", 30)
	do(b.Remove(2, 0))
	check("shared by one", 20)
	do(b.Remove(1, 0))
	check("all gone", 0)
}

// nativeCells reads the number of cells from llama.cpp's state of the whole
// context: the architecture's name, then of each stream the count.
func nativeCells(t testing.TB, b *Backend) int {
	t.Helper()
	state := make([]byte, binding.StateGetSize(b.context))
	if n := binding.StateGetData(b.context, state); n != uint64(len(state)) {
		t.Fatalf("state of %d bytes, %d written", len(state), n)
	}
	take := func() int {
		n := int(binary.LittleEndian.Uint32(state))
		state = state[4:]
		return n
	}
	state = state[take():]
	if streams := take(); streams != 1 {
		t.Fatalf("%d streams in a unified cache", streams)
	}
	return take()
}

func TestInterrupt(t *testing.T) {
	b := open(t, nil)
	ids := tokens(t, b, "a long prompt that takes a while ", 512)
	b.Interrupt() // nothing runs: nothing happens
	feed(t, b, 1, 8, ids[:8]...)
	late := time.Now().Add(time.Minute)
	for interrupted := 0; interrupted < 2; {
		done := make(chan error, 1)
		go func() { done <- b.Step(rowsOf(b, 0, ids...)) }()
		var err error
		for running := true; running; {
			b.Interrupt()
			select {
			case err = <-done:
				running = false
			default:
				runtime.Gosched()
			}
		}
		if err == nil && time.Now().Before(late) { // it was over before anybody came to interrupt it
			remove(t, b, 0, 0)
			continue
		}
		if !errors.Is(err, engine.ErrInterrupted) {
			t.Fatalf("error %v", err)
		}
		interrupted++
		if n, native := b.CellsUsed(), nativeCells(t, b); n != 8 || native != 8 {
			t.Fatalf("%d cells used, natively %d", n, native)
		}
		if _, err := b.Logits(511); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("logits of an interrupted step: %v", err)
		}
	}
	b.Interrupt()
	feed(t, b, 0, 512, ids[:20]...)
	if n := b.CellsUsed(); n != 28 {
		t.Errorf("%d cells used after the step that was not interrupted", n)
	}
}

// TestBits: what engine.md says about equal bits, as far as this backend does
// its part: cuts below 64 rows, company, and shared prefixes change nothing.
func TestBits(t *testing.T) {
	b := open(t, nil)
	ids := tokens(t, b, "Once upon a time there was a fox who ", 100)
	feed(t, b, 0, 32, ids...)
	want := slices.Clone(logits(t, b, (100-1)%32))
	same := func(what string, row int) {
		t.Helper()
		if !slices.Equal(want, logits(t, b, row)) {
			t.Errorf("%s: other logits", what)
		}
	}
	feed(t, b, 1, 7, ids...)
	same("other cuts", (100-1)%7)
	if err := b.Share(2, 0, 90); err != nil {
		t.Fatal(err)
	}
	feed(t, b, 2, 10, ids[90:]...)
	same("shared prefix", 9)
	if err := errors.Join(b.Remove(0, 99), b.Remove(1, 99)); err != nil {
		t.Fatal(err)
	}
	rows := append(rowsOf(b, 0, ids[99]), rowsOf(b, 1, ids[99])...)
	if err := b.Step(rows); err != nil {
		t.Fatal(err)
	}
	same("cut back, in company", 0)
	same("cut back, in company, the other", 1)
}

// TestThreadsKeepBits: as the package's documentation says, the number of
// threads changes nothing in steps of several rows, nor in any step while the
// first 256 cells are enough.
func TestThreadsKeepBits(t *testing.T) {
	b := open(t, func(o *Options) { o.Context = 512 })
	most := int32(Threads())
	ids := tokens(t, b, "Once upon a time there was a fox who ", 300)
	// last makes a step with a number of threads, takes it back, and returns the
	// logits of its last row.
	last := func(threads int32, rows []engine.Row) []float32 {
		t.Helper()
		binding.SetNThreads(b.context, threads, threads)
		defer binding.SetNThreads(b.context, 1, 1)
		if err := b.Step(rows); err != nil {
			t.Fatal(err)
		}
		result := slices.Clone(logits(t, b, len(rows)-1))
		for _, r := range rows {
			if err := b.Remove(r.Seq, r.Pos); err != nil {
				t.Fatal(err)
			}
		}
		return result
	}
	same := func(what string, rows []engine.Row) {
		t.Helper()
		if !slices.Equal(last(1, rows), last(most, rows)) {
			t.Errorf("%s: other bits with %d threads", what, most)
		}
	}
	feed(t, b, 0, 63, ids[:200]...)
	same("one row within 256 cells", rowsOf(b, 0, ids[200]))
	feed(t, b, 0, 63, ids[200:]...)
	same("63 rows", rowsOf(b, 0, ids[:63]...))
	same("two rows beyond 256 cells", append(rowsOf(b, 1, ids[1]), rowsOf(b, 0, ids[0])...))
}

// TestResume: a stream that is resumed elsewhere gives the same text if the
// prompt is prefilled with the same cuts and the emitted tokens are replayed in
// steps of at most 32 rows.
func TestResume(t *testing.T) {
	b := open(t, nil)
	prompt := tokens(t, b, "Write a story about a lighthouse and the sea. ", 100)
	const whole, killed = 60, 40
	generate := func(seq engine.SeqID, emitted []engine.Token) []engine.Token {
		next := feed(t, b, seq, 64, prompt...)
		if len(emitted) > 0 {
			next = feed(t, b, seq, 32, emitted...)
		}
		for emitted = slices.Clone(emitted); len(emitted) < whole; next = feed(t, b, seq, 1, next) {
			emitted = append(emitted, next)
		}
		return emitted
	}
	want := generate(0, nil)
	got := generate(1, want[:killed])
	if !slices.Equal(got, want) {
		t.Errorf("resumed\n%v\nuninterrupted\n%v", got, want)
	}
}

func TestKVTypes(t *testing.T) {
	perCell := make(map[string]uint64)
	for _, kv := range []string{KVF16, KVQ8, KVQ4} {
		b := open(t, func(o *Options) { o.KVType = kv })
		feed(t, b, 0, 64, tokens(t, b, "hello ", 80)...)
		if s := b.Status(); s.KVType != kv {
			t.Errorf("status %+v", s)
		} else {
			perCell[kv] = s.KV
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if perCell[KVF16] <= perCell[KVQ8] || perCell[KVQ8] <= perCell[KVQ4] {
		t.Errorf("sizes %v do not fall", perCell)
	}
}

func TestClose(t *testing.T) {
	b := open(t, nil)
	feed(t, b, 0, 4, tokens(t, b, "hello ", 4)...)
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, errLogits := b.Logits(3)
	_, errTokenize := b.Vocabulary().Tokenize("a", false)
	for name, err := range map[string]error{
		"Step": b.Step(rowsOf(b, 1, 1)), "Remove": b.Remove(0, 0), "Share": b.Share(1, 0, 1), "Logits": errLogits, "Tokenize": errTokenize,
	} {
		if !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if got := string(b.Vocabulary().AppendPiece(nil, 28, false)); got == "" {
		t.Error("the vocabulary forgot its pieces")
	}
}
