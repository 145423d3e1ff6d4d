package llama

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// machine is a synthetic one: cores of which others keep some busy, shared out
// evenly between whoever wants them.
type machine struct {
	cores int
	g     *governor
	// others is how many others there are now.
	others int
	// now is the time of steps, over the time in which there were more threads
	// than free cores; changes counts changes of the number.
	now, over time.Duration
	changes   int
}

// run makes steps for a time beside so many others.
func (m *machine) run(d time.Duration, others int) {
	const step = 8 * time.Millisecond
	m.others = others
	for end := m.now + d; m.now < end; m.now += step {
		n := m.g.threads
		got := min(1, float64(m.cores)/float64(n+others))
		if n+others > m.cores && n > 1 {
			m.over += step
		}
		if m.g.observe(0, step, time.Duration(float64(n)*got*float64(step))) != n {
			m.changes++
		}
	}
}

// spare is what the system would say.
func (m *machine) spare() (float64, bool) { return float64(max(0, m.cores-m.others-m.g.threads)), true }

// fits is how many threads others leave without losing too much.
func (m *machine) fits(others int) int {
	for n := m.g.most; n > 1; n-- {
		if lost := float64(n) * (1 - min(1, float64(m.cores)/float64(n+others))); lost <= lostCores {
			return n
		}
	}
	return 1
}

// TestGovernorProperties: whatever the surroundings are, the number is within
// its bounds; where they stay, it comes to what fits and stays there but for
// ever fewer trials; when they are free again, it comes back to the most.
func TestGovernorProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 12).Draw(t, "most")
		cores := most + rapid.IntRange(0, 2).Draw(t, "more cores")
		m := &machine{cores: cores, g: newGovernor(rapid.IntRange(1, most).Draw(t, "first"), most)}
		if rapid.Bool().Draw(t, "the system tells") {
			m.g.spare = m.spare
		}
		for range rapid.IntRange(0, 20).Draw(t, "changes before") {
			m.run(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms"))*time.Millisecond, rapid.IntRange(0, cores).Draw(t, "others"))
			if m.g.threads < 1 || m.g.threads > most || m.g.wait < minWait || m.g.wait > maxWait {
				t.Fatalf("%d threads of 1 … %d, wait %v", m.g.threads, most, m.g.wait)
			}
		}
		others := rapid.IntRange(0, cores).Draw(t, "others at last")
		m.run(2*maxWait, others)
		m.changes, m.over = 0, 0
		began := m.now
		m.run(10*time.Minute, others)
		// A trial is two changes, and there is one a minute.
		if m.changes > 22 || m.g.spare != nil && m.changes > 0 {
			t.Fatalf("%d changes in 10 minutes beside %d others", m.changes, others)
		}
		fits, free := m.fits(others), min(most, max(1, cores-others))
		if m.g.threads != fits && m.g.threads != fits+1 && (m.g.spare == nil || m.g.threads < free || m.g.threads > fits) {
			t.Fatalf("%d threads on %d cores beside %d others, where %d fit", m.g.threads, cores, others, fits)
		}
		// More threads than cores beside so many others that it hurts.
		if over := m.over.Seconds() / (m.now - began).Seconds(); m.fits(others)+others <= cores && over > 0.01 {
			t.Fatalf("%.3f of the time with more threads than free cores", over)
		}
		m.run(maxWait+time.Duration(most)*time.Second, 0)
		if m.g.threads != most {
			t.Fatalf("%d threads after the others went, want %d", m.g.threads, most)
		}
		m.changes = 0
		m.run(10*time.Minute, 0)
		if m.changes != 0 {
			t.Fatalf("%d changes with nobody else there", m.changes)
		}
	})
}

// TestGovernorFlicker: others that come and go for ever do not make the number
// follow them for ever.
func TestGovernorFlicker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{cores: 2, g: newGovernor(2, 2)}
		busy := time.Duration(rapid.IntRange(120, 5000).Draw(t, "busy ms")) * time.Millisecond
		free := time.Duration(rapid.IntRange(1, 2000).Draw(t, "free ms")) * time.Millisecond
		for m.now < 5*time.Minute {
			m.run(busy, 1)
			m.run(free, 0)
		}
		m.changes = 0
		for m.now < 15*time.Minute {
			m.run(busy, 1)
			m.run(free, 0)
		}
		if m.changes > 44 {
			t.Fatalf("%d changes in 10 minutes", m.changes)
		}
	})
}

// TestGovernorReacts: a busy core is answered within three windows, and a short
// disturbance not at all.
func TestGovernorReacts(t *testing.T) {
	m := &machine{cores: 2, g: newGovernor(2, 2)}
	m.run(10*time.Second, 0)
	m.run(40*time.Millisecond, 1)
	m.run(time.Second, 0)
	if m.changes != 0 {
		t.Errorf("a disturbance of 40 ms made %d changes", m.changes)
	}
	m.run(3*governorWindow, 1)
	if m.g.threads != 1 {
		t.Errorf("%d threads beside a busy core", m.g.threads)
	}
	// The time without steps counts as calm too.
	m.g.observe(maxWait, governorWindow, governorWindow)
	if m.g.threads != 2 {
		t.Errorf("%d threads after a long time without steps", m.g.threads)
	}
}
