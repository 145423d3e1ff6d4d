package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// book is what happened: faults, ends of requests, pauses, and what was wrong.
// Safe for concurrent use.
type book struct {
	began time.Time

	mu       sync.Mutex
	faults   []fault
	counts   map[string]int
	pauses   []time.Duration // the longest one of each stream
	longest  string          // the stream with the longest
	failures []string
	phases   []string
	// wrong counts failures of requests by kind; see the kinds below.
	wrong map[string]int
}

// What can be wrong with a request.
const (
	wrongLost     = "lost"
	wrongRepeated = "repeated"
	wrongText     = "wrong"
	wrongEndless  = "without end"
)

// fault is one that was made; to is zero while it lasts.
type fault struct {
	kind, who string
	from, to  time.Time
}

func newBook() *book {
	return &book{began: time.Now(), counts: map[string]int{}, wrong: map[string]int{}}
}

// fault notes that one begins; the function that it ends.
func (b *book) fault(kind, who string) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := len(b.faults)
	b.faults = append(b.faults, fault{kind: kind, who: who, from: time.Now()})
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults[i].to = time.Now()
	}
}

// made counts the faults of some kinds.
func (b *book) made(kinds ...string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		if slices.Contains(kinds, f.kind) {
			n++
		}
	}
	return n
}

func (b *book) count(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[what]++
}

// fail notes what must not be.
func (b *book) fail(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = append(b.failures, fmt.Sprintf("%s  %s", b.since(time.Now()), fmt.Sprintf(format, args...)))
}

// wronged notes what is wrong with a request.
func (b *book) wronged(kind, format string, args ...any) {
	b.mu.Lock()
	b.wrong[kind]++
	b.mu.Unlock()
	b.fail(kind+": "+format, args...)
}

// paused notes the longest pause of a stream.
func (b *book) paused(d time.Duration, job string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.pauses) == 0 || d > slices.Max(b.pauses) {
		b.longest = job
	}
	b.pauses = append(b.pauses, d)
}

func (b *book) since(t time.Time) string { return fmt.Sprintf("%8.2fs", t.Sub(b.began).Seconds()) }

// phase notes that a part of the test begins.
func (b *book) phase(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.phases = append(b.phases, name+" from"+b.since(time.Now()))
}

// near lists the faults within some time of another.
func (b *book) near(from, to time.Time) []fault {
	const margin = 3 * time.Second
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []fault
	for _, f := range b.faults {
		if f.from.Before(to.Add(margin)) && (f.to.IsZero() || f.to.After(from.Add(-margin))) {
			list = append(list, f)
		}
	}
	return list
}

// report is for people.
func (b *book) report(title string, seed uint64, most int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %v, seed %d\n", title, time.Since(b.began).Round(100*time.Millisecond), seed)
	fmt.Fprintf(&text, "%s\n", strings.Join(b.phases, ", "))
	kinds := map[string]int{}
	for _, f := range b.faults {
		kinds[f.kind]++
	}
	section := func(name string, counts map[string]int) {
		fmt.Fprintf(&text, "%s:\n", name)
		var keys []string
		for key := range counts {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			fmt.Fprintf(&text, "  %6d  %s\n", counts[key], key)
		}
	}
	section("faults", kinds)
	section("what was seen", b.counts)
	if n := len(b.pauses); n > 0 {
		slices.Sort(b.pauses)
		at := func(q float64) time.Duration { return b.pauses[min(n-1, int(q*float64(n)))].Round(time.Millisecond) }
		fmt.Fprintf(&text, "longest pause of a stream, of %d: p50 %v, p90 %v, p99 %v, longest %v (job %s)\n",
			n, at(0.5), at(0.9), at(0.99), at(1), b.longest)
	}
	for _, kind := range []string{wrongLost, wrongRepeated, wrongText, wrongEndless} {
		fmt.Fprintf(&text, "  %6d  %s\n", b.wrong[kind], kind)
	}
	if len(b.failures) > 0 {
		fmt.Fprintf(&text, "%d FAILURES (CHAOS_SEED=%d repeats the load and the faults):\n", len(b.failures), seed)
		for i, failure := range b.failures {
			if i == most {
				fmt.Fprintf(&text, "… and %d more\n", len(b.failures)-most)
				break
			}
			text.WriteString(failure + "\n")
		}
	}
	return text.String()
}
