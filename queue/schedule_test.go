package queue

import (
	"testing"

	"pgregory.net/rapid"
)

func everything(lane) rank { return rankOwn }

func everyClass() classSet { return classSet{true, true, true} }

// own makes the lanes that a condition holds for this claimer's.
func own(is func(lane) bool) func(lane) rank {
	return func(l lane) rank {
		if is(l) {
			return rankOwn
		}
		return rankNone
	}
}

func TestScheduleWeights(t *testing.T) {
	var s schedule
	for range 10 {
		var got [3]int
		flows := make(map[lane]int)
		for range 16 {
			l, ok := s.pick(everything, everyClass())
			if !ok {
				t.Fatal("nothing picked")
			}
			got[l.class]++
			flows[l]++
			s.served(l, everything, everyClass())
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

// TestScheduleFair: whatever is ready when, and whatever claims cost less than a
// quantum, a lane that stays ready is served within a bounded number of claims,
// and an idle class saves up nothing.
func TestScheduleFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s schedule
		steady := lane{class: rapid.IntRange(0, 2).Draw(t, "class"), flow: rapid.IntRange(0, Flows-1).Draw(t, "flow")}
		waited := 0
		for range 400 {
			mask := rapid.Uint64().Draw(t, "ready")
			ready := own(func(l lane) bool { return l == steady || mask>>(l.class*Flows+l.flow)&1 == 1 })
			l, ok := s.pick(ready, everyClass())
			if !ok || ready(l) == rankNone {
				t.Fatalf("picked %+v, %v", l, ok)
			}
			s.served(l, ready, everyClass())
			s.charge(l, rapid.IntRange(0, quantum).Draw(t, "cost"))
			if waited++; l == steady {
				waited = 0
			}
			// At least one claim in 16 goes to the class, one in 32 of those to the flow.
			if waited > 4*16*Flows {
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

// TestScheduleBound: the bounds of the package comment. Between two claims of a
// flow that always has a job, no other flow of the class is charged more than what
// the first of the two cost, two quanta, and its own last claim; and one that owes
// less than a quantum has its turn after at most one claim of each other.
func TestScheduleBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s schedule
		class := rapid.IntRange(0, 2).Draw(t, "class")
		steady := lane{class: class, flow: rapid.IntRange(0, Flows-1).Draw(t, "flow")}
		most := rapid.IntRange(1, 1<<17).Draw(t, "most")
		var cost int // of the steady flow's last claim
		var charged, claims [Flows]int
		light := s.debt[class][steady.flow] < quantum
		for range 300 {
			mask := rapid.Uint16().Draw(t, "ready")
			ready := own(func(l lane) bool { return l == steady || l.class == class && mask>>l.flow&1 == 1 })
			l, ok := s.pick(ready, everyClass())
			if !ok {
				t.Fatal("nothing picked")
			}
			s.served(l, ready, everyClass())
			price := rapid.IntRange(0, most).Draw(t, "price")
			s.charge(l, price)
			if l == steady {
				cost, charged, claims = price, [Flows]int{}, [Flows]int{}
				light = s.debt[class][steady.flow] < quantum
				continue
			}
			charged[l.flow] += price
			claims[l.flow]++
			if bound := cost + 2*quantum + most; charged[l.flow] > bound {
				t.Fatalf("flow %d was charged %d between two claims, more than %d", l.flow, charged[l.flow], bound)
			}
			if light && claims[l.flow] > 1 {
				t.Fatalf("flow %d had %d claims before one that owes nothing", l.flow, claims[l.flow])
			}
		}
	})
}

// TestScheduleTokens: of two flows that always have jobs, the one with prompts ten
// times as long has a tenth of the claims; and what is given back counts.
func TestScheduleTokens(t *testing.T) {
	var s schedule
	long, short := lane{flow: 3}, lane{flow: 9}
	ready := own(func(l lane) bool { return l == long || l == short })
	run := func(paid int) (claims map[lane]int) {
		claims = make(map[lane]int)
		for range 2200 {
			l, _ := s.pick(ready, everyClass())
			s.served(l, ready, everyClass())
			s.charge(l, map[lane]int{long: 10_000, short: 1000}[l])
			if l == long {
				s.charge(l, paid-10_000)
			}
			claims[l]++
		}
		return claims
	}
	if claims := run(10_000); claims[long] < 195 || claims[long] > 205 {
		t.Errorf("claims %v, want 200 and 2000", claims)
	}
	if claims := run(1000); claims[long] < 1090 || claims[long] > 1110 {
		t.Errorf("claims %v of what is cached, want 1100 each", claims)
	}
}

// TestScheduleIdle: a flow that was idle has no more turns than others for it, and
// no fewer for what it owed long ago.
func TestScheduleIdle(t *testing.T) {
	var s schedule
	busy, idle := lane{flow: 1}, lane{flow: 2}
	alone := own(func(l lane) bool { return l == busy })
	s.charge(idle, 10*quantum)
	for range 100 {
		l, _ := s.pick(alone, everyClass())
		s.served(l, alone, everyClass())
		s.charge(l, quantum)
	}
	both := own(func(l lane) bool { return l == busy || l == idle })
	claims := make(map[lane]int)
	for range 100 {
		l, _ := s.pick(both, everyClass())
		s.served(l, both, everyClass())
		s.charge(l, quantum)
		claims[l]++
	}
	if claims[busy] < 49 || claims[busy] > 51 {
		t.Errorf("claims %v, want 50 each", claims)
	}
}

// TestScheduleRank: this worker's own flows come first within their class, and
// class comes before that.
func TestScheduleRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s schedule
		mine := rapid.Uint16().Draw(t, "mine")
		classes := make(map[int]int)
		for range 160 {
			ready := func(l lane) rank {
				if mine>>l.flow&1 == 1 && l.class == 2 {
					return rankOwn
				}
				return rankOther
			}
			l, _ := s.pick(ready, everyClass())
			if l.class == 2 && mine != 0 && ready(l) != rankOwn {
				t.Fatalf("served %+v before its own", l)
			}
			s.served(l, ready, everyClass())
			s.charge(l, rapid.IntRange(0, 3*quantum).Draw(t, "price"))
			classes[l.class]++
		}
		if classes[0] != 120 || classes[1] != 30 || classes[2] != 10 {
			t.Fatalf("claims by class %v", classes)
		}
	})
}

// TestScheduleClosed: a class that is closed is not picked, and has its turns
// when it opens as if no time had passed.
func TestScheduleClosed(t *testing.T) {
	var s schedule
	claims := func(open classSet, n int) (got [3]int) {
		for range n {
			l, ok := s.pick(everything, open)
			if !ok || !open[l.class] {
				t.Fatalf("picked %+v of %v", l, open)
			}
			s.served(l, everything, open)
			got[l.class]++
		}
		return got
	}
	// The lowest class was given its turn in two halves of what precedes it.
	first := claims(everyClass(), 7)
	if got := claims(classSet{true, true, false}, 30); got != [3]int{24, 6, 0} {
		t.Errorf("claims %v while the last class was closed, want 24 and 6", got)
	}
	second := claims(everyClass(), 9)
	if first[2]+second[2] != 1 {
		t.Errorf("claims %v and %v, want one of the last class", first, second)
	}
	if l, ok := s.pick(everything, classSet{}); ok {
		t.Errorf("picked %+v with all closed", l)
	}
}

func TestScheduleNothingReady(t *testing.T) {
	var s schedule
	if l, ok := s.pick(own(func(lane) bool { return false }), everyClass()); ok {
		t.Fatalf("picked %+v", l)
	}
}
