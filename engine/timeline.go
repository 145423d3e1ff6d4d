package engine

import (
	"slices"
	"sync"
	"time"
)

const (
	// maxReads and maxPauses bound what a timeline lists: what comes later is
	// added to its last entry.
	maxReads  = 128
	maxPauses = 16
)

// Timeline is when what happened to a sequence in this engine. Times are zero
// for what has not happened. They are of the process's clock, with its monotonic
// reading.
type Timeline struct {
	// Submitted is when Submit was called.
	Submitted time.Time
	// Admitted is when it first got a place, FirstRow when the first step with rows
	// of it began.
	Admitted, FirstRow time.Time
	// Reads are the steps in which its prompt was read, or what it had generated
	// before, in their order; at most 128, of which the last stands for all that
	// came after.
	Reads []Read
	// FirstToken and LastToken are when the first and the latest new token were
	// chosen; an end-of-generation token counts.
	FirstToken, LastToken time.Time
	// Pauses are the times for which it lost its cells to others; at most 16, of
	// which the last then ends with the latest. Preemptions counts them all.
	Pauses      []Pause
	Preemptions int
	// Ended is when it left the engine, in whatever way.
	Ended time.Time
	// Prompt, Cached (see Usage) and Generated (new tokens, without
	// Request.Emitted and an end-of-generation token) count tokens.
	Prompt, Cached, Generated int
}

// Read is the part of a step that read tokens of a sequence into its cells.
type Read struct {
	// At is when the step began, Took how long it took with all its rows, also
	// those of others.
	At   time.Time
	Took time.Duration
	// Rows is how many tokens of this sequence were read.
	Rows int
	// Replay: they had been generated before.
	Replay bool
}

// Pause is a time without a place.
type Pause struct {
	// From is when it was preempted, To when it had a place again.
	From, To time.Time
}

// timeline is a sequence's own. The loop alone writes, with mu held; it reads
// without.
type timeline struct {
	mu sync.Mutex
	Timeline
	// began is when the running step with rows of the sequence began; the loop's.
	began time.Time
}

// Timeline returns what has happened so far. Once Next has returned the last chunk
// or another end, that is all. Safe for concurrent use.
func (s *Sequence) Timeline() Timeline {
	s.times.mu.Lock()
	defer s.times.mu.Unlock()
	t := s.times.Timeline
	t.Reads, t.Pauses = slices.Clone(t.Reads), slices.Clone(t.Pauses)
	return t
}

// admitted notes a place, and how much of the prompt need not be read.
func (t *timeline) admitted(now time.Time, cached int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Admitted.IsZero() {
		t.Admitted = now
	}
	if t.FirstRow.IsZero() {
		t.Cached = cached
	}
	if n := len(t.Pauses); n > 0 {
		t.Pauses[n-1].To = now
	}
}

// preempted notes the loss of the place.
func (t *timeline) preempted(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Preemptions++
	if len(t.Pauses) < maxPauses {
		t.Pauses = append(t.Pauses, Pause{From: now})
	}
}

// stepped notes that a step with rows begins, and reports whether it is the
// first.
func (t *timeline) stepped(now time.Time) bool {
	t.began = now
	if !t.FirstRow.IsZero() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.FirstRow = now
	return true
}

// read notes rows of the step that is over now.
func (t *timeline) read(now time.Time, rows int, replay bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	read := Read{At: t.began, Took: now.Sub(t.began), Rows: rows, Replay: replay}
	if len(t.Reads) < maxReads {
		t.Reads = append(t.Reads, read)
		return
	}
	last := &t.Reads[maxReads-1]
	last.Took, last.Rows = now.Sub(last.At), last.Rows+rows
}

// token notes a new token, and how many there are that do not end the sequence.
// It reports the time since the one before; false for the first.
func (t *timeline) token(now time.Time, generated int) (since time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ok = !t.FirstToken.IsZero(); ok {
		since = now.Sub(t.LastToken)
	} else {
		t.FirstToken = now
	}
	t.LastToken, t.Generated = now, generated
	return since, ok
}

// ended notes the end.
func (t *timeline) ended(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Ended = now
}

// timings are those of a sequence that ends now.
func (t *timeline) timings(now time.Time) Timings {
	switch {
	case t.FirstRow.IsZero():
		return Timings{Waiting: now.Sub(t.Submitted)}
	case t.FirstToken.IsZero():
		return Timings{Waiting: t.FirstRow.Sub(t.Submitted), Prefill: now.Sub(t.FirstRow)}
	}
	return Timings{
		Waiting: t.FirstRow.Sub(t.Submitted), Prefill: t.FirstToken.Sub(t.FirstRow), Decode: now.Sub(t.FirstToken),
	}
}
