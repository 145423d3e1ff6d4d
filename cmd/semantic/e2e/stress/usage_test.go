package stress

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// usage is what one process of a server holds.
type usage struct {
	goroutines, files, memory float64 // memory in bytes
	// heap is Go's, as it was: garbage counts until it is collected.
	heap float64
}

// usages are those of both processes: gateway and broker, and the worker.
type usages map[string]usage

// usage reads both processes'. The page is without the worker's part where that was
// slow to answer; it is then read again. What this system does not tell is 0.
func (s *server) usage() usages {
	s.t.Helper()
	var all usages
	s.wait("the page tells the goroutines of both processes", func() bool {
		all = s.metrics().usage(s.Worker)
		return all["serve"].goroutines > 0 && all["worker"].goroutines > 0
	})
	return all
}

// usage is what the page says.
func (p page) usage(worker string) usages {
	all := usages{}
	for process, label := range map[string]string{"serve": "", "worker": worker} {
		value := func(name string) float64 {
			v, _ := p.sum(name, "worker", label)
			return v
		}
		all[process] = usage{
			goroutines: value("go_goroutines"), files: value("process_open_fds"), memory: value("process_resident_memory_bytes"),
			heap: value("go_memstats_heap_alloc_bytes"),
		}
	}
	return all
}

// median takes each figure's own.
func median(list []usages) usages {
	out := usages{}
	for process := range list[0] {
		of := func(get func(usage) float64) float64 {
			var values []float64
			for _, u := range list {
				values = append(values, get(u[process]))
			}
			slices.SortFunc(values, cmp.Compare[float64])
			return values[len(values)/2]
		}
		out[process] = usage{
			goroutines: of(func(u usage) float64 { return u.goroutines }), files: of(func(u usage) float64 { return u.files }),
			memory: of(func(u usage) float64 { return u.memory }), heap: of(func(u usage) float64 { return u.heap }),
		}
	}
	return out
}

// tolerance is by how much something may have grown and count as flat: a share of
// what it was, and so much beside it.
type tolerance struct{ share, beside float64 }

func (t tolerance) flat(before, after float64) bool { return after <= before*(1+t.share)+t.beside }

// tolerances are those of each figure.
type tolerances struct{ goroutines, files, memory tolerance }

// grown says what is more than it may be; empty where all is flat.
func (t tolerances) grown(before, after usages) []string {
	var out []string
	for _, process := range []string{"serve", "worker"} {
		b, a := before[process], after[process]
		check := func(what string, t tolerance, b, a float64) {
			if !t.flat(b, a) {
				out = append(out, fmt.Sprintf("%s of %s: %.0f, was %.0f (%.0f %% and %.0f more are allowed)",
					what, process, a, b, 100*t.share, t.beside))
			}
		}
		check("goroutines", t.goroutines, b.goroutines, a.goroutines)
		check("open files", t.files, b.files, a.files)
		check("resident bytes", t.memory, b.memory, a.memory)
	}
	return out
}

// tell adds both to the table.
func (t tolerances) tell(test string, before, after usages) {
	const mib = 1 << 20
	for _, process := range []string{"serve", "worker"} {
		b, a := before[process], after[process]
		line := func(what string, before, after float64, unit string) {
			if before == 0 && after == 0 {
				unit = "(this system does not tell)"
			}
			measured.number(test, process+", "+what+" before", math.Round(before), unit)
			measured.number(test, process+", "+what+" after", math.Round(after), unit)
		}
		line("goroutines", b.goroutines, a.goroutines, "")
		line("open files", b.files, a.files, "")
		line("memory", b.memory/mib, a.memory/mib, "MiB")
		line("heap", b.heap/mib, a.heap/mib, "MiB")
	}
}
