package queue

import "github.com/semantic-worker/semantic/schemas"

// incarnation is one life of a worker's process.
type incarnation struct{ worker, id string }

// deaths counts the incarnations that a log leaves with the job in their hands
// and that dead knows to have ended: an incarnation dies once, however often it
// had the job. It has the job in its hands from its `started`, or from the
// `requeued` by which it said that it prepares to start, until another
// `requeued` of its own. A claim that wrote a `delta` brought the job forward, and
// does not count: a long job outlives many stops that are not its fault.
func deaths(log []schemas.Event, dead func(worker, incarnation string) bool) int {
	holding := make(map[incarnation]bool)
	var writer incarnation // of the deltas: who started last
	for _, e := range log {
		switch {
		case e.Started != nil:
			writer = incarnation{e.Started.Worker, e.Started.Incarnation}
			holding[writer] = true
		case e.Delta != nil:
			holding[writer] = false
		case e.Requeued != nil:
			holding[incarnation{e.Requeued.Worker, e.Requeued.Incarnation}] = e.Requeued.Reason == schemas.ReasonPreparing
		}
	}
	n := 0
	for who, holds := range holding {
		if holds && dead(who.worker, who.id) {
			n++
		}
	}
	return n
}

// holder is the incarnation that has the job in its hands, by the last event
// that says so; false where nobody has.
func (l jobLog) holder() (incarnation, bool) {
	for i := len(l.Entries) - 1; i >= 0; i-- {
		switch e := l.Entries[i].Event; {
		case e.Started != nil:
			return incarnation{e.Started.Worker, e.Started.Incarnation}, true
		case e.Requeued != nil:
			return incarnation{e.Requeued.Worker, e.Requeued.Incarnation}, e.Requeued.Reason == schemas.ReasonPreparing
		case e.Type.Terminal():
			return incarnation{}, false
		}
	}
	return incarnation{}, false
}
