package enginetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/grammar"
)

// BenchmarkLoads measures an engine as its users feel it, each as a ratio within
// one round. open returns a backend with so many cells, for so many sequences.
//
//   - together: tokens a second of 8 streams at once over those of the same one
//     after another.
//   - stall: the inter-token latency (99 %) of 8 running streams while a prompt
//     of 4,000 tokens prefills over theirs alone, and the time to first token of
//     a short prompt that arrives behind the long one.
//   - shared: prompt rows computed for 16 sequences with a common beginning of
//     2,000 tokens over those without sharing.
//   - room: 12 streams in room for 6: how many gave the text that they give
//     alone, and how often one was preempted.
//   - grammar: time per token under a JSON grammar over that of free text.
func BenchmarkLoads(b *testing.B, open func(b *testing.B, cells, sequences int) engine.Backend) {
	for _, load := range []struct {
		name             string
		cells, sequences int
		round            func(b *testing.B, l *load)
	}{
		{"together", 4096, 8, together},
		{"stall", 8192, 16, stall},
		{"shared", 8192, 16, shared},
		{"room", 768, 12, tightRoom},
		{"grammar", 4096, 4, grammarCost},
	} {
		b.Run(load.name, func(b *testing.B) {
			l := newLoad(b, open(b, load.cells, load.sequences))
			load.round(b, l) // once before, so that everything is warm
			clear(l.figures)
			b.ResetTimer()
			for b.Loop() {
				load.round(b, l)
			}
			l.report()
		})
	}
}

// load is an engine under a benchmark, with the figures of its rounds.
type load struct {
	session
	b       *testing.B
	figures map[string][]float64
	serial  int
}

func newLoad(b *testing.B, backend engine.Backend) *load {
	b.Helper()
	e, err := engine.New(engine.Options{Backend: backend})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return &load{session: session{e}, b: b, figures: map[string][]float64{}}
}

func (l *load) note(name string, figure float64) { l.figures[name] = append(l.figures[name], figure) }

// report reports the median of each figure over the rounds.
func (l *load) report() {
	for name, figures := range l.figures {
		slices.Sort(figures)
		l.b.ReportMetric(figures[len(figures)/2], name)
	}
	l.b.ReportMetric(0, "ns/op")
}

// text returns n tokens of a text that is a function of the number.
func (l *load) text(number, n int) []engine.Token {
	l.b.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%d words=500 and %d more; ", number*7+i, number+i*i)
	}
	tokens, err := l.Vocabulary().Tokenize(text.String(), false)
	if err != nil {
		l.b.Fatal(err)
	}
	return tokens[:n]
}

// timed is what came of a stream, and when.
type timed struct {
	tokens []engine.Token
	text   string
	first  time.Duration
	gaps   []time.Duration
	last   time.Time
}

// submit starts a stream that generates n tokens, whatever the model wants.
func (l *load) submit(prompt []engine.Token, n int, change func(r *engine.Request)) *engine.Sequence {
	l.b.Helper()
	l.serial++
	r := engine.Request{ID: strconv.Itoa(l.serial), Prompt: prompt, MaxTokens: n}
	r.IgnoreEOS = true
	if change != nil {
		change(&r)
	}
	seq, err := l.Submit(l.b.Context(), r)
	if err != nil {
		l.b.Fatal(err)
	}
	return seq
}

// follow reads a stream to its end, telling each arrival.
func follow(ctx context.Context, seq *engine.Sequence, arrived func(n int)) (timed, error) {
	began := time.Now()
	var t timed
	for {
		chunk, err := seq.Next(ctx)
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, fmt.Errorf("next: %w", err)
		}
		now := time.Now()
		t.text += chunk.Text
		if len(chunk.Tokens) == 0 {
			continue
		}
		if len(t.tokens) == 0 {
			t.first = now.Sub(began)
		} else {
			t.gaps = append(t.gaps, now.Sub(t.last))
		}
		t.tokens, t.last = append(t.tokens, chunk.Tokens...), now
		if arrived != nil {
			arrived(len(t.tokens))
		}
	}
}

// all follows streams at once.
func (l *load) all(sequences []*engine.Sequence, arrived func(stream, n int)) []timed {
	l.b.Helper()
	results := make([]timed, len(sequences))
	var readers sync.WaitGroup
	for i, seq := range sequences {
		readers.Go(func() {
			var err error
			results[i], err = follow(l.b.Context(), seq, func(n int) {
				if arrived != nil {
					arrived(i, n)
				}
			})
			if err != nil {
				l.b.Error(err)
			}
		})
	}
	readers.Wait()
	return results
}

func together(b *testing.B, l *load) {
	b.Helper()
	const streams, tokens = 8, 48
	began := time.Now()
	for i := range streams {
		l.all([]*engine.Sequence{l.submit(l.text(i, 40), tokens, nil)}, nil)
	}
	oneByOne := time.Since(began)
	began = time.Now()
	var sequences []*engine.Sequence
	for i := range streams {
		sequences = append(sequences, l.submit(l.text(i, 40), tokens, nil))
	}
	l.all(sequences, nil)
	l.note("together/one-by-one", oneByOne.Seconds()/time.Since(began).Seconds())
}

func stall(b *testing.B, l *load) {
	b.Helper()
	const streams, long = 8, 4000
	var sequences []*engine.Sequence
	for i := range streams {
		sequences = append(sequences, l.submit(l.text(i, 40), 200, nil))
	}
	alone := percentile(gaps(l.all(sequences, nil)), 0.99)

	sequences = sequences[:0]
	var arrivals sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	for i := range streams {
		sequences = append(sequences, l.submit(l.text(i, 40), 2000, nil))
	}
	running := make(chan struct{})
	var once sync.Once
	var mu sync.Mutex
	var beside []time.Duration
	measuring := false
	for i, seq := range sequences {
		arrivals.Go(func() {
			var last time.Time
			_, err := follow(ctx, seq, func(n int) {
				now := time.Now()
				if n > 8 && i == 0 {
					once.Do(func() { close(running) })
				}
				mu.Lock()
				defer mu.Unlock()
				if measuring && !last.IsZero() {
					beside = append(beside, now.Sub(last))
				}
				last = now
			})
			if err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		})
	}
	<-running
	mu.Lock()
	measuring = true
	mu.Unlock()
	longOne, shortOne := l.submit(l.text(99, long), 1, nil), l.submit(l.text(98, 40), 1, nil)
	results := l.all([]*engine.Sequence{longOne, shortOne}, nil)
	mu.Lock()
	measuring = false
	mu.Unlock()
	cancel()
	for _, seq := range sequences {
		seq.Cancel()
	}
	arrivals.Wait()
	slices.Sort(beside)
	p99 := percentile(beside, 0.99)
	l.note("itl-p99-beside/alone", p99.Seconds()/alone.Seconds())
	l.note("itl-p99-alone-ms", alone.Seconds()*1000)
	l.note("itl-p99-beside-ms", p99.Seconds()*1000)
	l.note("long-ttft-ms", results[0].first.Seconds()*1000)
	l.note("short-ttft-ms", results[1].first.Seconds()*1000)
}

func gaps(streams []timed) (all []time.Duration) {
	for _, s := range streams {
		all = append(all, s.gaps...)
	}
	slices.Sort(all)
	return all
}

// percentile is of sorted durations.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func shared(b *testing.B, l *load) {
	b.Helper()
	const agents, common, own = 16, 2000, 30
	prefix := l.text(1000+l.serial, common)
	before := l.Snapshot().Rows
	var sequences []*engine.Sequence
	for i := range agents {
		sequences = append(sequences, l.submit(slices.Concat(prefix, l.text(i, own)), 2, nil))
	}
	generated := 0
	for _, s := range l.all(sequences, nil) {
		generated += len(s.tokens)
	}
	computed := l.Snapshot().Rows - before - int64(generated)
	l.note("rows/unshared", float64(computed)/float64(agents*(common+own)))
}

func tightRoom(b *testing.B, l *load) {
	b.Helper()
	const streams, tokens = 12, 100
	var alone []timed
	for i := range streams {
		alone = append(alone, l.all([]*engine.Sequence{l.submit(l.text(i, 28), tokens, nil)}, nil)...)
	}
	before := l.Snapshot().Preemptions
	var sequences []*engine.Sequence
	for i := range streams {
		sequences = append(sequences, l.submit(l.text(i, 28), tokens, nil))
	}
	same := 0
	for i, s := range l.all(sequences, nil) {
		if len(s.tokens) != tokens {
			b.Errorf("stream %d ended after %d tokens", i, len(s.tokens))
		}
		if s.text == alone[i].text {
			same++
		}
	}
	l.note("same-text-of-12", float64(same))
	l.note("preemptions", float64(l.Snapshot().Preemptions-before))
}

// textGrammar is a JSON list of strings of letters.
const textGrammar = `root ::= "[" string ("," string)* "]"
string ::= "\"" [^"\\\x00-\x1f]* "\""`

func grammarCost(b *testing.B, l *load) {
	b.Helper()
	g, err := grammar.Parse(textGrammar)
	if err != nil {
		b.Fatal(err)
	}
	const tokens = 150
	perToken := func(change func(r *engine.Request)) float64 {
		began := time.Now()
		got := l.all([]*engine.Sequence{l.submit(l.text(1, 40), tokens, change)}, nil)
		return time.Since(began).Seconds() / float64(len(got[0].tokens))
	}
	// In turns, so that both meet the same machine.
	var free, kept float64
	for range 3 {
		free += perToken(nil)
		kept += perToken(func(r *engine.Request) { r.Grammar = g })
	}
	runtime.GC()
	l.note("grammar/free", kept/free)
}
