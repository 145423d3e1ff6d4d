package gateway

import (
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// progress is what a request saw of its job. Its times are this gateway's clock,
// so no two clocks are compared; they are zero of what has not happened, and all
// zero of a job that was there before the request.
type progress struct {
	// events is how many events of the job were read.
	events int
	// attempts is how often the job was started.
	attempts int
	// stored, claimed, first and last are when the job was stored, first taken up
	// by a worker, and brought its first and its latest output.
	stored, claimed, first, last time.Time
	// usage is what the end says; nil before.
	usage *schemas.Usage
	// finish is why the model stopped; of an answer that is done.
	finish schemas.FinishReason
}

// see takes the next event at a time; replayed ones happened before.
func (p *progress) see(e schemas.Event, now time.Time, replayed bool) {
	p.events++
	switch e.Type {
	case schemas.EventStarted:
		p.attempts = max(p.attempts, e.Started.Attempt)
		if p.claimed.IsZero() && !replayed {
			p.claimed = now
		}
	case schemas.EventDone:
		p.usage, p.finish = &e.Done.Usage, e.Done.FinishReason
	case schemas.EventFailed:
		p.usage = e.Failed.Usage
	case schemas.EventCancelled:
		p.usage = e.Cancelled.Usage
	case schemas.EventExpired:
		p.usage = e.Expired.Usage
	case schemas.EventSubmitted, schemas.EventDelta, schemas.EventRequeued:
	}
	if replayed || !says(e) {
		return
	}
	if p.first.IsZero() {
		p.first = now
	}
	p.last = now
}

// says reports whether an event brings something to read, of whatever kind.
func says(e schemas.Event) bool {
	var o schemas.Output
	switch {
	case e.Delta != nil:
		o = e.Delta.Output
	case e.Done != nil:
		o = e.Done.Output
	}
	return o.Text != "" || o.Reasoning != "" || len(o.ToolCalls) > 0
}

// The parts of a request's time, each zero where it is not known: from stored to
// claimed, from there to the first output, and from the first output to the last.

func (p *progress) queued() time.Duration  { return between(p.stored, p.claimed) }
func (p *progress) prefill() time.Duration { return between(p.claimed, p.first) }
func (p *progress) decode() time.Duration  { return between(p.first, p.last) }

func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return to.Sub(from)
}
