package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func neverSilent(member) bool { return false }

func ids(members []member) (list []string) {
	for _, m := range members {
		list = append(list, m.id)
	}
	return list
}

func drawMembers(t *rapid.T) []member {
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) member {
		return member{id: rapid.StringMatching(`[a-z0-9-]{1,12}`).Draw(t, "id"), capacity: rapid.IntRange(0, 64).Draw(t, "capacity")}
	}), 1, 12, func(m member) string { return m.id }).Draw(t, "members")
}

// TestHomesMoveLittle: whoever joins takes flows to itself and moves no other;
// whoever leaves, or drains, gives up its own only; the order does not matter.
func TestHomesMoveLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		model := rapid.String().Draw(t, "model")
		who := rapid.IntRange(0, len(members)-1).Draw(t, "who")
		without := slices.Delete(slices.Clone(members), who, who+1)
		joiner := members[who]
		draining := slices.Clone(members)
		draining[who].draining = true
		shuffled := slices.Clone(members)
		slices.Reverse(shuffled)
		for flow := range Flows {
			before := homeOf(model, flow, without, neverSilent, 0)
			after := homeOf(model, flow, members, neverSilent, 0)
			if after.worker != before.worker && after.worker != joiner.id {
				t.Fatalf("flow %d moved from %q to %q when %q joined", flow, before.worker, after.worker, joiner.id)
			}
			if after.from != fromHome || !slices.Contains(ids(members), after.worker) {
				t.Fatalf("home %+v", after)
			}
			if again := homeOf(model, flow, shuffled, neverSilent, 0); again != after {
				t.Fatalf("in another order %+v, not %+v", again, after)
			}
			drained := homeOf(model, flow, draining, neverSilent, 0)
			if drained.worker != before.worker {
				t.Fatalf("while %q drains flow %d is %q's, without it %q's", joiner.id, flow, drained.worker, before.worker)
			}
			if (drained.from == fromDraining) != (after.worker == joiner.id) {
				t.Fatalf("flow %d of %q: %+v while %q drains", flow, after.worker, drained, joiner.id)
			}
		}
	})
}

// TestHomesFollowCapacity: a worker's share of many flows is that of its capacity.
func TestHomesFollowCapacity(t *testing.T) {
	members := []member{{id: "a", capacity: 1}, {id: "b", capacity: 2}, {id: "c", capacity: 5}, {id: "d"}}
	const models = 1000
	got := make(map[string]int)
	for i := range models {
		for flow := range Flows {
			got[homeOf(strconv.Itoa(i), flow, members, neverSilent, 0).worker]++
		}
	}
	for _, m := range members {
		want := models * Flows * max(m.capacity, 1) / 9
		if n := got[m.id]; n < want*94/100 || n > want*106/100 {
			t.Errorf("%s has %d flows, want about %d", m.id, n, want)
		}
	}
}

// TestHomeReasons: who drains, is silent or too small is passed over, for the one
// that would be home without it, and the label says so.
func TestHomeReasons(t *testing.T) {
	members := make([]member, 5)
	for i := range members {
		members[i] = member{id: fmt.Sprintf("w%d", i), capacity: 1 + rand.IntN(4), context: 4096}
	}
	flow := rand.IntN(Flows)
	first := homeOf("m", flow, members, neverSilent, 0).worker
	at := slices.Index(ids(members), first)
	second := homeOf("m", flow, slices.Delete(slices.Clone(members), at, at+1), neverSilent, 0).worker

	changed := func(change func(*member)) []member {
		list := slices.Clone(members)
		change(&list[at])
		return list
	}
	for want, got := range map[string]home{
		fromDraining: homeOf("m", flow, changed(func(m *member) { m.draining = true }), neverSilent, 0),
		fromGone:     homeOf("m", flow, members, func(m member) bool { return m.id == first }, 0),
		fromSmall:    homeOf("m", flow, changed(func(m *member) { m.context = 100 }), neverSilent, 101),
	} {
		if got.worker != second || got.from != want {
			t.Errorf("%s: %+v, want %s", want, got, second)
		}
	}
	if got := homeOf("m", flow, nil, neverSilent, 0); got != (home{from: fromGone}) {
		t.Errorf("nobody's home: %+v", got)
	}
	all := func(member) bool { return true }
	if got := homeOf("m", flow, members, all, 0); got != (home{from: fromGone}) {
		t.Errorf("home with all silent: %+v", got)
	}
	if got := homeOf("m", flow, members, neverSilent, 5000); got != (home{from: fromSmall}) {
		t.Errorf("home of what nobody holds: %+v", got)
	}
	if got := homeOf("m", flow, changed(func(m *member) { m.context = 0 }), neverSilent, 1<<20); got.worker != first {
		t.Errorf("home with unknown context: %+v", got)
	}
}
