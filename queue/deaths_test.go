package queue

import (
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
)

// claimed is one claim of a job in the story of a log.
type claimed struct {
	who incarnation
	// marked is whether it said that it prepares to start: on redelivery.
	marked bool
	// started is whether it came as far, moved whether it also wrote a delta,
	// freed whether it gave the job back.
	started, moved, freed bool
}

// life draws the claims of one job, one after another. An incarnation that
// lives may have the job more than once.
func life(t *rapid.T) (claims []claimed, dead map[incarnation]bool) {
	dead = make(map[incarnation]bool)
	var living []incarnation
	for i := range rapid.IntRange(0, 8).Draw(t, "claims") {
		who := incarnation{worker: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "worker"), id: string(rune('0' + i))}
		if len(living) > 0 && rapid.Bool().Draw(t, "again") {
			who = rapid.SampledFrom(living).Draw(t, "who")
		}
		c := claimed{who: who, marked: i > 0, started: rapid.Bool().Draw(t, "started"), freed: rapid.Bool().Draw(t, "freed")}
		c.moved = c.started && rapid.Bool().Draw(t, "moved")
		claims = append(claims, c)
		if rapid.Bool().Draw(t, "ends") {
			dead[who] = true
			living = without(living, who)
		} else {
			living = append(without(living, who), who)
		}
	}
	return claims, dead
}

func without(list []incarnation, who incarnation) []incarnation {
	var out []incarnation
	for _, w := range list {
		if w != who {
			out = append(out, w)
		}
	}
	return out
}

// log is what the claims leave in the job's log.
func log(claims []claimed) []schemas.Event {
	out := []schemas.Event{{Type: schemas.EventSubmitted, Submitted: &schemas.Submitted{}}}
	requeued := func(who incarnation, reason string) {
		out = append(out, schemas.Event{
			Type: schemas.EventRequeued, Requeued: &schemas.Requeued{Worker: who.worker, Incarnation: who.id, Reason: reason},
		})
	}
	for _, c := range claims {
		if c.marked {
			requeued(c.who, schemas.ReasonPreparing)
		}
		if c.started {
			out = append(out,
				schemas.Event{Type: schemas.EventStarted, Started: &schemas.Started{Worker: c.who.worker, Incarnation: c.who.id}})
		}
		if c.moved {
			out = append(out, schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{}})
		}
		if c.freed && (c.started || c.marked) {
			requeued(c.who, "shutdown")
		}
	}
	return out
}

// TestDeathsCountWhoDiedWithTheJob: an incarnation is counted if it has ended,
// and its last claim left a trace, wrote no delta and was not given back.
func TestDeathsCountWhoDiedWithTheJob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		claims, dead := life(t)
		want := 0
		for who := range dead {
			var last *claimed
			for i := range claims {
				if claims[i].who == who && (claims[i].marked || claims[i].started) {
					last = &claims[i]
				}
			}
			if last != nil && !last.freed && !last.moved {
				want++
			}
		}
		isDead := func(worker, id string) bool { return dead[incarnation{worker, id}] }
		if got := deaths(log(claims), isDead); got != want {
			t.Fatalf("%d deaths, want %d, in %+v with %v dead", got, want, claims, dead)
		}

		// Nobody who gave every claim back is counted, dead or not.
		freed := make([]claimed, len(claims))
		for i, c := range claims {
			c.freed = true
			freed[i] = c
		}
		all := func(string, string) bool { return true }
		if got := deaths(log(freed), all); got != 0 {
			t.Fatalf("%d deaths among hand-backs %+v", got, freed)
		}
		// Who lives is not counted, and one more death counts one at most.
		if got := deaths(log(claims), func(string, string) bool { return false }); got != 0 {
			t.Fatalf("%d deaths among the living", got)
		}
		for _, c := range claims {
			more := maps.Clone(dead)
			more[c.who] = true
			got := deaths(log(claims), func(worker, id string) bool { return more[incarnation{worker, id}] })
			if got < want || got > want+1 {
				t.Fatalf("%d deaths, %d without that of %v", got, want, c.who)
			}
		}
	})
}

// TestHolder: the last claim that left a trace, unless it was given back.
func TestHolder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		claims, _ := life(t)
		var l jobLog
		for _, e := range log(claims) {
			l.Entries = append(l.Entries, logEntry{Event: e})
		}
		var want *claimed
		for i, c := range claims {
			if c.marked || c.started {
				want = &claims[i]
			}
		}
		who, held := l.holder()
		if held != (want != nil && !want.freed) || held && who != want.who {
			t.Fatalf("%v holds it (%v) after %+v", who, held, claims)
		}
	})
}
