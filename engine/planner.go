package engine

import "slices"

// quantum is the measure of prefill cuts in rows, a piece: steps of this many
// rows and more take another attention path, with other bits, on a CPU.
const quantum = 64

// replayRows bounds the rows of a step in which emitted tokens are replayed:
// such steps give the bits that single rows gave.
const replayRows = 32

// turns is how often each of the prompts may be passed over, on average, before
// one has its turn whatever its length.
const turns = 4

// planInput is all that a plan depends on.
type planInput struct {
	// step counts the steps; it decides whose turn it is.
	step uint64
	// rows is the most a step may have, chunk the measure of the cuts of a prompt
	// when nothing decodes.
	rows, chunk int
	// pieces is how many pieces of prompts, and replay how many replayed rows, a
	// step may have in which others decode.
	pieces, replay int
	// free is how many cells are not in use.
	free int
	// sequences are those that have a place in the backend, in the order of their
	// rank: of their class, then of their arrival.
	sequences []planSequence
}

// planSequence is the planner's view of a sequence.
type planSequence struct {
	slot SeqID
	// tokens are the prompt and what was generated; the first resident ones are
	// in the KV cache, always fewer than all.
	tokens   []Token
	prompt   int
	resident int
	// held are its cells.
	held []piece
	// blocked: its reader must catch up before it generates. paused: another is to
	// be alone, and it sits out whatever it has to do.
	blocked, paused bool
	// missed counts the steps in a row in which only other prompts had rows;
	// wanted is how many rows the shortest prompt that waits to share this one has
	// left, 0 where none does.
	missed, wanted int
}

// phase follows from what is resident.
func (s planSequence) phase() Phase {
	switch {
	case s.paused:
		return PhaseBlocked
	case s.resident < s.prompt:
		return PhasePrefill
	case s.resident < len(s.tokens)-1:
		return PhaseReplay
	case s.blocked:
		return PhaseBlocked
	default:
		return PhaseDecode
	}
}

// urgency orders prompts: the fewest rows left first, but before them who was
// passed over for too long, the longest of them first.
func (s planSequence) urgency(prompts int) int {
	if s.missed >= turns*prompts {
		return -s.missed
	}
	left := s.prompt - s.resident
	if s.wanted > 0 {
		left = min(left, s.wanted)
	}
	return left
}

// span is one sequence's rows in a plan.
type span struct {
	// sequence is an index into planInput.sequences; its rows are count rows of
	// the step from first on.
	sequence, first, count int
	// sample says that the last row's logits choose the next token.
	sample bool
}

// plan is one step.
type plan struct {
	rows  []Row
	spans []span
	// preempt are the indexes of sequences whose cells the rows need.
	preempt []int
	kinds   stepRows
}

// apart reports whether the plan takes longer as one step than as two, and
// makes it the first of them, of the decode rows, returning the second.
func (p *plan) apart(rows int) (prompts plan, ok bool) {
	if rows == 0 || len(p.rows) < rows || p.kinds.decode == 0 || p.kinds.prefill == 0 {
		return plan{}, false
	}
	// Decode rows come first, one a span.
	n := p.kinds.decode
	prompts = plan{rows: p.rows[n:], spans: p.spans[n:], kinds: stepRows{prefill: p.kinds.prefill}}
	for i := range prompts.spans {
		prompts.spans[i].first -= n
	}
	p.rows, p.spans, p.kinds = p.rows[:n], p.spans[:n], stepRows{decode: n}
	return prompts, true
}

// planner makes plans. Its state is scratch space that is used again; a plan
// depends on the input alone and is valid until the next one.
type planner struct {
	plan
	in   planInput
	free int
	// taken says for each sequence that it has rows in this step or none at all
	// any more; gone are the slots of the latter.
	taken []bool
	gone  []SeqID
	order []int
}

// next plans a step. The package comment has the rules.
func (p *planner) next(in planInput) *plan {
	p.in, p.free, p.kinds = in, in.free, stepRows{}
	p.rows, p.spans, p.preempt, p.gone = p.rows[:0], p.spans[:0], p.preempt[:0], p.gone[:0]
	p.taken = append(p.taken[:0], make([]bool, len(in.sequences))...)

	p.decodeRows()
	prefills, replays := p.count(PhasePrefill), p.count(PhaseReplay)
	budget := in.rows
	if p.kinds.decode > 0 {
		budget = in.pieces * stepQuantum(in.rows)
	}
	// A step that replays is small, one that prefills is large: take turns. Whose
	// turn it is may have no cell, while the others can take some.
	turn := replays > 0 && (prefills == 0 || budget == 0 || in.step%2 == 1)
	if turn {
		p.replays(replays)
	}
	if !turn || len(p.rows) == 0 {
		p.prefills(budget)
	}
	if !turn && replays > 0 && len(p.rows) == 0 {
		p.replays(replays)
	}
	return &p.plan
}

// stepQuantum is the quantum, or less where a step has fewer rows.
func stepQuantum(rows int) int {
	q := quantum
	for q > rows {
		q /= 2
	}
	return q
}

func (p *planner) count(phase Phase) (n int) {
	for i, s := range p.in.sequences {
		if !p.taken[i] && s.phase() == phase {
			n++
		}
	}
	return n
}

// decodeRows gives every running sequence its row. Where a cell is missing the
// last in rank of all loses its own.
func (p *planner) decodeRows() {
	for i, s := range p.in.sequences {
		if p.taken[i] || s.phase() != PhaseDecode {
			continue
		}
		if !p.reclaim(i) {
			// It is the last itself: the others go on with its cells.
			if len(p.spans) > 0 || i > 0 {
				p.evict(i)
			}
			continue
		}
		p.add(i, 1)
		p.kinds.decode++
	}
}

// prefills deals rows to prompts, the most urgent first: as many as go to the
// next multiple of a chunk, or of a piece where there are not that many.
func (p *planner) prefills(budget int) {
	measure := stepQuantum(p.in.rows)
	chunk := max(min(p.in.chunk, p.in.rows)/measure, 1) * measure
	budget = min(budget, p.in.rows-len(p.rows))
	p.order = p.order[:0]
	for i, s := range p.in.sequences {
		if !p.taken[i] && s.phase() == PhasePrefill {
			p.order = append(p.order, i)
		}
	}
	slices.SortStableFunc(p.order, func(i, j int) int {
		return p.in.sequences[i].urgency(len(p.order)) - p.in.sequences[j].urgency(len(p.order))
	})
	for _, i := range p.order {
		if budget < 1 {
			return
		}
		if p.taken[i] || len(p.rows) == 0 && !p.reclaim(i) {
			continue
		}
		count := p.cut(i, chunk, min(budget, p.free), measure)
		if count == 0 {
			continue
		}
		p.add(i, count)
		p.kinds.prefill += count
		budget -= count
	}
}

// replays deals rows to n sequences that replay: to each the same number, so
// that all advance; where a step has not that many rows they take turns in it.
func (p *planner) replays(n int) {
	budget := replayRows
	if p.kinds.decode > 0 {
		budget = max(min(p.in.replay, replayRows-p.kinds.decode), 1)
	}
	budget = min(budget, p.in.rows-len(p.rows))
	turn := int(p.in.step/2) % n
	for k := range len(p.in.sequences) * 2 {
		i := k % len(p.in.sequences)
		if p.taken[i] || p.in.sequences[i].phase() != PhaseReplay {
			continue
		}
		if turn > 0 {
			turn--
			continue
		}
		if budget < 1 || n < 1 {
			return
		}
		each := max(budget/n, 1)
		if len(p.rows) == 0 && !p.reclaim(i) {
			continue
		}
		count := p.cut(i, each, min(budget, p.free), 1)
		n--
		if count == 0 {
			continue
		}
		p.add(i, count)
		p.kinds.replay += count
		budget -= count
	}
}

// cut returns how many rows of a sequence to plan: up to the next multiple of
// each, at most room. Where only a cut at another place is possible, it makes
// one only in a step that would otherwise be empty of such rows.
func (p *planner) cut(i, each, room, measure int) int {
	s := p.in.sequences[i]
	end := len(s.tokens)
	switch {
	case s.resident < s.prompt:
		end = s.prompt
	case s.blocked:
		end--
	}
	to := min((s.resident/each+1)*each, end)
	if to-s.resident <= room {
		return to - s.resident
	}
	if aligned := (s.resident + room) / measure * measure; aligned > s.resident {
		return aligned - s.resident
	}
	if len(p.rows) > p.kinds.decode {
		return 0
	}
	return room
}

// add plans the next count rows of a sequence.
func (p *planner) add(i, count int) {
	s := p.in.sequences[i]
	p.taken[i] = true
	p.free -= count
	end := s.resident + count
	p.spans = append(p.spans, span{sequence: i, first: len(p.rows), count: count, sample: end == len(s.tokens)})
	for pos := s.resident; pos < end; pos++ {
		p.rows = append(p.rows, Row{
			Token: s.tokens[pos],
			Pos:   int32(pos),
			Seq:   s.slot,
			// The prompt's last row asks as it did the first time, also when the
			// token that followed is known.
			Logits: pos == len(s.tokens)-1 || pos == s.prompt-1,
		})
	}
}

// reclaim makes one cell free for sequence i, if need be from those behind it,
// then from those before it that are blocked: from the last one that has cells of
// its own, or else, as all that they have is shared, from as many of them as it
// takes.
func (p *planner) reclaim(i int) bool {
	for least := 1; least >= 0; least-- {
		for j := len(p.in.sequences) - 1; p.free < 1 && j >= 0; j-- {
			s := p.in.sequences[j]
			yields := j > i || j < i && s.phase() == PhaseBlocked
			if yields && !p.taken[j] && len(s.held) > 0 && freed(s.held, s.slot, p.gone) >= least {
				p.evict(j)
			}
		}
	}
	return p.free > 0
}

func (p *planner) evict(i int) {
	s := p.in.sequences[i]
	p.taken[i] = true
	p.free += freed(s.held, s.slot, p.gone)
	p.gone = append(p.gone, s.slot)
	p.preempt = append(p.preempt, i)
}

// admits reports whether a sequence that needs so many cells may take its place
// beside the resident ones: the cells that those were promised, and a reserve
// for each, stay theirs.
func admits(need, free, promised, resident, reserve int) bool {
	return resident == 0 || need+promised+resident*reserve <= free
}
