package engine

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

const (
	// sampleCount is of how many observations the median counts.
	sampleCount = 9
	// paceBuckets are powers of two of rows or pieces.
	paceBuckets = 10
	// maxWait is the most steps in a row that go without prompt rows because
	// others decode.
	maxWait = 8
	// remeasure is after how many steps with prompt rows one goes without, to see
	// how long decoding alone takes now; sooner while that was seldom seen.
	remeasure = 32
)

// pace learns how long steps take and says how much of prompts may go into a
// step in which others decode. It has no clock: it is a function of what it was
// told. Medians make it deaf to single outliers.
type pace struct {
	// bound is how many times as long as one without prompt rows a step may take.
	bound float64
	// decode has seconds of steps of decode rows only, by their number; piece
	// the seconds of one piece of a prompt, by how many there were in the step;
	// replay those of one replayed row.
	decode, piece [paceBuckets]samples
	replay        samples
	// part is the seconds of a piece as a smaller one says, for as long as no whole
	// one was seen: prompts may all be shorter. What a step costs whatever it reads
	// makes it too much rather than too little.
	part samples
	// debt is how many seconds prompts took beside decode rows that no step had to
	// spare yet; beside says that the step under way has such rows.
	debt   float64
	beside bool
	// waited counts the steps with decode rows since one had prompt rows, mixed
	// the latter since decode rows were timed alone.
	waited, mixed int
}

// stepRows are the rows of a step by what they are for.
type stepRows struct {
	decode, prefill, replay int
}

// planned takes in what a step will have; apart says that its decode rows are
// made, and timed, by themselves.
func (p *pace) planned(rows stepRows, apart bool) {
	p.beside = rows.decode > 0
	switch {
	case rows.decode == 0:
	case rows.prefill == 0:
		p.waited, p.mixed = p.waited+1, 0
	case apart:
		p.waited, p.mixed = 0, 0
	default:
		p.waited, p.mixed = 0, p.mixed+1
	}
}

// observe takes in how long a step took; quantum is the rows of a piece.
func (p *pace) observe(rows stepRows, quantum int, took time.Duration) {
	seconds := took.Seconds()
	if rows.prefill+rows.replay == 0 {
		p.decode[paceBucket(rows.decode)].add(seconds)
		return
	}
	alone, known := p.alone(rows.decode)
	if !known {
		return
	}
	rest := max(seconds-alone, 0)
	switch {
	case rows.replay > 0:
		p.replay.add(rest / float64(rows.replay))
	case rows.prefill >= quantum:
		pieces := rows.prefill / quantum
		p.piece[paceBucket(pieces)].add(rest * float64(quantum) / float64(rows.prefill))
	case rows.prefill >= quantum/4:
		p.part.add(rest * float64(quantum) / float64(rows.prefill))
	}
	if p.beside {
		p.debt += rest
	}
}

// allow says how many pieces of prompts, or else how many replayed rows, a step
// beside so many decode rows may have: as many as keep it within bound times
// what a step takes without any, once the so many sequences whose prompts are to
// be read decode too. Where one piece alone exceeds that, steps go without until
// those have paid for it, but at most maxWait in a row.
func (p *pace) allow(decode, reading int) (pieces, replay int) {
	alone, known := p.alone(decode)
	spare := p.bound*max(alone, p.grown(decode+reading)) - alone
	p.debt = max(p.debt-spare, 0)
	replay = replayRows
	if row, ok := p.replay.median(); known && ok && row > 0 {
		replay = int(max(min(spare/row, replayRows), 1))
	}
	one, ok := p.pieceSeconds(1)
	switch {
	case !known && p.waited < maxWait:
		// The first step beside is without, to see how long that takes.
		return 0, replay
	case !known || !ok:
		return 1, replay
	case one > spare && p.debt > 0 && p.waited < maxWait:
		return 0, replay
	case one > spare:
		return 1, replay
	case p.waited < maxWait && p.mixed >= min(remeasure, 4*p.decode[paceBucket(decode)].n):
		return 0, replay
	}
	for pieces = 1; pieces < 1<<(paceBuckets-1); pieces++ {
		each, _ := p.pieceSeconds(pieces + 1)
		if each*float64(pieces+1) > spare {
			break
		}
	}
	return pieces, replay
}

// recompute estimates the seconds that reading so many tokens again takes.
func (p *pace) recompute(prompt, replayed, quantum int) (seconds float64, known bool) {
	each, known := p.pieceSeconds(1 << (paceBuckets - 1))
	if !known && prompt > 0 {
		return 0, false
	}
	row, known := p.replay.median()
	if !known {
		row = each / float64(quantum)
	}
	return each*float64(prompt)/float64(quantum) + row*float64(replayed), true
}

// alone estimates a step of decode rows only; without any it takes no time.
func (p *pace) alone(decode int) (seconds float64, known bool) {
	if decode == 0 {
		return 0, true
	}
	return nearest(&p.decode, paceBucket(decode))
}

// grown estimates the seconds of a step of decode rows only that may be more than
// there ever were. As long as that is not known each doubling counts as half as
// much again: too little, and prompts would be read so slowly that so many never
// decode together; too much is put right when they do.
func (p *pace) grown(decode int) (seconds float64) {
	b := paceBucket(decode)
	for known := b; known >= 0; known-- {
		if seconds, ok := p.decode[known].median(); ok {
			return seconds * math.Pow(1.5, float64(b-known))
		}
	}
	return 0
}

// pieceSeconds estimates one of so many pieces in a step.
func (p *pace) pieceSeconds(pieces int) (seconds float64, known bool) {
	if seconds, known = nearest(&p.piece, paceBucket(pieces)); known {
		return seconds, true
	}
	return p.part.median()
}

// nearest is the median of a bucket, or of the nearest one below it that is
// known, or else above.
func nearest(buckets *[paceBuckets]samples, bucket int) (seconds float64, known bool) {
	for b := bucket; b >= 0; b-- {
		if seconds, known = buckets[b].median(); known {
			return seconds, true
		}
	}
	for b := bucket + 1; b < paceBuckets; b++ {
		if seconds, known = buckets[b].median(); known {
			return seconds, true
		}
	}
	return 0, false
}

// paceBucket is the power of two that is at least n.
func paceBucket(n int) int { return min(bits.Len(uint(max(n, 1)-1)), paceBuckets-1) }

// samples are the last few observations of something.
type samples struct {
	values [sampleCount]float64
	n      int
}

func (w *samples) add(value float64) {
	w.values[w.n%sampleCount] = value
	w.n++
}

// median is the lower one of two: what disturbs a step makes it longer.
func (w *samples) median() (_ float64, known bool) {
	if w.n == 0 {
		return 0, false
	}
	sorted := w.values
	latest := sorted[:min(w.n, sampleCount)]
	slices.Sort(latest)
	return latest[(len(latest)-1)/2], true
}
