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
	// freed whether it gave the job back, alone whether it said that it had no other.
	started, moved, freed, alone bool
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
		c.alone = rapid.Bool().Draw(t, "alone")
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
	requeued := func(who incarnation, reason string, alone bool) {
		out = append(out, schemas.Event{
			Type:     schemas.EventRequeued,
			Requeued: &schemas.Requeued{Worker: who.worker, Incarnation: who.id, Reason: reason, Alone: alone},
		})
	}
	for _, c := range claims {
		if c.marked {
			requeued(c.who, schemas.ReasonPreparing, c.alone)
		}
		if c.started {
			out = append(out, schemas.Event{
				Type: schemas.EventStarted, Started: &schemas.Started{Worker: c.who.worker, Incarnation: c.who.id, Alone: c.alone},
			})
		}
		if c.moved {
			out = append(out, schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: schemas.Output{Tokens: []int32{1}}}})
		}
		if c.freed && (c.started || c.marked) {
			requeued(c.who, "shutdown", false)
		}
	}
	return out
}

// TestGuiltCountsWhoDiedWithTheJob: an incarnation is counted if it has ended, and
// its last claim left a trace and was not given back; as one of Deaths if the log
// did not grow from that claim on.
func TestGuiltCountsWhoDiedWithTheJob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		claims, dead := life(t)
		var want Guilt
		for _, c := range hold(claims) {
			want.Suspect = want.Suspect || !c.moved
			if !dead[c.who] {
				continue
			}
			want.Total++
			if c.moved {
				continue
			}
			want.Deaths++
			if c.alone {
				want.Alone++
			}
		}
		isDead := func(worker, id string) bool { return dead[incarnation{worker, id}] }
		if got := guiltOf(log(claims), "judge", isDead); got != want {
			t.Fatalf("%+v, want %+v, in %+v with %v dead", got, want, claims, dead)
		}
		attempts := attemptsOf(log(claims), isDead)
		died, counted := 0, 0
		for _, a := range attempts {
			if a.End == schemas.AttemptDied {
				died++
			}
			if a.Counted {
				counted++
			}
		}
		if died != want.Total || counted != want.Deaths {
			t.Fatalf("the evidence tells of %d deaths, %d of them counted, want %+v: %+v", died, counted, want, attempts)
		}

		// Nobody who gave every claim back is counted, dead or not, or suspected.
		freed := make([]claimed, len(claims))
		for i, c := range claims {
			c.freed = true
			freed[i] = c
		}
		all := func(string, string) bool { return true }
		if got := guiltOf(log(freed), "judge", all); got != (Guilt{}) {
			t.Fatalf("%+v among hand-backs %+v", got, freed)
		}
		// Who lives is not counted, one's own claims are no deaths, and one more
		// death counts one at most.
		if got := guiltOf(log(claims), "judge", func(string, string) bool { return false }); got.Total != 0 {
			t.Fatalf("%+v among the living", got)
		}
		for _, c := range claims {
			if got := guiltOf(log(claims), c.who.id, all); got.Total != len(hold(claims))-among(hold(claims), c.who) {
				t.Fatalf("%+v for %v, of %+v", got, c.who, claims)
			}
			more := maps.Clone(dead)
			more[c.who] = true
			got := guiltOf(log(claims), "judge", func(worker, id string) bool { return more[incarnation{worker, id}] })
			if got.Total < want.Total || got.Total > want.Total+1 || got.Deaths < want.Deaths {
				t.Fatalf("%+v, and %+v without the death of %v", got, want, c.who)
			}
		}
	})
}

// hold are the last claims of those that have the job in their hands, moved if the
// log has grown since.
func hold(claims []claimed) []claimed {
	last := make(map[incarnation]claimed)
	for _, c := range claims {
		if c.marked || c.started {
			for who, before := range last {
				before.moved = before.moved || c.moved
				last[who] = before
			}
			last[c.who] = c
		}
	}
	var list []claimed
	for _, c := range last {
		if !c.freed {
			list = append(list, c)
		}
	}
	return list
}

func among(claims []claimed, who incarnation) int {
	for _, c := range claims {
		if c.who == who {
			return 1
		}
	}
	return 0
}

// TestCondemned: the rule of docs/adr/0015.
func TestCondemned(t *testing.T) {
	for _, c := range []struct {
		g        Guilt
		attempts int
		want     bool
	}{
		{Guilt{Deaths: 2, Alone: 2, Total: 2}, 3, false},
		{Guilt{Deaths: 3, Alone: 2, Total: 3}, 3, true},
		{Guilt{Deaths: 3, Alone: 1, Total: 3}, 3, true},
		{Guilt{Deaths: 3, Total: 3}, 3, false},
		{Guilt{Deaths: 8, Total: 8}, 3, false},
		{Guilt{Deaths: 9, Total: 9}, 3, true},
		{Guilt{Total: 29}, 3, false},
		{Guilt{Total: 30}, 3, true},
		{Guilt{Deaths: 1, Total: 1}, 1, false},
		{Guilt{Deaths: 1, Alone: 1, Total: 1}, 1, true},
	} {
		if got := c.g.Condemned(c.attempts); got != c.want {
			t.Errorf("%+v of %d attempts: %v", c.g, c.attempts, got)
		}
	}
	if got := (Guilt{Deaths: 2, Alone: 1, Total: 4}).With(true, false); got != (Guilt{Deaths: 3, Alone: 2, Total: 5, Suspect: true}) {
		t.Errorf("%+v", got)
	}
	if got := (Guilt{Deaths: 2, Alone: 1, Total: 4}).With(true, true); got != (Guilt{Total: 5}) {
		t.Errorf("%+v", got)
	}
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
