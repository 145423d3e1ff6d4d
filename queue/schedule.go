package queue

import "github.com/semantic-worker/semantic/schemas"

// lane is one flow of one class: where a job is claimed from.
type lane struct {
	class int // index into schemas.Classes
	flow  int
}

// classWeights are the claims of each class out of 16 when all are waiting.
func classWeights() [3]int { return [3]int{12, 3, 1} }

// schedule decides which lane is served next: classes by smooth weighted round
// robin, the flows of a class in turn. It is a pure state machine; the claimer
// owns it.
type schedule struct {
	credit [3]int
	cursor [3]int // the flow after the one served last
}

// pick returns the lane to try among those that are ready.
func (s *schedule) pick(ready func(lane) bool) (lane, bool) {
	best, found := lane{}, false
	weights := classWeights()
	for class := range schemas.Classes() {
		flow, ok := s.flow(class, ready)
		if !ok {
			continue
		}
		if !found || s.credit[class]+weights[class] > s.credit[best.class]+weights[best.class] {
			best, found = lane{class: class, flow: flow}, true
		}
	}
	return best, found
}

func (s *schedule) flow(class int, ready func(lane) bool) (int, bool) {
	for i := range Flows {
		flow := (s.cursor[class] + i) % Flows
		if ready(lane{class: class, flow: flow}) {
			return flow, true
		}
	}
	return 0, false
}

// served charges a claim from l. Classes that had something ready gain credit;
// one that had nothing neither gains nor keeps any, so that an idle class does
// not save up turns.
func (s *schedule) served(l lane, ready func(lane) bool) {
	total := 0
	for class, weight := range classWeights() {
		if _, ok := s.flow(class, ready); !ok && class != l.class {
			s.credit[class] = 0
			continue
		}
		s.credit[class] += weight
		total += weight
	}
	s.credit[l.class] -= total
	s.cursor[l.class] = (l.flow + 1) % Flows
}
