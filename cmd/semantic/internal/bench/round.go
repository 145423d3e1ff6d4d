package bench

import (
	"sync"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// mostOpen bounds the requests under way.
const mostOpen = 20_000

// sample is a request that counts.
type sample struct {
	round int
	// due is when, since the start of its round's counted time.
	due, late time.Duration
	class     schemas.Class
	agent     string
	result    Result
	// firstToken and endToEnd are since it was due; firstToken is 0 where there was
	// no output. decode is from the first to the last output.
	firstToken, endToEnd, decode time.Duration
}

// call is a request under way. It belongs to the goroutine that asks.
type call struct {
	r           *round
	request     Request
	due, sent   time.Time
	counts      bool
	first, last time.Time
	gaps        []time.Duration
}

// round records what happens in one round. Its fields behind mu are guarded by it.
type round struct {
	number int
	start  time.Time
	// from is where the counted time begins.
	from time.Time
	// done is closed when the counted time is over and no request that counts is
	// under way; full when there are as many as a round can have.
	done, full chan struct{}

	mu       sync.Mutex
	until    time.Time
	over     bool
	pending  int
	begun    int
	open     int
	answered int
	failed   int
	firsts   histogram
	samples  []sample
	classes  map[schemas.Class]*counted
}

// counted is what arrived in the counted time, and what was between it.
type counted struct {
	tokens, ended, cut int
	gaps               histogram
}

func newRound(number int, start time.Time, c Config) *round {
	from := start.Add(c.WarmUp)
	return &round{
		number: number, start: start, from: from, until: from.Add(c.Duration), done: make(chan struct{}), full: make(chan struct{}),
		classes: make(map[schemas.Class]*counted),
	}
}

func (r *round) of(class schemas.Class) *counted {
	c := r.classes[class]
	if c == nil {
		c = new(counted)
		r.classes[class] = c
	}
	return c
}

// begin notes that a request is due. It is false where no more can be asked; sent
// is false where it cannot be sent, which is noted.
func (r *round) begin(request Request, due time.Time) (c *call, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun == mostRequests {
		return nil, false
	}
	r.begun++
	if r.begun == mostRequests {
		close(r.full)
	}
	c = &call{r: r, request: request, due: due, counts: !r.over && !due.Before(r.from) && due.Before(r.until)}
	r.open++
	if c.counts {
		r.pending++
	}
	return c, true
}

// crowded is whether no more can be under way.
func (r *round) crowded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open > mostOpen
}

// piece notes output at the moment when it arrives.
func (c *call) piece(p Piece) {
	if p.Tokens == 0 && p.Text == "" {
		return
	}
	now := time.Now()
	if c.first.IsZero() {
		c.first = now
	} else {
		c.gaps = append(c.gaps, now.Sub(c.last))
	}
	c.last = now
	r := c.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if !now.Before(r.from) && now.Before(r.until) {
		r.of(c.request.Class).tokens += p.Tokens
	}
}

// end notes how it ended. What was cut because the load ended is not known and not
// counted.
func (c *call) end(result Result, cut bool) {
	now, r := time.Now(), c.r
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	if !cut {
		if result.Code == "" {
			r.answered++
			if !now.Before(r.from) && now.Before(r.until) {
				r.of(c.request.Class).ended++
			}
		} else {
			r.failed++
		}
	}
	if !c.counts {
		return
	}
	r.pending--
	if r.over && r.pending == 0 {
		close(r.done)
	}
	if cut {
		r.of(c.request.Class).cut++
		return
	}
	s := sample{
		round: r.number, due: c.due.Sub(r.from), class: c.request.Class, agent: c.request.Agent, result: result,
		endToEnd: now.Sub(c.due), decode: c.last.Sub(c.first),
	}
	if !c.sent.IsZero() {
		s.late = c.sent.Sub(c.due)
	}
	if !c.first.IsZero() {
		s.firstToken = c.first.Sub(c.due)
		r.firsts.add(s.firstToken)
	}
	gaps := &r.of(c.request.Class).gaps
	for _, gap := range c.gaps {
		gaps.add(gap)
	}
	r.samples = append(r.samples, s)
}

// close ends the counted time: nothing that is due from now on counts.
func (r *round) close(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if now.Before(r.until) {
		r.until = now
	}
	if r.pending == 0 {
		close(r.done)
	}
}

// Progress is how far a load has come.
type Progress struct {
	// Round counts from 1.
	Round, Rounds int
	// Phase is warm-up, measuring or finishing.
	Phase string
	// Elapsed is how much of the phase is over, Of how long it takes; 0 where that is
	// not known.
	Elapsed, Of time.Duration
	// Open requests are under way; Answered and Failed are those of the round.
	Open, Answered, Failed int
	// Tokens arrived in the counted time.
	Tokens int
	// FirstToken is the median of those that count; 0 while there is none.
	FirstToken Millis
}

func (r *round) progress(c Config) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	p := Progress{
		Round: r.number, Rounds: c.Rounds, Phase: "measuring", Elapsed: now.Sub(r.from), Of: c.Duration,
		Open: r.open, Answered: r.answered, Failed: r.failed,
	}
	switch {
	case now.Before(r.from):
		p.Phase, p.Elapsed, p.Of = "warm-up", now.Sub(r.start), c.WarmUp
	case r.over:
		p.Phase, p.Elapsed, p.Of = "finishing", now.Sub(r.until), 0
	}
	for _, of := range r.classes {
		p.Tokens += of.tokens
	}
	if r.firsts.n > 0 {
		p.FirstToken = r.firsts.quantile(0.5)
	}
	return p
}
