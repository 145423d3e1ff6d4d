package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"
)

// member is a live worker as homes are chosen.
type member struct {
	id string
	// capacity is how many sequences it runs at once, context the longest it can
	// hold; 0 where it does not say.
	capacity, context int
	draining          bool
	// seen is when there was news of it last.
	seen time.Time
}

// Why a claim was this worker's to make: labels of semantic_queue_claims_total.
const (
	// fromHome: it is the flow's home.
	fromHome = "home"
	// fromDraining, fromGone and fromSmall: the flow's home drains, is not heard
	// of, or cannot hold the job, and this worker is the next.
	fromDraining = "home_draining"
	fromGone     = "home_gone"
	fromSmall    = "home_small"
	// fromBusy: the home did not take the job in time.
	fromBusy = "home_busy"
)

func claimLabels() [5]string { return [5]string{fromHome, fromDraining, fromGone, fromSmall, fromBusy} }

// home is where the jobs of one flow go first.
type home struct {
	// worker is empty where nobody is: then the jobs are for whoever comes.
	worker string
	// from is the label of claims that worker makes.
	from string
}

// homeOf chooses the home of a model's flow among its live workers: that of the
// greatest weight, or while it drains, is silent or has a context below needs,
// the next one. It is the same for all classes.
//
// The weights are rendezvous hashes, scaled by capacity (the logarithmic
// method): each depends on one worker alone. So who joins takes over only the
// flows that it wins, a share by its capacity; who leaves gives up only its own;
// and who comes back, under the id that it keeps, has the same ones again.
func homeOf(model string, flow int, members []member, silent func(member) bool, needs int) home {
	var first, best home
	highest, high := math.Inf(-1), math.Inf(-1)
	for _, m := range members {
		h := home{worker: m.id, from: fromHome}
		switch {
		case m.draining:
			h.from = fromDraining
		case silent(m):
			h.from = fromGone
		case m.context != 0 && m.context < needs:
			h.from = fromSmall
		}
		w := weight(model, flow, m)
		before := func(top float64, than home) bool { return w > top || w == top && m.id < than.worker }
		if before(highest, first) {
			highest, first = w, h
		}
		if h.from == fromHome && before(high, best) {
			high, best = w, h
		}
	}
	switch {
	case first.worker == "":
		return home{from: fromGone}
	case best.worker != first.worker:
		best.from = first.from
	}
	return best
}

// weight is a worker's for a flow: -capacity/ln(u), u a hash in (0, 1). Two
// machines may disagree in its last bit; where that matters, once in 10¹⁵, they
// race for a job.
func weight(model string, flow int, m member) float64 {
	h := sha256.New()
	for _, part := range []string{model, flowToken(flow), m.id} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	const bits = 53 // of a float's mantissa
	u := (float64(binary.BigEndian.Uint64(h.Sum(nil))>>(64-bits)) + 0.5) / (1 << bits)
	return -float64(max(m.capacity, 1)) / math.Log(u)
}

// homes are the homes of all flows of a claimer's model, as of a state of the
// registry.
type homes struct {
	model      string
	members    []member
	generation uint64
	// until is when the next member becomes silent, if there is no news of it.
	until time.Time
	flows [Flows]home
	valid bool
}

// silentAfter is how long a worker may be without news, as a part of
// RegistryTTL, before it is nobody's home: entries are written every third of it.
const silentAfter = 2.0 / 3

// look brings the homes up to date. me is never silent to itself.
func (h *homes) look(r *registry, me string, now time.Time) {
	if h.valid && h.generation == r.generationNow() && now.Before(h.until) {
		return
	}
	h.members, h.generation = r.members(h.model)
	h.valid, h.until = true, now.Add(r.q.config.RegistryTTL)
	for _, m := range h.members {
		if at := m.seen.Add(r.silence()); m.id != me && now.Before(at) && at.Before(h.until) {
			h.until = at
		}
	}
	for flow := range h.flows {
		h.flows[flow] = h.of(r, me, flow, 0, now)
	}
}

// of is the home of a flow's jobs that need a context of so many tokens.
func (h *homes) of(r *registry, me string, flow, needs int, now time.Time) home {
	silent := func(m member) bool { return m.id != me && now.Sub(m.seen) >= r.silence() }
	return homeOf(h.model, flow, h.members, silent, needs)
}
