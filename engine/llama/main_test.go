package llama

import (
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/enginetest"
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

// options are small and quick to open; one thread, because the tests of other
// packages run beside.
func options(t testing.TB) Options {
	t.Helper()
	lib, model := enginetest.Native(t)
	return Options{
		LibDir: lib, ModelPath: model, Name: "test", WeightsHash: "00", RuntimeVersion: "v0.4.0",
		Context: 1024, Cells: 2048, Parallel: 4, Threads: 1, GPULayers: -1, Batch: 512,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// shipped are the options with which a user of a CPU runs the default model: in
// Q8_0, with as many threads as are measured to be best.
func shipped(t testing.TB) Options {
	t.Helper()
	o := options(t)
	o.Threads, o.CPUModelPath, o.CPUWeightsHash = 0, quantized(t, "Q8_0"), "Q8_0"
	return o
}

func open(t testing.TB, change func(*Options)) *Backend {
	t.Helper()
	o := options(t)
	if change != nil {
		change(&o)
	}
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// tokens splits text into exactly n tokens by repeating it.
func tokens(t testing.TB, b *Backend, text string, n int) []engine.Token {
	t.Helper()
	var all []engine.Token
	for len(all) < n {
		part, err := b.Vocabulary().Tokenize(text, true)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, part...)
	}
	return all[:n]
}

// rowsOf continues a sequence; the last row asks for logits.
func rowsOf(b *Backend, seq engine.SeqID, ids ...engine.Token) []engine.Row {
	rows := make([]engine.Row, len(ids))
	for i, id := range ids {
		rows[i] = engine.Row{Token: id, Pos: b.cells.length(seq) + int32(i), Seq: seq, Logits: i == len(ids)-1}
	}
	return rows
}

// feed decodes ids at the end of a sequence in steps of at most size rows, and
// returns the last row's likeliest token.
func feed(t testing.TB, b *Backend, seq engine.SeqID, size int, ids ...engine.Token) engine.Token {
	t.Helper()
	best := engine.Token(-1)
	for len(ids) > 0 {
		n := min(size, len(ids))
		if err := b.Step(rowsOf(b, seq, ids[:n]...)); err != nil {
			t.Fatal(err)
		}
		best = argmax(logits(t, b, n-1))
		ids = ids[n:]
	}
	return best
}

func logits(t testing.TB, b *Backend, row int) []float32 {
	t.Helper()
	l, err := b.Logits(row)
	if err != nil {
		t.Fatal(err)
	}
	if len(l) != b.Vocabulary().Size() {
		t.Fatalf("%d logits for %d tokens", len(l), b.Vocabulary().Size())
	}
	return l
}

func argmax(l []float32) engine.Token {
	best := 0
	for i := range l {
		if l[i] > l[best] {
			best = i
		}
	}
	return engine.Token(best)
}
