package queue

import "github.com/semantic-worker/semantic/schemas"

// lane is one flow of one class: where a job is claimed from.
type lane struct {
	class int // index into schemas.Classes
	flow  int
}

func (l lane) name() schemas.Class { return schemas.Classes()[l.class] }

// classWeights are the claims of each class out of 16 when all are waiting.
func classWeights() [3]int { return [3]int{12, 3, 1} }

// quantum is the grain of fairness between the flows of a class, in tokens:
// among flows that owe less, and among those that owe the same number of whole
// quanta, claims go round.
const quantum = 2048

// rank is how much a lane is this claimer's to serve.
type rank int

const (
	// rankNone: there is nothing to claim, or not yet.
	rankNone rank = iota
	// rankOther: another worker's, which had its chance.
	rankOther
	// rankOwn: its home is here, or nowhere.
	rankOwn
)

// schedule decides which lane is served next: classes by smooth weighted round
// robin, the flows of a class by deficit round robin, this worker's own ones
// first. It is a pure state machine; the claimer owns it. See the package
// comment for the bound.
type schedule struct {
	credit [3]int
	cursor [3]int // the flow after the one served last
	// debt is what each flow was charged beyond what the rounds since have
	// forgiven: the deficit counter, as one that grows.
	debt [3][Flows]int
}

// classSet says which classes may be claimed from now.
type classSet [3]bool

// pick returns the lane to try among those that are ready, of the open classes.
func (s *schedule) pick(ready func(lane) rank, open classSet) (lane, bool) {
	best, found := lane{}, false
	weights := classWeights()
	for class := range schemas.Classes() {
		if !open[class] {
			continue
		}
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

// flow returns the flow of a class to serve: of those of the highest rank that
// owe the fewest whole quanta, the first after the one served last.
func (s *schedule) flow(class int, ready func(lane) rank) (flow int, ok bool) {
	highest, least := rankNone, 0
	for i := range Flows {
		f := (s.cursor[class] + i) % Flows
		r, owes := ready(lane{class: class, flow: f}), s.debt[class][f]/quantum
		if r > highest || r == highest && r != rankNone && owes < least {
			flow, highest, least = f, r, owes
		}
	}
	return flow, highest != rankNone
}

// served charges a claim from l. Open classes that had something ready gain
// credit; one that had nothing neither gains nor keeps any, so that an idle class
// does not save up turns. What every flow of the class owes is less by the quanta
// that this one owed: as many rounds have passed. Nobody gets below nothing, so
// an idle flow does not save up turns either.
func (s *schedule) served(l lane, ready func(lane) rank, open classSet) {
	total := 0
	for class, weight := range classWeights() {
		if !open[class] {
			continue
		}
		if _, ok := s.flow(class, ready); !ok && class != l.class {
			s.credit[class] = 0
			continue
		}
		s.credit[class] += weight
		total += weight
	}
	s.credit[l.class] -= total
	s.cursor[l.class] = (l.flow + 1) % Flows
	rounds := s.debt[l.class][l.flow] / quantum
	for flow := range s.debt[l.class] {
		s.charge(lane{class: l.class, flow: flow}, -rounds*quantum)
	}
}

// charge makes a flow owe tokens, or fewer where they are negative.
func (s *schedule) charge(l lane, tokens int) {
	debt := &s.debt[l.class][l.flow]
	*debt = max(*debt+tokens, 0)
}
