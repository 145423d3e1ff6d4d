package enginetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/grammar"
)

const (
	// soakClients send requests, one after the other each.
	soakClients = 8
	// soakRounds is how many rounds the short form has, the first to get warm.
	soakRounds = 3
)

// Soak puts a random load on an engine in rounds, and lets it come to rest after
// each: prompts with and without common beginnings, every kind of sampling, stops
// and grammars, classes, cancels in all phases, resumes of what was cancelled,
// readers that stop reading, a changing batch window, and steps that fail as
// devices let them. After each round nothing may be in use, and after the last
// one no more memory and goroutines than after the first. With alone, a second
// backend on which every text has to be the same, that is checked too.
//
// Eight clients send so many requests each in a round. It makes three rounds, or
// as many as take SOAK, a duration in the environment; SOAK_SEED repeats a load.
func Soak(t *testing.T, backend, alone engine.Backend, requests int) {
	t.Helper()
	s := newSoak(t, backend, alone)
	s.requests = requests
	var first, last usage
	until := time.Now().Add(s.duration)
	for round := 0; round < soakRounds || time.Now().Before(until); round++ {
		s.round(round)
		if t.Failed() {
			t.Fatalf("in round %d of seed %d (SOAK_SEED=%d repeats it)", round, s.seed, s.seed)
		}
		last = s.rest()
		if round == 0 {
			first = last
		}
	}
	// Who has said that it is over need not have gone yet.
	for late := time.Now().Add(time.Minute); last.goroutines > first.goroutines && time.Now().Before(late); {
		runtime.Gosched()
		last.goroutines = runtime.NumGoroutine()
	}
	t.Logf("seed %d, %s\nafter the first round: %v\nafter the last:        %v", s.seed, s.report(), first, last)
	if err := last.flat(first, s.duration > 0); err != nil {
		t.Errorf("%v (seed %d)", err, s.seed)
	}
}

// soak is a load under way.
type soak struct {
	session
	t        *testing.T
	seed     uint64
	duration time.Duration
	// requests is how many each client sends in a round.
	requests int
	alone    *session
	grammar  *grammar.Grammar
	serial   atomic.Int64
	// ended is closed and made anew at every end, so that readers can wait for
	// others' ends.
	mu       sync.Mutex
	ended    chan struct{}
	outcomes map[string]int
}

func newSoak(t *testing.T, backend, alone engine.Backend) *soak {
	t.Helper()
	s := &soak{t: t, seed: uint64(time.Now().UnixNano()), ended: make(chan struct{}), outcomes: map[string]int{}}
	var err error
	if text := os.Getenv("SOAK"); text != "" {
		if s.duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SOAK: %v", err)
		}
	}
	if text := os.Getenv("SOAK_SEED"); text != "" {
		if s.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SOAK_SEED: %v", err)
		}
	}
	if s.grammar, err = grammar.Parse(`root ::= "[" (item ("," item)*)? "]"` + "\n" + `item ::= "\"" [a-z ]{1,8} "\""`); err != nil {
		t.Fatal(err)
	}
	start := func(b engine.Backend, config engine.Config) session {
		e, err := engine.New(engine.Options{Backend: b, Config: config})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		return session{e}
	}
	tight := engine.DefaultConfig()
	tight.BufferTokens, tight.SlowConsumerTimeout, tight.SpillBytes = 4, 50*time.Millisecond, 8<<20
	s.session = start(&faulty{Backend: backend, random: rand.New(rand.NewPCG(s.seed, 0))}, tight)
	if alone != nil {
		reference := start(alone, engine.DefaultConfig())
		s.alone = &reference
	}
	return s
}

// faulty is a backend some of whose steps fail as a device may let them.
type faulty struct {
	engine.Backend
	random *rand.Rand // the loop's
}

func (f *faulty) Step(rows []engine.Row) error {
	switch n := f.random.IntN(100); {
	case n == 0:
		return engine.ErrInterrupted
	case n == 1 && rows[0].Seq != rows[len(rows)-1].Seq:
		return engine.ErrNoRoom // not for one alone: that would end it
	}
	return f.Backend.Step(rows)
}

// round lets every client send its requests.
func (s *soak) round(round int) {
	var clients sync.WaitGroup
	over := make(chan struct{})
	var busy sync.WaitGroup
	for client := range soakClients {
		random := rand.New(rand.NewPCG(s.seed, uint64(1+round*soakClients+client)))
		// Only odd ones stop reading, so that somebody always goes on.
		lazy := client%2 == 1
		if !lazy {
			busy.Add(1)
		}
		clients.Go(func() {
			if !lazy {
				defer busy.Done()
			}
			for range s.requests {
				if random.IntN(8) == 0 {
					s.SetBatchWindow(time.Duration(random.IntN(2000)) * time.Microsecond)
				}
				if err := s.one(random, lazy, over); err != nil {
					s.t.Error(err)
					return
				}
			}
		})
	}
	busy.Wait()
	close(over)
	clients.Wait()
}

// one sends a request and does one of the things that clients do.
func (s *soak) one(random *rand.Rand, lazy bool, over <-chan struct{}) error {
	r, err := s.request(random)
	if err != nil {
		return err
	}
	const reads, cancels, resumes, stops = "read to the end", "cancelled", "resumed", "left unread for a while"
	what := []string{reads, reads, reads, cancels, resumes}[random.IntN(5)]
	if lazy && random.IntN(3) == 0 {
		what = stops
	}
	seq, err := s.Submit(s.t.Context(), r)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	var out output
	switch what {
	case cancels, resumes:
		if out, err = s.readSome(seq, output{}, random.IntN(6)); err == nil {
			seq.Cancel()
			out, err = s.readSome(seq, out, -1)
		}
		if !errors.Is(err, engine.ErrCancelled) {
			break // it ended before
		}
		err = nil
		if what == resumes {
			r.ID += " again"
			r.Emitted = out.tokens
			if seq, err = s.Submit(s.t.Context(), r); err == nil {
				out, err = s.readSome(seq, out, -1)
			}
		}
	case stops:
		s.waitForOthers(random.IntN(6), over)
		out, err = s.readSome(seq, out, -1)
	default:
		out, err = s.readSome(seq, out, -1)
	}
	switch {
	case errors.Is(err, engine.ErrSlowConsumer):
		what = "ended as slow consumers"
	case err != nil:
		return err
	case what != cancels:
		if err := s.same(r, out); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[what]++
	close(s.ended)
	s.ended = make(chan struct{})
	return nil
}

// request draws one that fits.
func (s *soak) request(random *rand.Rand) (engine.Request, error) {
	text := ""
	if n := random.IntN(4); n > 0 {
		text = strings.Repeat("Agent number "+strconv.Itoa(n)+" of many. ", 12)
	}
	text += fmt.Sprintf("%d words=%d %s", random.IntN(1000), 1+random.IntN(60), strings.Repeat("more ", random.IntN(40)))
	prompt, err := s.Vocabulary().Tokenize(text, false)
	if err != nil {
		return engine.Request{}, fmt.Errorf("tokenize: %w", err)
	}
	context := s.Limits().Context
	prompt = prompt[:min(len(prompt), context/2)]
	r := engine.Request{
		ID: strconv.FormatInt(s.serial.Add(1), 10), Prompt: prompt,
		MaxTokens: 1 + random.IntN(min(48, context-len(prompt))), Class: random.IntN(3),
		Logprobs: random.IntN(4) == 0, TopLogprobs: random.IntN(4),
	}
	r.Seed, r.IgnoreEOS = random.Int64(), random.IntN(2) == 0
	if random.IntN(2) == 0 {
		r.Temperature, r.TopK, r.TopP = 0.8, random.IntN(40), 0.5+random.Float64()/2
		r.RepeatPenalty, r.FrequencyPenalty = 1.1, random.Float64()
	}
	if random.IntN(4) == 0 {
		r.Stop = []string{" the", "e s"}
	}
	if random.IntN(4) == 0 {
		r.Grammar, r.IgnoreEOS = s.grammar, false
	}
	return r, nil
}

// readSome adds n chunks to what was read before, or with -1 all.
func (s *soak) readSome(seq *engine.Sequence, out output, n int) (output, error) {
	for ; n != 0; n-- {
		chunk, err := seq.Next(s.t.Context())
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("next: %w", err)
		}
		out.text, out.tokens = out.text+chunk.Text, append(out.tokens, chunk.Tokens...)
		if chunk.Finish != "" {
			out.end = chunk
		}
	}
	return out, nil
}

// waitForOthers waits for n ends of others, or for the end of the round.
func (s *soak) waitForOthers(n int, over <-chan struct{}) {
	for range n {
		s.mu.Lock()
		ended := s.ended
		s.mu.Unlock()
		select {
		case <-ended:
		case <-over:
			return
		}
	}
}

// same compares a text with what the request says alone.
func (s *soak) same(r engine.Request, got output) error {
	if got.end.Finish == "" {
		return fmt.Errorf("request %s ended without saying how", r.ID)
	}
	if s.alone == nil {
		return nil
	}
	r.Emitted = nil
	want, err := s.alone.run(s.t.Context(), r)
	if err != nil {
		return fmt.Errorf("alone: %w", err)
	}
	if got.text != want.text || got.end.Finish != want.end.Finish || got.end.Usage.Completion != want.end.Usage.Completion {
		return fmt.Errorf("request %s said %q (%s), alone %q (%s)", r.ID, got.text, got.end.Finish, want.text, want.end.Finish)
	}
	return nil
}

// rest checks that nothing is in use, and measures.
func (s *soak) rest() usage {
	s.t.Helper()
	// Ends are told to readers a moment before the last step is over.
	s.idle()
	if err := s.free(); err != nil {
		s.t.Error(err)
	}
	if kept := s.Snapshot().KeptBytes; kept != 0 {
		s.t.Errorf("%d bytes of states are kept", kept)
	}
	return measure()
}

// idle waits until no request is tracked.
func (s *soak) idle() {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for len(s.Snapshot().Requests) > 0 {
		select {
		case <-s.RoomChanged():
		case <-ctx.Done():
			s.t.Fatalf("still tracked: %+v", s.Snapshot().Requests)
		}
	}
}

func (s *soak) report() string {
	snapshot := s.Snapshot()
	var outcomes []string
	for what, n := range s.outcomes {
		outcomes = append(outcomes, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(outcomes)
	return fmt.Sprintf("%d steps, %d rows, %d of prompts, %d preemptions; requests: %s",
		snapshot.Steps, snapshot.Rows, snapshot.PrefillRows, snapshot.Preemptions, strings.Join(outcomes, ", "))
}

// usage is what the process has at rest.
type usage struct {
	heap, resident uint64
	goroutines     int
}

func measure() usage {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{m.HeapAlloc, residentBytes(), runtime.NumGoroutine()}
}

// residentBytes is what the process has in RAM, native memory included; 0 where
// that is not known.
func residentBytes() uint64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

func (u usage) String() string {
	return fmt.Sprintf("heap %.1f MiB, resident %.1f MiB, %d goroutines", float64(u.heap)/(1<<20), float64(u.resident)/(1<<20), u.goroutines)
}

// flat reports what grew since before: the heap by a quarter and 4 MiB, or, in a
// long run, resident memory by a tenth and 64 MiB.
func (u usage) flat(before usage, long bool) error {
	switch {
	case u.goroutines > before.goroutines:
		return fmt.Errorf("%d goroutines, %d after the first round", u.goroutines, before.goroutines)
	case u.heap > before.heap+before.heap/4+4<<20:
		return fmt.Errorf("the heap grew: %v, after the first round %v", u, before)
	case long && u.resident > before.resident+before.resident/10+64<<20:
		return fmt.Errorf("resident memory grew: %v, after the first round %v", u, before)
	}
	return nil
}
