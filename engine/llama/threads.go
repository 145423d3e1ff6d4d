package llama

import "math"

// Threads is how many threads compute at most by default: the cores this process may
// use (affinity mask, quota of its control groups), and of those only the
// performance cores. llama.cpp's threads spin at every barrier, so one thread
// more than there are cores makes a step many times slower; a quota is
// therefore rounded down, unlike runtime.GOMAXPROCS does it.
func Threads() int { return probeCores().fast }

// UsableCores is how many cores this process may use, of whatever kind.
func UsableCores() int { return probeCores().usable }

// cores counts cores; both are at least 1, and fast is at most usable.
type cores struct {
	usable, fast int
}

// bound applies a quota in cores.
func (c cores) bound(quota float64) cores {
	most := 1
	if quota >= 1 {
		most = int(min(math.Floor(quota), 1<<20))
	}
	c.usable = max(1, min(c.usable, most))
	if c.fast < 1 {
		c.fast = c.usable
	}
	c.fast = min(c.fast, c.usable)
	return c
}
