package enginetest

import (
	"fmt"
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
//   - stall: inter-token latencies of 8 running streams while a prompt of 4,000
//     tokens prefills, over those of the same tokens alone; and the time to first
//     token of the long prompt and of a short one that arrives behind it.
//   - shared: prompt rows computed for 16 sequences with a common beginning of
//     2,000 tokens over those without sharing.
//   - room: 12 streams in room for 6: how many gave the text that they give alone,
//     how many of the same crowd do so in ample room, and how often one was
//     preempted.
//   - grammar: time per token under a JSON Schema's grammar over that of free text.
func BenchmarkLoads(b *testing.B, open func(b *testing.B, cells, sequences int) engine.Backend) {
	for _, c := range []struct {
		name             string
		cells, sequences int
		round            func(l *load)
	}{
		{"together", 4096, 8, together},
		{"stall", 12288, 10, stall},
		{"shared", 8192, 16, shared},
		{"room", 6 * roomEach, 12, tightRoom},
		{"grammar", 4096, 4, grammarCost},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newLoad(b, open(b, c.cells, c.sequences))
			l.another = func() *load { return newLoad(b, open(b, 4*c.cells, c.sequences)) }
			c.round(l) // once before, so that everything is warm
			clear(l.figures)
			b.ResetTimer()
			for b.Loop() {
				c.round(l)
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
	// another is an engine with four times the room.
	another func() *load
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

// texts are the first n of them.
func (l *load) texts(n, tokens int) [][]engine.Token {
	l.b.Helper()
	texts := make([][]engine.Token, n)
	for i := range texts {
		texts[i] = l.text(i, tokens)
	}
	return texts
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

// timed is what came of a stream, and when: at is the time of each token.
type timed struct {
	text  string
	began time.Time
	at    []time.Time
}

func (t timed) first() time.Duration { return t.at[0].Sub(t.began) }

// follow reads streams to their ends. arrived, if not nil, is told of each token
// of the first stream.
func (l *load) follow(sequences []*engine.Sequence, arrived func(n int)) []timed {
	l.b.Helper()
	results := make([]timed, len(sequences))
	var readers sync.WaitGroup
	for i, seq := range sequences {
		readers.Go(func() {
			t := timed{began: time.Now()}
			for ended := false; !ended; {
				chunk, err := seq.Next(l.b.Context())
				if err != nil {
					l.b.Error(err)
					return
				}
				now := time.Now()
				t.text += chunk.Text
				for range chunk.Tokens {
					t.at = append(t.at, now)
				}
				if i == 0 && arrived != nil {
					arrived(len(t.at))
				}
				ended = chunk.Finish != ""
			}
			results[i] = t
		})
	}
	readers.Wait()
	if l.b.Failed() {
		l.b.FailNow()
	}
	return results
}

// crowd submits all prompts, then follows them.
func (l *load) crowd(prompts [][]engine.Token, n int) []timed {
	l.b.Helper()
	sequences := make([]*engine.Sequence, len(prompts))
	for i, prompt := range prompts {
		sequences[i] = l.submit(prompt, n, nil)
	}
	return l.follow(sequences, nil)
}

func together(l *load) {
	const streams, tokens = 8, 48
	prompts := l.texts(streams, 40)
	began := time.Now()
	for _, prompt := range prompts {
		l.crowd([][]engine.Token{prompt}, tokens)
	}
	oneByOne := time.Since(began)
	began = time.Now()
	l.crowd(prompts, tokens)
	l.note("together/one-by-one", oneByOne.Seconds()/time.Since(began).Seconds())
}

func stall(l *load) {
	const streams, tokens, long, from = 8, 900, 4000, 100
	prompts := l.texts(streams, 40)
	long4000, short := l.text(99, long), l.text(98, 40)

	alone := l.crowd(prompts, tokens)
	var later sync.WaitGroup
	var behind []timed
	var began time.Time
	sequences := make([]*engine.Sequence, streams)
	for i, prompt := range prompts {
		sequences[i] = l.submit(prompt, tokens, nil)
	}
	beside := l.follow(sequences, func(n int) {
		if n == from {
			began = time.Now()
			pair := []*engine.Sequence{l.submit(long4000, 1, nil), l.submit(short, 1, nil)}
			later.Go(func() { behind = l.follow(pair, nil) })
		}
	})
	later.Wait()
	ended := behind[0].at[0]
	if last := beside[0].at[tokens-1]; last.Before(ended) {
		l.b.Fatal("the streams ended before the long prompt was read")
	}
	// The latencies of the tokens that came in that time, and of the same tokens
	// alone.
	var with, without []time.Duration
	for i, s := range beside {
		for n := from + 1; n < tokens; n++ {
			if s.at[n-1].After(began) && s.at[n].Before(ended) {
				with = append(with, s.at[n].Sub(s.at[n-1]))
				without = append(without, alone[i].at[n].Sub(alone[i].at[n-1]))
			}
		}
	}
	l.note("itl-p50-ratio", percentile(with, 0.5).Seconds()/percentile(without, 0.5).Seconds())
	l.note("itl-mean-ratio", mean(with)/mean(without))
	l.note("itl-p99-ratio", percentile(with, 0.99).Seconds()/percentile(without, 0.99).Seconds())
	l.note("itl-p99-beside-ms", percentile(with, 0.99).Seconds()*1000)
	l.note("long-ttft-s", behind[0].first().Seconds())
	l.note("short-ttft-ms", behind[1].first().Seconds()*1000)
}

// percentile sorts durations.
func percentile(durations []time.Duration, p float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	return durations[min(int(p*float64(len(durations))), len(durations)-1)]
}

// mean is in seconds.
func mean(durations []time.Duration) (sum float64) {
	for _, d := range durations {
		sum += d.Seconds()
	}
	return sum / float64(len(durations))
}

func shared(l *load) {
	const agents, common, own = 16, 2000, 30
	prefix := l.text(1000+l.serial, common)
	prompts := l.texts(agents, own)
	for i := range prompts {
		prompts[i] = slices.Concat(prefix, prompts[i])
	}
	before := l.Snapshot().PrefillRows
	l.crowd(prompts, 2)
	computed := l.Snapshot().PrefillRows - before
	l.note("rows/unshared", float64(computed)/float64(agents*(common+own)))
}

// roomEach is how many cells a stream of tightRoom comes to.
const roomEach = 128

func tightRoom(l *load) {
	const streams, prompt, tokens = 12, 28, roomEach - 28
	prompts := l.texts(streams, prompt)
	ample := l.another()
	alone := make([]timed, streams)
	for i, prompt := range prompts {
		alone[i] = ample.crowd([][]engine.Token{prompt}, tokens)[0]
	}
	same := func(crowd []timed) (n float64) {
		for i, s := range crowd {
			if len(s.at) != tokens {
				l.b.Errorf("stream %d ended after %d tokens", i, len(s.at))
			}
			if s.text == alone[i].text {
				n++
			}
		}
		return n
	}
	l.note("same-text-in-ample-room-of-12", same(ample.crowd(prompts, tokens)))
	before := l.Snapshot().Preemptions
	l.note("same-text-of-12", same(l.crowd(prompts, tokens)))
	l.note("preemptions", float64(l.Snapshot().Preemptions-before))
}

// peopleGrammar is what a JSON Schema of a list of people becomes, with a list
// that does not end, so that every run has as many tokens.
const peopleGrammar = `root ::= "[" person ("," ws person)*
person ::= "{\"name\":" ws string ",\"age\":" ws ("0" | [1-9] [0-9]{0,2}) ",\"tags\":" ws "[" (string ("," ws string){0,4})? "]}"
string ::= "\"" ([^"\\\x00-\x1f] | "\\" ["\\/bfnrt])* "\""
ws ::= " "?`

func grammarCost(l *load) {
	g, err := grammar.Parse(peopleGrammar)
	if err != nil {
		l.b.Fatal(err)
	}
	asked, err := l.Vocabulary().Tokenize(`Ten people, as JSON: [{"name": "Ada", "age": 36, "tags": ["mathematics", "poetry"]}, `+
		`{"name": "Grace", "age": 85, "tags": ["navy"]}]`+"\nTen other people, as JSON: ", false)
	if err != nil {
		l.b.Fatal(err)
	}
	const tokens = 200
	perToken := func(prompt []engine.Token, change func(r *engine.Request)) float64 {
		t := l.follow([]*engine.Sequence{l.submit(prompt, tokens, change)}, nil)[0]
		if len(t.at) != tokens {
			l.b.Fatalf("%d tokens", len(t.at))
		}
		return t.at[tokens-1].Sub(t.at[0]).Seconds()
	}
	// In turns, so that both meet the same machine. The other prompt is not about
	// JSON at all, so that what the model would say is refused again and again.
	constrained := func(r *engine.Request) { r.Grammar = g }
	other := l.text(1, 40)
	var free, kept, otherFree, otherKept float64
	for range 3 {
		free += perToken(asked, nil)
		kept += perToken(asked, constrained)
		otherFree += perToken(other, nil)
		otherKept += perToken(other, constrained)
	}
	l.note("grammar/free", kept/free)
	l.note("grammar/free-against-the-grain", otherKept/otherFree)
}
