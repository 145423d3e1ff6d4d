package engine

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world is the loop's side of planning, without a backend: sequences that are
// admitted, share, advance by plans, are preempted, and end.
type world struct {
	in       planInput
	cells    int
	places   int
	reserve  int
	pool     pool
	running  []*walker
	waiting  []*walker
	planner  planner
	arrivals int
	// without counts the steps in a row with decode rows and without prompt rows,
	// because there were no pieces.
	without int
}

// walker is a sequence in a world.
type walker struct {
	arrival, class int
	view           planSequence
	// total is how many tokens it has at its end.
	total int
	// missed counts the steps in a row in which it did not advance.
	missed int
}

func (w *walker) before(o *walker) bool {
	return w.class < o.class || w.class == o.class && w.arrival < o.arrival
}

func byRank(a, b *walker) int {
	if a.before(b) {
		return -1
	}
	return 1
}

func (w *world) admit(t *rapid.T) {
	for len(w.waiting) > 0 && len(w.running) < w.places {
		s, promised := w.waiting[0], 0
		for _, r := range w.running {
			promised += len(r.view.tokens) - r.view.resident
		}
		// All tokens of a position are equal: everybody can share with anybody.
		var src *walker
		shared := 0
		if len(w.running) > 0 {
			src = rapid.SampledFrom(w.running).Draw(t, "source")
			shared = rapid.IntRange(0, min(src.view.resident, s.view.prompt-1)).Draw(t, "shared")
		}
		if !admits(len(s.view.tokens)-shared, w.cells-w.pool.used, promised, len(w.running), w.reserve) {
			return
		}
		w.waiting = w.waiting[1:]
		s.view.slot = w.slot()
		if shared > 0 {
			w.pool.share(s.view.slot, src.view.slot, shared)
			s.view.resident = shared
		}
		w.running = append(w.running, s)
		slices.SortFunc(w.running, byRank)
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
	w.admit(t)
	w.in.free = w.cells - w.pool.used
	w.in.sequences = w.in.sequences[:0]
	for _, s := range w.running {
		s.view.held = w.pool.held[s.view.slot]
		w.in.sequences = append(w.in.sequences, s.view)
	}
	plan := w.planner.next(w.in)
	w.in.step++
	running := slices.Clone(w.running)
	for _, i := range plan.preempt {
		s := running[i]
		if s.view.phase() == PhaseBlocked {
			continue
		}
		for _, later := range running[i+1:] {
			if !preempted(plan, running, later) && freed(w.pool.held[later.view.slot], later.view.slot, nil) > 0 {
				t.Fatalf("preempted %d, but %d is behind it and keeps cells of its own", s.arrival, later.arrival)
			}
		}
	}
	for _, i := range plan.preempt {
		s := running[i]
		w.pool.release(s.view.slot)
		s.view.resident = 0
		w.running = slices.DeleteFunc(w.running, func(o *walker) bool { return o == s })
		w.waiting = append(w.waiting, s)
		slices.SortFunc(w.waiting, byRank)
	}
	w.check(t, plan, running)
	w.apply(plan, running)
	w.checkPool(t)
}

// checkPool compares the pool with what it is to account for.
func (w *world) checkPool(t *rapid.T) {
	most, sum := 0, 0
	for _, s := range w.running {
		if w.pool.length[s.view.slot] != s.view.resident {
			t.Fatalf("sequence %d has %d positions, the pool says %d", s.arrival, s.view.resident, w.pool.length[s.view.slot])
		}
		most, sum = max(most, s.view.resident), sum+s.view.resident
	}
	if used := w.pool.used; used < most || used > sum || used > w.cells {
		t.Fatalf("%d of %d cells in use, the longest sequence has %d, all have %d", used, w.cells, most, sum)
	}
	if blocks := w.pool.blocks; blocks*blockCells < w.pool.used || sum == 0 && blocks != 0 {
		t.Fatalf("%d blocks for %d cells", blocks, w.pool.used)
	}
}

func preempted(plan *plan, running []*walker, s *walker) bool {
	return slices.ContainsFunc(plan.preempt, func(i int) bool { return running[i] == s })
}

func (w *world) check(t *rapid.T, plan *plan, running []*walker) {
	if len(plan.rows) > w.in.rows {
		t.Fatalf("%d rows in a step of %d", len(plan.rows), w.in.rows)
	}
	if free := w.cells - w.pool.used; len(plan.rows) > free {
		t.Fatalf("%d rows for %d free cells", len(plan.rows), free)
	}
	kinds := map[Phase]int{}
	seen := map[int]bool{}
	next := 0
	for _, span := range plan.spans {
		s := running[span.sequence].view
		if seen[span.sequence] || preempted(plan, running, running[span.sequence]) {
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
	able := slices.ContainsFunc(running, func(s *walker) bool { return s.view.phase() != PhaseBlocked && !preempted(plan, running, s) })
	if able && len(plan.rows) == 0 {
		t.Fatalf("nobody has a row, and somebody could: %+v of %d cells, %d free", views(running), w.cells, w.cells-w.pool.used)
	}
	w.checkKinds(t, kinds, plan, running, seen)
}

// views are what a message says of sequences.
func views(running []*walker) (all []string) {
	for _, s := range running {
		all = append(all, fmt.Sprintf("%v %d of %d/%d", s.view.phase(), s.view.resident, s.view.prompt, len(s.view.tokens)))
	}
	return all
}

func (w *world) checkKinds(t *rapid.T, kinds map[Phase]int, plan *plan, running []*walker, seen map[int]bool) {
	if kinds[PhaseReplay] > 0 && (kinds[PhasePrefill] > 0 || len(plan.rows) > max(replayRows, kinds[PhaseDecode]+1)) {
		t.Fatalf("a step that replays has %v", kinds)
	}
	if most := w.in.pieces * stepQuantum(w.in.rows); kinds[PhaseDecode] > 0 && kinds[PhasePrefill] > most {
		t.Fatalf("%d prefill rows beside decode rows, at most %d are allowed", kinds[PhasePrefill], most)
	}
	if kinds[PhaseDecode] > 0 && kinds[PhaseReplay] > max(w.in.replay, 1) {
		t.Fatalf("%d replayed rows beside decode rows, at most %d are allowed", kinds[PhaseReplay], w.in.replay)
	}
	if want := (stepRows{kinds[PhaseDecode], kinds[PhasePrefill], kinds[PhaseReplay]}); plan.kinds != want {
		t.Fatalf("the plan says %+v, it has %+v", plan.kinds, want)
	}
	advanced := false
	for i, s := range running {
		if s.view.phase() == PhaseDecode && !seen[i] && !preempted(plan, running, s) {
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
		has := slices.ContainsFunc(plan.spans, func(sp span) bool { return sp.sequence == i })
		s.missed++
		if has || s.view.phase() == PhaseBlocked {
			s.missed = 0
		}
		if plan.kinds.prefill > 0 {
			s.view.missed++
		}
		if has {
			s.view.missed = 0
		}
	}
	for _, span := range plan.spans {
		s := running[span.sequence]
		s.view.resident += span.count
		w.pool.grow(s.view.slot, span.count)
		if !span.sample {
			continue
		}
		s.view.tokens = append(s.view.tokens, Token(len(s.view.tokens)))
		if len(s.view.tokens) >= s.total {
			w.pool.release(s.view.slot)
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
		},
		cells:   rapid.IntRange(40, 1500).Draw(t, "cells"),
		reserve: rapid.IntRange(0, 20).Draw(t, "reserve"),
	}
	w.places = rapid.IntRange(1, min(w.in.rows, 12)).Draw(t, "places")
	w.pool = newPool(w.places)
	w.paced(t)
	return w
}

// paced draws what the pace allows: no piece of a prompt in at most maxWait steps
// in a row.
func (w *world) paced(t *rapid.T) {
	w.in.replay = rapid.IntRange(1, replayRows).Draw(t, "replay")
	w.in.pieces = rapid.IntRange(0, 4).Draw(t, "pieces")
	if w.in.pieces > 0 {
		w.without = 0
	} else if w.without++; w.without > maxWait {
		w.in.pieces, w.without = 1, 0
	}
}

func (w *world) arrive(t *rapid.T) {
	prompt := rapid.IntRange(1, w.cells-8).Draw(t, "prompt")
	emitted := rapid.IntRange(0, min(100, w.cells-prompt-2)).Draw(t, "emitted")
	answer := rapid.IntRange(1, min(60, w.cells-prompt-emitted)).Draw(t, "answer")
	w.waiting = append(w.waiting, &walker{
		arrival: w.arrivals, class: rapid.IntRange(0, 2).Draw(t, "class"), total: prompt + emitted + answer,
		view: planSequence{tokens: tokensTo(prompt + emitted), prompt: prompt},
	})
	slices.SortFunc(w.waiting, byRank)
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
			w.paced(t)
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
			w.paced(t)
			w.step(t)
		}
	})
}

// With enough room every sequence advances within a bounded number of steps,
// however many short prompts come after it.
func TestEveryPromptAdvances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		longest := w.cells
		w.cells, w.reserve = 100_000, 0
		arrive := func() {
			prompt := rapid.IntRange(1, longest).Draw(t, "prompt")
			emitted := rapid.IntRange(0, 50).Draw(t, "emitted")
			w.waiting = append(w.waiting, &walker{
				arrival: w.arrivals, total: prompt + emitted + rapid.IntRange(1, 60).Draw(t, "answer"),
				view: planSequence{tokens: tokensTo(prompt + emitted), prompt: prompt},
			})
			w.arrivals++
		}
		for range rapid.IntRange(1, 12).Draw(t, "arrivals") {
			arrive()
		}
		// Rows go to others until it was passed over often enough, and then to as
		// many as wait longer. Replays take every other step, and maxWait of those
		// that are left may have no piece.
		bound := (turns + 1) * w.places * 2 * (maxWait + 1)
		for steps := 0; len(w.running)+len(w.waiting) > 0 && steps < 400; steps++ {
			if w.arrivals < 100 {
				arrive()
			}
			w.paced(t)
			w.step(t)
			for _, s := range w.running {
				if s.missed > bound {
					t.Fatalf("sequence %d missed %d steps", s.arrival, s.missed)
				}
			}
		}
	})
}

// A short prompt overtakes a long one, which has its turn when it has waited.
func TestShortPromptsGoFirst(t *testing.T) {
	in := planInput{rows: 512, chunk: 512, pieces: 1, replay: 32, free: 10_000, sequences: []planSequence{
		{slot: 0, tokens: tokensTo(20), prompt: 10, resident: 19},
		{slot: 1, tokens: tokensTo(4000), prompt: 4000, resident: 512},
		{slot: 2, tokens: tokensTo(100), prompt: 100},
	}}
	var p planner
	if plan := p.next(in); len(plan.spans) != 2 || plan.spans[1] != (span{sequence: 2, first: 1, count: 64}) {
		t.Errorf("spans %+v, want one piece of the short one beside the decode row", plan.spans)
	}
	in.sequences[1].missed = 2 * turns
	if plan := p.next(in); plan.spans[1] != (span{sequence: 1, first: 1, count: 64}) {
		t.Errorf("spans %+v, want one piece of the long one, which has waited", plan.spans)
	}
	in.sequences[1].missed, in.sequences[1].wanted = 0, 90
	if plan := p.next(in); plan.spans[1].sequence != 1 {
		t.Errorf("spans %+v, want the long one, whose beginning a shorter one waits for", plan.spans)
	}
	in.pieces = 0
	if plan := p.next(in); len(plan.spans) != 1 {
		t.Errorf("spans %+v, want no piece where none is allowed", plan.spans)
	}
	in.sequences = in.sequences[1:]
	if plan := p.next(in); len(plan.rows) != 512 {
		t.Errorf("%d rows where nothing decodes, want all", len(plan.rows))
	}
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
			rows: rows, chunk: chunk, pieces: rapid.IntRange(0, 8).Draw(t, "pieces"), replay: rapid.IntRange(1, 32).Draw(t, "replay"), free: 3000,
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
	in := planInput{rows: 512, chunk: 512, pieces: 2, replay: 32, free: 1000}
	for i := range 16 {
		in.sequences = append(in.sequences, planSequence{slot: SeqID(i), tokens: tokensTo(500), prompt: 490 + i%2*10, resident: 499 - i%2*100})
	}
	var p planner
	p.next(in)
	if n := testing.AllocsPerRun(1000, func() { p.next(in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A prompt that was promised cells gets them, when those who took them sit out.
func TestABlockedSequenceGivesWay(t *testing.T) {
	pool := newPool(2)
	pool.grow(0, 4)
	pool.grow(1, 29)
	in := planInput{rows: 64, chunk: 64, pieces: 1, replay: 32, sequences: []planSequence{
		{slot: 0, tokens: tokensTo(20), prompt: 20, resident: 4, held: pool.held[0]},
		{slot: 1, tokens: tokensTo(30), prompt: 10, resident: 29, held: pool.held[1], blocked: true},
	}}
	var p planner
	plan := p.next(in)
	if !slices.Equal(plan.preempt, []int{1}) || len(plan.rows) != 16 {
		t.Errorf("preempted %v for %d rows, want the second for 16", plan.preempt, len(plan.rows))
	}
	// Also where they came first: who is not read holds nobody up.
	in.sequences[0], in.sequences[1] = in.sequences[1], in.sequences[0]
	if plan := p.next(in); !slices.Equal(plan.preempt, []int{0}) || len(plan.rows) != 16 {
		t.Errorf("preempted %v for %d rows, want the first for 16", plan.preempt, len(plan.rows))
	}
	in.sequences[0].blocked = false
	if plan := p.next(in); slices.Contains(plan.preempt, 0) {
		t.Errorf("one that is read lost its cells to a later prompt: %+v", plan)
	}
}

// Sequences that have nothing but shared cells free them together.
func TestSharersGiveWayTogether(t *testing.T) {
	pool := newPool(3)
	pool.grow(0, 10)
	pool.grow(1, 20)
	pool.share(2, 1, 20)
	in := planInput{rows: 64, chunk: 64, sequences: []planSequence{
		{slot: 0, tokens: tokensTo(11), prompt: 5, resident: 10, held: pool.held[0]},
		{slot: 1, tokens: tokensTo(30), prompt: 30, resident: 20, held: pool.held[1]},
		{slot: 2, tokens: tokensTo(30), prompt: 30, resident: 20, held: pool.held[2]},
	}}
	var p planner
	plan := p.next(in)
	if !slices.Equal(plan.preempt, []int{2, 1}) || len(plan.rows) != 1 {
		t.Errorf("preempted %v for %d rows, want both for one", plan.preempt, len(plan.rows))
	}
	// One with cells of its own goes alone.
	pool.grow(1, 1)
	in.sequences[1].held, in.sequences[1].resident = pool.held[1], 21
	if plan := p.next(in); !slices.Equal(plan.preempt, []int{1}) {
		t.Errorf("preempted %v, want the one that has a cell of its own", plan.preempt)
	}
}
