package engine

// quantum is the measure of prefill cuts in rows: steps of this many rows and
// more take another attention path, with other bits, on a CPU.
const quantum = 64

// replayRows bounds the rows of a step in which emitted tokens are replayed:
// such steps give the bits that single rows gave.
const replayRows = 32

// planInput is all that a plan depends on.
type planInput struct {
	// step counts the steps; it decides whose turn it is.
	step uint64
	// rows is the most a step may have; chunk the prompt rows of one sequence
	// when nothing decodes; busy those of all sequences while something does.
	rows, chunk, busy int
	// free is how many cells are not in use.
	free int
	// sequences are those that have a place in the backend, in the order of
	// their arrival.
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
	// frees is how many cells are free again when it is preempted.
	frees int
	// blocked: its reader must catch up before it generates.
	blocked bool
}

// phase follows from what is resident.
func (s planSequence) phase() Phase {
	switch {
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
	decode  int
}

// planner makes plans. Its state is scratch space that is used again; a plan
// depends on the input alone and is valid until the next one.
type planner struct {
	plan
	in   planInput
	free int
	// taken says for each sequence that it has rows in this step or none at all
	// any more.
	taken []bool
}

// next plans a step. The package comment has the rules.
func (p *planner) next(in planInput) *plan {
	p.in, p.free, p.decode = in, in.free, 0
	p.rows, p.spans, p.preempt = p.rows[:0], p.spans[:0], p.preempt[:0]
	p.taken = append(p.taken[:0], make([]bool, len(in.sequences))...)

	p.decodeRows()
	prefills, replays := p.count(PhasePrefill), p.count(PhaseReplay)
	// A step that replays is small, one that prefills is large: take turns.
	if replays > 0 && (prefills == 0 || in.step%2 == 1) {
		p.share(PhaseReplay, replays, max(replayRows-p.decode, 1), 1, replayRows)
	} else if prefills > 0 {
		budget := in.rows
		if p.decode > 0 {
			budget = in.busy
		}
		p.share(PhasePrefill, prefills, budget, p.quantum(), p.chunk())
	}
	return &p.plan
}

// quantum and chunk are the configured ones, or smaller where steps are.
func (p *planner) quantum() int {
	q := quantum
	for q > p.in.rows {
		q /= 2
	}
	return q
}

func (p *planner) chunk() int {
	return max(min(p.in.chunk, p.in.rows)/p.quantum(), 1) * p.quantum()
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
// latest sequence of all loses its own.
func (p *planner) decodeRows() {
	for i, s := range p.in.sequences {
		if p.taken[i] || s.phase() != PhaseDecode {
			continue
		}
		if !p.reclaim(i) {
			// It is the latest itself: the others go on with its cells.
			if len(p.spans) > 0 || i > 0 {
				p.evict(i)
			}
			continue
		}
		p.add(i, 1)
		p.decode++
	}
}

// share deals rows to the sequences of a phase: to each the same number, in
// multiples of a measure, so that all advance; where a step has not that many
// rows they take turns in it. Alone, a sequence gets up to limit rows, and its
// cuts are at multiples of limit.
func (p *planner) share(phase Phase, n, budget, measure, limit int) {
	budget = min(budget, p.in.rows-len(p.rows))
	turn := int(p.in.step/2) % n
	for k := range len(p.in.sequences) * 2 {
		i := k % len(p.in.sequences)
		if p.taken[i] || p.in.sequences[i].phase() != phase {
			continue
		}
		if turn > 0 {
			turn--
			continue
		}
		if budget < 1 || n < 1 {
			return
		}
		each := max(budget/n/measure, 1) * measure
		if len(p.rows) == 0 && !p.reclaim(i) {
			continue
		}
		count := p.cut(i, min(each, limit), min(budget, p.free), measure)
		n--
		if count == 0 {
			continue
		}
		p.add(i, count)
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
	if len(p.rows) > p.decode {
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

// reclaim makes one cell free for sequence i, if need be from the latest
// sequences behind it.
func (p *planner) reclaim(i int) bool {
	for j := len(p.in.sequences) - 1; p.free < 1 && j > i; j-- {
		if !p.taken[j] && p.in.sequences[j].frees > 0 {
			p.evict(j)
		}
	}
	return p.free > 0
}

func (p *planner) evict(i int) {
	p.taken[i] = true
	p.free += p.in.sequences[i].frees
	p.preempt = append(p.preempt, i)
}

// admits reports whether a sequence that needs so many cells may take its place
// beside the resident ones: the cells that those were promised, and a reserve
// for each, stay theirs.
func admits(need, free, promised, resident, reserve int) bool {
	return resident == 0 || need+promised+resident*reserve <= free
}
