package llama

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
)

// BenchmarkBits counts what equals what on the default model, as it is fetched
// and in Q8_0: with all that the engine does by default, and with what
// a reproducible mode could be, one thread and steps of at most 63 rows. Two answers are
// the same if all their tokens and the bits of all their log probabilities are;
// for each situation it reports how many of the answers are the same as when each
// was alone on an idle engine, and how many at least have the same tokens.
//
// A round is one iteration: use -benchtime=1x.
func BenchmarkBits(b *testing.B) {
	for _, name := range []string{"Q4_1", "Q8_0"} {
		change := func(*Options) {}
		if name != "Q4_1" {
			path := quantized(b, name)
			change = func(o *Options) { o.CPUModelPath, o.CPUWeightsHash = path, name }
		}
		for _, mode := range []struct {
			name          string
			threads, rows int
		}{{"default", 0, 0}, {"63 rows", Threads(), 63}, {"63 rows, 1 thread", 1, 63}} {
			b.Run(name+"/"+mode.name, func(b *testing.B) {
				o := bitsMode{threads: mode.threads, rows: mode.rows, change: change}
				for b.Loop() {
					o.measure(b)
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// bitsMode is how the engine runs.
type bitsMode struct {
	threads, rows int
	change        func(*Options)
}

const (
	bitsStreams = 8
	bitsTokens  = 96
)

// start is an engine in this mode with room for so many cells; 0 for all.
func (m bitsMode) start(b *testing.B, cells int) *engine.Engine {
	b.Helper()
	o := options(b)
	o.Context, o.Cells, o.Parallel, o.Threads = 2048, 8192, 2*bitsStreams, m.threads
	m.change(&o)
	backend, err := Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	config := engine.DefaultConfig()
	config.StepRows, config.MaxCells, config.AdmitReserve = m.rows, cells, 1
	e, err := engine.New(engine.Options{Backend: backend, Config: config})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// bitsRequests are different prompts, half of them longer than 256 tokens,
// behind the same beginning; their answers differ in length.
func bitsRequests(b *testing.B, e *engine.Engine) []engine.Request {
	b.Helper()
	system := "<|im_start|>system\n" + strings.Repeat("Answer briefly, politely, and in whole sentences. ", 14) + "<|im_end|>\n"
	var all []engine.Request
	for i := range bitsStreams {
		text := strings.Repeat(fmt.Sprintf("Number %d of the notes says that the river rose. ", i), 2+14*(i%2))
		ids, err := e.Vocabulary().Tokenize(system+"<|im_start|>user\n"+text+"What follows?<|im_end|>\n<|im_start|>assistant\n", true)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, engine.Request{
			ID: strconv.Itoa(i), Prompt: ids, MaxTokens: bitsTokens - 4*(i%4), Logprobs: true, Sampling: engine.Sampling{IgnoreEOS: true},
		})
	}
	return all
}

// answer is what a sequence gave, and how long it took.
type answer struct {
	tokens   []engine.Token
	logprobs []float32
	timings  engine.Timings
}

func readAnswer(b *testing.B, s *engine.Sequence) answer {
	b.Helper()
	var a answer
	for {
		c, err := s.Next(b.Context())
		if errors.Is(err, io.EOF) {
			return a
		}
		if err != nil {
			b.Fatal(err)
		}
		a.tokens = append(a.tokens, c.Tokens...)
		for _, p := range c.Logprobs {
			a.logprobs = append(a.logprobs, p.Logprob)
		}
		if c.Finish != "" {
			a.timings = c.Timings
		}
	}
}

// together submits requests at once and reads their answers.
func together(b *testing.B, e *engine.Engine, requests ...engine.Request) []answer {
	b.Helper()
	var sequences []*engine.Sequence
	for _, r := range requests {
		s, err := e.Submit(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		sequences = append(sequences, s)
	}
	answers := make([]answer, len(sequences))
	done := make(chan struct{}, len(sequences))
	for i, s := range sequences {
		go func() { answers[i] = readAnswer(b, s); done <- struct{}{} }()
	}
	for range sequences {
		<-done
	}
	return answers
}

// report counts how many answers are the same, in bits and in tokens.
func report(b *testing.B, what string, got, want []answer) {
	b.Helper()
	bits, text := 0, 0
	for i := range got {
		if slices.Equal(got[i].tokens, want[i].tokens) {
			text++
			if slices.Equal(got[i].logprobs, want[i].logprobs) {
				bits++
			}
		}
	}
	b.ReportMetric(float64(bits), what+":bits")
	b.ReportMetric(float64(text), what+":tokens")
}

func (m bitsMode) measure(b *testing.B) {
	e := m.start(b, 0)
	defer func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	}()
	requests := bitsRequests(b, e)
	var want, again, resumed []answer
	var prefill, decode time.Duration
	read, written := 0, 0
	for _, r := range requests {
		a := together(b, e, r)[0]
		want = append(want, a)
		prefill, decode = prefill+a.timings.Prefill, decode+a.timings.Decode
		read, written = read+len(r.Prompt), written+len(a.tokens)-1
	}
	b.ReportMetric(float64(read)/prefill.Seconds(), "read/s")
	b.ReportMetric(float64(written)/decode.Seconds(), "written/s")
	for i, r := range requests {
		again = append(again, together(b, e, r)[0])
		half := len(want[i].tokens) / 2
		r.Emitted = want[i].tokens[:half]
		a := together(b, e, r)[0]
		a.tokens = append(slices.Clone(r.Emitted), a.tokens...)
		a.logprobs = append(slices.Clone(want[i].logprobs[:half]), a.logprobs...)
		resumed = append(resumed, a)
	}
	report(b, "again", again, want)
	report(b, "resumed", resumed, want)

	began := time.Now()
	crowd := together(b, e, requests...)
	took := time.Since(began)
	b.ReportMetric(float64(written+len(requests))/took.Seconds(), "crowd-written/s")
	report(b, "crowd", crowd, want)

	var copies []engine.Request
	var wantCopies []answer
	for i := range bitsStreams {
		r := requests[1]
		r.ID = fmt.Sprint("copy ", i)
		copies, wantCopies = append(copies, r), append(wantCopies, want[1])
	}
	report(b, "copies", together(b, e, copies...), wantCopies)
	m.prefixed(b, e, requests, want)
	m.squeezed(b, requests, want)
}

// prefixed asks each while another, which has the same beginning, is there.
func (m bitsMode) prefixed(b *testing.B, e *engine.Engine, requests []engine.Request, want []answer) {
	b.Helper()
	holder := requests[0]
	holder.ID, holder.MaxTokens, holder.IgnoreEOS = "holder", 1200, true
	held, err := e.Submit(b.Context(), holder)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := held.Next(b.Context()); err != nil {
		b.Fatal(err)
	}
	var got []answer
	for _, r := range requests {
		got = append(got, together(b, e, r)[0])
	}
	held.Cancel()
	report(b, "prefix", got, want)
}

// squeezed gives all of them room for few, so that some are preempted.
func (m bitsMode) squeezed(b *testing.B, requests []engine.Request, want []answer) {
	b.Helper()
	cells := 0
	for _, r := range requests {
		cells = max(cells, len(r.Prompt)+r.MaxTokens)
	}
	e := m.start(b, cells*3/2)
	got := together(b, e, requests...)
	b.ReportMetric(float64(e.Snapshot().Preemptions), "preemptions")
	if err := e.Close(); err != nil {
		b.Error(err)
	}
	report(b, "squeezed", got, want)
}
