package enginetest

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
)

// benchTokens is how many tokens each stream generates in a round.
const benchTokens = 48

// BenchmarkEngine compares the engine with a bare loop that makes the same
// backend calls (the prompts in the same steps, then one row per stream and
// step, and the likeliest token of each), at 1, 4, 8 and 16 streams. Rounds of
// the two take turns on two backends that open returns, for so many sequences;
// the engine waits until all streams are there, so that both make the same steps. It reports tokens per
// second of both (prompts included in the time), the median of the rounds'
// ratios, how much of the time both spend outside of the backend's steps, and the
// engine's allocations per token.
//
// On a small machine run it with -benchtime=5x or so: a round is one iteration.
func BenchmarkEngine(b *testing.B, open func(b *testing.B, sequences int) engine.Backend) {
	for _, streams := range []int{1, 4, 8, 16} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) { benchmark(b, open, streams) })
	}
}

func benchmark(b *testing.B, open func(b *testing.B, sequences int) engine.Backend, streams int) {
	backend := &clocked{Backend: open(b, streams)}
	bareBackend := &clocked{Backend: open(b, streams)}
	bare := newBareLoop(b, bareBackend)
	defer bare.close(b)
	e := inCompany(b, engine.Options{Backend: backend})
	prompts := make([][]engine.Token, streams)
	for i := range prompts {
		var err error
		if prompts[i], err = e.Vocabulary().Tokenize(fmt.Sprintf("%d. words=200 %s", i, someText), false); err != nil {
			b.Fatal(err)
		}
	}
	// Once before, so that both are warm and their buffers have grown.
	submit := func(r engine.Request) (*engine.Sequence, error) { return e.Submit(b.Context(), r) }
	engineRound(b, submit, engine.Request{MaxTokens: benchTokens}, prompts)
	bare.round(b, prompts)

	backend.inside.Store(0)
	bareBackend.inside.Store(0)

	var ratios []float64
	var ours, theirs, tokens, mallocs float64
	b.ResetTimer()
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, took := engineRound(b, submit, engine.Request{MaxTokens: benchTokens}, prompts)
		runtime.ReadMemStats(&after)
		m, bareTook := bare.round(b, prompts)
		mallocs += float64(after.Mallocs - before.Mallocs)
		tokens += float64(n)
		ours += took.Seconds()
		theirs += bareTook.Seconds()
		ratios = append(ratios, float64(n)/took.Seconds()/(float64(m)/bareTook.Seconds()))
	}
	slices.Sort(ratios)
	b.ReportMetric(tokens/ours, "engine-tok/s")
	b.ReportMetric(tokens/theirs, "bare-tok/s")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(mallocs/tokens, "allocs/tok")
	b.ReportMetric(100*(1-backend.seconds()/ours), "engine-outside-%")
	b.ReportMetric(100*(1-bareBackend.seconds()/theirs), "bare-outside-%")
	b.ReportMetric(0, "ns/op")
}

// clocked sums up how long the steps of a backend take.
type clocked struct {
	engine.Backend
	inside atomic.Int64
}

func (c *clocked) Step(rows []engine.Row) error {
	began := time.Now()
	defer func() { c.inside.Add(int64(time.Since(began))) }()
	return c.Backend.Step(rows)
}

func (c *clocked) seconds() float64 { return time.Duration(c.inside.Load()).Seconds() }

// submitter hands a request to an engine.
type submitter func(engine.Request) (*engine.Sequence, error)

// engineRound runs a request with each of the prompts to its end and counts what
// they generated.
func engineRound(b *testing.B, submit submitter, request engine.Request, prompts [][]engine.Token) (tokens int, took time.Duration) {
	b.Helper()
	began := time.Now()
	sequences := make([]*engine.Sequence, len(prompts))
	for i, prompt := range prompts {
		request.ID, request.Prompt = strconv.Itoa(i), prompt
		var err error
		if sequences[i], err = submit(request); err != nil {
			b.Fatal(err)
		}
	}
	counts := make([]int, len(prompts))
	var readers sync.WaitGroup
	for i, s := range sequences {
		readers.Go(func() {
			for ended := false; !ended; {
				chunk, err := s.Next(b.Context())
				if err != nil {
					b.Error(err)
					return
				}
				counts[i] += len(chunk.Tokens)
				ended = chunk.Finish != ""
			}
		})
	}
	readers.Wait()
	took = time.Since(began)
	for _, n := range counts {
		tokens += n
	}
	return tokens, took
}

// bareLoop drives a backend with as little as is possible around it.
type bareLoop struct {
	work chan func()
	done sync.WaitGroup
	b    engine.Backend
	rows []engine.Row
}

// newBareLoop gives the backend a thread of its own, as the engine does.
func newBareLoop(b *testing.B, backend engine.Backend) *bareLoop {
	b.Helper()
	l := &bareLoop{work: make(chan func()), b: backend}
	l.done.Go(func() {
		runtime.LockOSThread()
		for f := range l.work {
			f()
		}
	})
	return l
}

func (l *bareLoop) close(b *testing.B) {
	b.Helper()
	l.on(func() {
		if err := l.b.Close(); err != nil {
			b.Error(err)
		}
	})
	close(l.work)
	l.done.Wait()
}

func (l *bareLoop) on(f func()) {
	done := make(chan struct{})
	l.work <- func() { defer close(done); f() }
	<-done
}

func (l *bareLoop) round(b *testing.B, prompts [][]engine.Token) (tokens int, took time.Duration) {
	b.Helper()
	var err error
	l.on(func() {
		began := time.Now()
		tokens, err = l.generate(prompts)
		took = time.Since(began)
	})
	if err != nil {
		b.Fatal(err)
	}
	return tokens, took
}

// stream is one sequence of the bare loop.
type stream struct {
	seq      engine.SeqID
	tokens   []engine.Token
	resident int
	row      int
	over     bool
}

func (l *bareLoop) generate(prompts [][]engine.Token) (tokens int, err error) {
	streams := make([]stream, len(prompts))
	for i, prompt := range prompts {
		streams[i] = stream{seq: engine.SeqID(i), tokens: slices.Clone(prompt)}
	}
	for running := len(streams); running > 0; {
		l.fill(streams)
		if err := l.b.Step(l.rows); err != nil {
			return 0, fmt.Errorf("step: %w", err)
		}
		for i := range streams {
			s := &streams[i]
			if s.over || s.row < 0 {
				continue
			}
			logits, err := l.b.Logits(s.row)
			if err != nil {
				return 0, fmt.Errorf("logits: %w", err)
			}
			best := 0
			for j, v := range logits {
				if v > logits[best] {
					best = j
				}
			}
			s.tokens = append(s.tokens, engine.Token(best))
			end := l.b.Vocabulary().EndOfGeneration(engine.Token(best))
			if !end {
				tokens++
			}
			if end || len(s.tokens)-len(prompts[i]) == benchTokens {
				s.over = true
				running--
				if err := l.b.Remove(s.seq, 0); err != nil {
					return 0, fmt.Errorf("remove: %w", err)
				}
			}
		}
	}
	return tokens, nil
}

// fill makes a step: what each stream has that is not resident, as far as it
// goes in.
func (l *bareLoop) fill(streams []stream) {
	l.rows = l.rows[:0]
	for i := range streams {
		s := &streams[i]
		s.row = -1
		if s.over {
			continue
		}
		for s.resident < len(s.tokens) && len(l.rows) < l.b.Limits().Batch {
			last := s.resident == len(s.tokens)-1
			if last {
				s.row = len(l.rows)
			}
			l.rows = append(l.rows, engine.Row{Token: s.tokens[s.resident], Pos: int32(s.resident), Seq: s.seq, Logits: last})
			s.resident++
		}
	}
}
