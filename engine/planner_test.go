package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world is the loop's side of planning, without a backend: sequences that are
// admitted, advance by plans, are preempted, and end.
type world struct {
	in       planInput
	cells    int
	places   int
	reserve  int
	running  []*walker
	waiting  []*walker
	planner  planner
	arrivals int
}

// walker is a sequence in a world.
type walker struct {
	arrival int
	view    planSequence
	// total is how many tokens it has at its end.
	total int
	// missed counts the steps in a row in which it did not advance.
	missed int
}

func (w *world) used() (n int) {
	for _, s := range w.running {
		n += s.view.resident
	}
	return n
}

func (w *world) admit() {
	for len(w.waiting) > 0 && len(w.running) < w.places {
		s, promised := w.waiting[0], 0
		for _, r := range w.running {
			promised += len(r.view.tokens) - r.view.resident
		}
		if !admits(len(s.view.tokens), w.cells-w.used(), promised, len(w.running), w.reserve) {
			return
		}
		w.waiting = w.waiting[1:]
		s.view.slot = w.slot()
		w.running = append(w.running, s)
		slices.SortFunc(w.running, func(a, b *walker) int { return a.arrival - b.arrival })
	}
}

func (w *world) slot() SeqID {
	for slot := SeqID(0); ; slot++ {
		if !slices.ContainsFunc(w.running, func(s *walker) bool { return s.view.slot == slot }) {
			return slot
		}
	}
}

// step plans and takes one step, and checks every invariant of a plan.
func (w *world) step(t *rapid.T) {
	w.admit()
	w.in.free = w.cells - w.used()
	w.in.sequences = w.in.sequences[:0]
	for _, s := range w.running {
		s.view.frees = s.view.resident
		w.in.sequences = append(w.in.sequences, s.view)
	}
	plan := w.planner.next(w.in)
	w.in.step++
	running := slices.Clone(w.running)
	for _, i := range plan.preempt {
		s := running[i]
		for _, later := range running[i+1:] {
			if later.view.resident > 0 && !contains(plan.preempt, running, later) {
				t.Fatalf("preempted %d, but %d is later and keeps its cells", s.arrival, later.arrival)
			}
		}
		s.view.resident = 0
		w.running = slices.DeleteFunc(w.running, func(o *walker) bool { return o == s })
		w.waiting = append(w.waiting, s)
		slices.SortFunc(w.waiting, func(a, b *walker) int { return a.arrival - b.arrival })
	}
	w.check(t, plan, running)
	w.apply(plan, running)
}

func contains(preempted []int, running []*walker, s *walker) bool {
	return slices.ContainsFunc(preempted, func(i int) bool { return running[i] == s })
}

func (w *world) check(t *rapid.T, plan *plan, running []*walker) {
	if len(plan.rows) > w.in.rows {
		t.Fatalf("%d rows in a step of %d", len(plan.rows), w.in.rows)
	}
	if free := w.cells - w.used(); len(plan.rows) > free {
		t.Fatalf("%d rows for %d free cells", len(plan.rows), free)
	}
	kinds := map[Phase]int{}
	seen := map[int]bool{}
	next := 0
	for _, span := range plan.spans {
		s := running[span.sequence].view
		if seen[span.sequence] || contains(plan.preempt, running, running[span.sequence]) {
			t.Fatalf("sequence %d has two spans, or lost its place", span.sequence)
		}
		seen[span.sequence] = true
		if span.first != next || span.count < 1 {
			t.Fatalf("span %+v, the next row is %d", span, next)
		}
		next += span.count
		kinds[s.phase()] += span.count
		for i, row := range plan.rows[span.first:next] {
			pos := s.resident + i
			if row.Seq != s.slot || int(row.Pos) != pos || row.Token != s.tokens[pos] {
				t.Fatalf("row %+v is not position %d of %+v", row, pos, s)
			}
		}
		last := plan.rows[next-1]
		if span.sample != (int(last.Pos) == len(s.tokens)-1) || span.sample && !last.Logits {
			t.Fatalf("span %+v of %d tokens ends with %+v", span, len(s.tokens), last)
		}
		if span.sample && s.blocked {
			t.Fatalf("a blocked sequence generates")
		}
	}
	if next != len(plan.rows) {
		t.Fatalf("%d rows, the spans have %d", len(plan.rows), next)
	}
	w.checkKinds(t, kinds, plan, running, seen)
}

func (w *world) checkKinds(t *rapid.T, kinds map[Phase]int, plan *plan, running []*walker, seen map[int]bool) {
	if kinds[PhaseReplay] > 0 && (kinds[PhasePrefill] > 0 || len(plan.rows) > max(replayRows, kinds[PhaseDecode]+1)) {
		t.Fatalf("a step that replays has %v", kinds)
	}
	if kinds[PhaseDecode] > 0 && kinds[PhasePrefill] > w.in.busy {
		t.Fatalf("%d prefill rows beside decode rows, at most %d are allowed", kinds[PhasePrefill], w.in.busy)
	}
	advanced := false
	for i, s := range running {
		if s.view.phase() == PhaseDecode && !seen[i] && !contains(plan.preempt, running, s) {
			t.Fatalf("sequence %d has no decode row", i)
		}
		if s.view.phase() == PhaseBlocked {
			continue
		}
		if !advanced && !seen[i] && s.view.phase() == PhaseDecode {
			t.Fatalf("the earliest that can decode lost its place")
		}
		advanced = true
	}
	if advanced && len(plan.rows) == 0 && !slices.ContainsFunc(running, func(s *walker) bool { return s.view.blocked }) {
		t.Fatalf("an empty step, with %d running and nobody blocked", len(running))
	}
}

// apply makes the rows resident and lets sequences generate and end.
func (w *world) apply(plan *plan, running []*walker) {
	for i, s := range running {
		if s.view.phase() != PhaseBlocked && !slices.ContainsFunc(plan.spans, func(sp span) bool { return sp.sequence == i }) {
			s.missed++
		} else {
			s.missed = 0
		}
	}
	for _, span := range plan.spans {
		s := running[span.sequence]
		s.view.resident += span.count
		if !span.sample {
			continue
		}
		s.view.tokens = append(s.view.tokens, Token(len(s.view.tokens)))
		if len(s.view.tokens) >= s.total {
			w.running = slices.DeleteFunc(w.running, func(o *walker) bool { return o == s })
		}
	}
}

func tokensTo(n int) []Token {
	tokens := make([]Token, n)
	for i := range tokens {
		tokens[i] = Token(i)
	}
	return tokens
}

// drawWorld draws a machine; sequences are added by arrive.
func drawWorld(t *rapid.T) *world {
	w := &world{
		in: planInput{
			rows:  rapid.SampledFrom([]int{4, 16, 63, 64, 100, 256, 512}).Draw(t, "rows"),
			chunk: rapid.SampledFrom([]int{64, 128, 512}).Draw(t, "chunk"),
			busy:  rapid.IntRange(1, 200).Draw(t, "busy"),
		},
		cells:   rapid.IntRange(40, 1500).Draw(t, "cells"),
		reserve: rapid.IntRange(0, 20).Draw(t, "reserve"),
	}
	w.places = rapid.IntRange(1, min(w.in.rows, 12)).Draw(t, "places")
	return w
}

func (w *world) arrive(t *rapid.T) {
	prompt := rapid.IntRange(1, w.cells-8).Draw(t, "prompt")
	emitted := rapid.IntRange(0, min(100, w.cells-prompt-2)).Draw(t, "emitted")
	answer := rapid.IntRange(1, min(60, w.cells-prompt-emitted)).Draw(t, "answer")
	w.waiting = append(w.waiting, &walker{
		arrival: w.arrivals, total: prompt + emitted + answer,
		view: planSequence{tokens: tokensTo(prompt + emitted), prompt: prompt},
	})
	w.arrivals++
}

func TestPlanKeepsItsInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for range rapid.IntRange(1, 12).Draw(t, "arrivals") {
			w.arrive(t)
		}
		for range 60 {
			if rapid.IntRange(0, 9).Draw(t, "event") == 0 && w.arrivals < 40 {
				w.arrive(t)
			}
			for _, s := range w.running {
				s.view.blocked = len(s.view.tokens) > s.view.prompt && rapid.IntRange(0, 9).Draw(t, "blocked") == 0
			}
			w.step(t)
		}
	})
}

// Every sequence comes to its end, however tight the room.
func TestEverythingEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for range rapid.IntRange(1, 10).Draw(t, "arrivals") {
			w.arrive(t)
		}
		for steps := 0; len(w.running)+len(w.waiting) > 0; steps++ {
			if steps > 50_000 {
				t.Fatalf("%d are running and %d waiting after %d steps", len(w.running), len(w.waiting), steps)
			}
			w.step(t)
		}
	})
}

// With enough room a prompt never misses more steps than there are sequences,
// twice over where replays take turns.
func TestEveryPromptAdvances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.cells, w.reserve = 20_000, 0
		for range rapid.IntRange(1, 12).Draw(t, "arrivals") {
			w.arrive(t)
		}
		for len(w.running)+len(w.waiting) > 0 {
			w.step(t)
			for _, s := range w.running {
				if s.missed > 4*w.places {
					t.Fatalf("sequence %d missed %d steps", s.arrival, s.missed)
				}
			}
		}
	})
}

// Alone, the cuts of a prompt are the same, whatever the engine did before; and
// what was emitted is replayed in small steps.
func TestCutsAreAFunctionOfThePrompt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prompt := rapid.IntRange(1, 2000).Draw(t, "prompt")
		emitted := rapid.IntRange(0, 200).Draw(t, "emitted")
		rows := rapid.SampledFrom([]int{63, 64, 200, 512, 2048}).Draw(t, "rows")
		chunk := rapid.SampledFrom([]int{64, 512}).Draw(t, "chunk")
		in := planInput{
			step: rapid.Uint64Range(0, 1000).Draw(t, "step"),
			rows: rows, chunk: chunk, busy: rapid.IntRange(1, 500).Draw(t, "busy"), free: 3000,
			sequences: []planSequence{{tokens: tokensTo(prompt + emitted), prompt: prompt}},
		}
		size := max(min(chunk, rows)/64*64, 32)
		var p planner
		for s := &in.sequences[0]; s.resident < len(s.tokens); in.step++ {
			want := min(s.resident/size*size+size, prompt) - s.resident
			if s.resident >= prompt {
				want = min((s.resident/replayRows+1)*replayRows, prompt+emitted) - s.resident
			}
			plan := p.next(in)
			if len(plan.rows) != want {
				t.Fatalf("%d rows from position %d of %d+%d, want %d", len(plan.rows), s.resident, prompt, emitted, want)
			}
			if atEnd := s.resident + want; atEnd == prompt && !plan.rows[want-1].Logits {
				t.Fatal("the prompt's last row asks for no logits")
			}
			s.resident += want
			in.free -= want
		}
	})
}

func TestPlanAllocatesNothing(t *testing.T) {
	in := planInput{rows: 512, chunk: 512, busy: 128, free: 100}
	for i := range 16 {
		in.sequences = append(in.sequences, planSequence{slot: SeqID(i), tokens: tokensTo(50), prompt: 40, resident: 49, frees: 49})
	}
	var p planner
	p.next(in)
	if n := testing.AllocsPerRun(100, func() { p.next(in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A prompt that was promised cells gets them, when those who took them sit out.
func TestABlockedSequenceGivesWayToAnEarlierPrompt(t *testing.T) {
	in := planInput{rows: 64, chunk: 64, busy: 64, sequences: []planSequence{
		{slot: 0, tokens: tokensTo(20), prompt: 20, resident: 4, frees: 4},
		{slot: 1, tokens: tokensTo(30), prompt: 10, resident: 29, frees: 29, blocked: true},
	}}
	var p planner
	plan := p.next(in)
	if !slices.Equal(plan.preempt, []int{1}) || len(plan.rows) != 16 {
		t.Errorf("preempted %v for %d rows, want the second for 16", plan.preempt, len(plan.rows))
	}
	in.sequences[0], in.sequences[1] = in.sequences[1], in.sequences[0]
	if plan := p.next(in); len(plan.preempt) != 0 || len(plan.rows) != 0 {
		t.Errorf("an earlier sequence lost its cells to a later prompt: %+v", plan)
	}
}
