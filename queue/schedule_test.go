package queue

import (
	"testing"

	"pgregory.net/rapid"
)

func TestScheduleWeights(t *testing.T) {
	var s schedule
	all := func(lane) bool { return true }
	for range 10 {
		var got [3]int
		flows := make(map[lane]int)
		for range 16 {
			l, ok := s.pick(all)
			if !ok {
				t.Fatal("nothing picked")
			}
			got[l.class]++
			flows[l]++
			s.served(l, all)
		}
		if got != classWeights() {
			t.Fatalf("of 16 claims %v, want %v", got, classWeights())
		}
		for l, n := range flows {
			if n > 1 {
				t.Fatalf("%+v served %d times before others of its class", l, n)
			}
		}
	}
}

// TestScheduleFair: whatever is ready when, a lane that stays ready is served
// within a bounded number of claims, and an idle class saves up nothing.
func TestScheduleFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s schedule
		steady := lane{class: rapid.IntRange(0, 2).Draw(t, "class"), flow: rapid.IntRange(0, Flows-1).Draw(t, "flow")}
		waited := 0
		for range 400 {
			mask := rapid.Uint64().Draw(t, "ready")
			ready := func(l lane) bool { return l == steady || mask>>(l.class*Flows+l.flow)&1 == 1 }
			l, ok := s.pick(ready)
			if !ok || !ready(l) {
				t.Fatalf("picked %+v, %v", l, ok)
			}
			s.served(l, ready)
			if waited++; l == steady {
				waited = 0
			}
			// At least one claim in 16 goes to the class, one in 16 of those to the flow.
			if waited > 2*16*Flows {
				t.Fatalf("%+v waits for %d claims", steady, waited)
			}
			for _, credit := range s.credit {
				if credit > 32 || credit < -32 {
					t.Fatalf("credit %v runs away", s.credit)
				}
			}
		}
	})
}

func TestScheduleNothingReady(t *testing.T) {
	var s schedule
	if l, ok := s.pick(func(lane) bool { return false }); ok {
		t.Fatalf("picked %+v", l)
	}
}
