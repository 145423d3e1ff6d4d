package queue

import "github.com/semantic-worker/semantic/schemas"

// incarnation is one life of a worker's process.
type incarnation struct{ worker, id string }

// Guilt is what a job's log, and the registry, say about the workers that died
// with the job in their hands.
type Guilt struct {
	// Deaths are those after which the log did not grow: a claim that brings it
	// forward clears what came before. Alone of them died while they had no other
	// job.
	Deaths, Alone int
	// Total are those of the job's whole life.
	Total int
	// Suspect is whether the job was last in the hands of another worker that
	// neither brought it forward nor gave it back: it may be what killed that
	// worker, or one of its neighbours there is. It is to be run alone.
	Suspect bool
}

// How many times as many as the permitted attempts may die on a job before it is
// given up without proof: while it had company, and though it came forward.
const (
	companyBound = 3
	totalBound   = 10
)

// Condemned reports whether the job is to be given up after so many attempts. A
// death in company proves nothing, because each of those that were there may be
// its cause: once attempts workers have died since the log last grew, one of them
// must have been alone with the job. Whatever the proof, it is given up when three
// times as many have died since the log last grew, or ten times as many in all.
func (g Guilt) Condemned(attempts int) bool {
	return g.Deaths >= attempts && g.Alone > 0 || g.Deaths >= companyBound*attempts || g.Total >= totalBound*attempts
}

// With is the guilt after one more death, of a worker that had the job alone or
// not, and that brought its log forward or not.
func (g Guilt) With(alone, moved bool) Guilt {
	g.Total++
	if moved {
		g.Deaths, g.Alone = 0, 0
		return g
	}
	g.Suspect = true
	g.Deaths++
	if alone {
		g.Alone++
	}
	return g
}

// hands is who has had a job, by its log. An incarnation has the job in its hands
// from its `started`, or from the `requeued` by which it said that it prepares to
// start, until another `requeued` of its own.
type hands struct {
	// still are those since whose claim the log has not grown, and whether they
	// said that they were alone with the job; moved are those since whom it has.
	still map[incarnation]bool
	moved map[incarnation]bool
}

func handsOf(log []schemas.Event) hands {
	h := hands{still: make(map[incarnation]bool), moved: make(map[incarnation]bool)}
	for _, e := range log {
		switch {
		case e.Started != nil:
			h.still[incarnation{e.Started.Worker, e.Started.Incarnation}] = e.Started.Alone
		case grows(e):
			for who := range h.still {
				h.moved[who] = true
			}
			clear(h.still)
		case e.Requeued != nil:
			who := incarnation{e.Requeued.Worker, e.Requeued.Incarnation}
			if e.Requeued.Reason == schemas.ReasonPreparing {
				h.still[who] = e.Requeued.Alone
				continue
			}
			delete(h.still, who)
			delete(h.moved, who)
		}
	}
	return h
}

// grows reports whether an event brings a job forward.
func grows(e schemas.Event) bool {
	return e.Delta != nil && (len(e.Delta.Tokens) > 0 || e.Delta.FinishReason != "")
}

// guiltOf judges a log for the incarnation self, whose own claims are no deaths.
// An incarnation dies once, however often it had the job.
func guiltOf(log []schemas.Event, self string, dead func(worker, incarnation string) bool) Guilt {
	var g Guilt
	h := handsOf(log)
	died := func(who incarnation) bool { return who.id != self && dead(who.worker, who.id) }
	for who, alone := range h.still {
		// It need not be known to be dead yet: the registry hears of it later than
		// the claim runs out.
		g.Suspect = g.Suspect || who.id != self
		if !died(who) {
			continue
		}
		g.Deaths++
		if alone {
			g.Alone++
		}
	}
	g.Total = g.Deaths
	for who := range h.moved {
		if _, again := h.still[who]; !again && died(who) {
			g.Total++
		}
	}
	return g
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
