package llama

import (
	"fmt"
	"strings"
	"testing"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/semantic-worker/semantic/engine"
)

// BenchmarkStep decodes one token of each of n sequences and looks at their
// logits: through the backend, and with the same native calls as yzma makes
// them; with one thread, and with as many as there are by default. The context
// is cut back so that every step does the same work.
func BenchmarkStep(b *testing.B) {
	threads := []int{1}
	if n := Threads(); n > 1 {
		threads = append(threads, n)
	}
	for _, n := range threads {
		b.Run(fmt.Sprintf("threads=%d", n), func(b *testing.B) { benchmarkStep(b, n) })
	}
}

func benchmarkStep(b *testing.B, threads int) {
	backend := open(b, func(o *Options) { o.Parallel, o.Batch, o.Threads = 16, 64, threads })
	ids := tokens(b, backend, "the quick brown fox ", 32)
	for _, n := range []int{1, 4, 8} {
		rows := make([]engine.Row, n)
		for i := range rows {
			seq := engine.SeqID(i)
			if err := backend.Remove(seq, 0); err != nil {
				b.Fatal(err)
			}
			feed(b, backend, seq, 32, ids...)
			rows[i] = engine.Row{Token: ids[0], Pos: int32(len(ids)), Seq: seq, Logits: true}
		}
		perSecond := func(b *testing.B) {
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "tok/s")
		}
		b.Run(fmt.Sprintf("backend/streams=%d", n), func(b *testing.B) {
			defer perSecond(b)
			b.ReportAllocs()
			for b.Loop() {
				if err := backend.Step(rows); err != nil {
					b.Fatal(err)
				}
				for i := range rows {
					if _, err := backend.Logits(i); err != nil {
						b.Fatal(err)
					}
				}
				for i := range rows {
					if err := backend.Remove(rows[i].Seq, rows[i].Pos); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(fmt.Sprintf("yzma/streams=%d", n), func(b *testing.B) {
			defer perSecond(b)
			batch := binding.BatchInit(int32(n), 0, 1)
			defer binding.BatchFree(batch) //nolint:errcheck // it cannot fail
			b.ReportAllocs()
			for b.Loop() {
				_ = batch.Clear()
				for _, r := range rows {
					if err := batch.Add(binding.Token(r.Token), binding.Pos(r.Pos), []binding.SeqId{binding.SeqId(r.Seq)}, true); err != nil {
						b.Fatal(err)
					}
				}
				if result, err := binding.Decode(backend.context, batch); err != nil || result != 0 {
					b.Fatal(result, err)
				}
				for i := range rows {
					if l, err := binding.GetLogitsIth(backend.context, int32(i), backend.vocab.Size()); err != nil || l == nil {
						b.Fatal(err)
					}
				}
				for _, r := range rows {
					if _, err := binding.MemorySeqRm(backend.memory, binding.SeqId(r.Seq), binding.Pos(r.Pos), -1); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkTokenize splits a prompt of about 1,500 tokens.
func BenchmarkTokenize(b *testing.B) {
	backend := open(b, nil)
	var prompt strings.Builder
	for i := range 300 {
		fmt.Fprintf(&prompt, "sentence %d of a prompt. ", i)
	}
	text := prompt.String()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := backend.Vocabulary().Tokenize(text, true); err != nil {
			b.Fatal(err)
		}
	}
}
