package llama

import "time"

// governor chooses the number of threads while steps run. llama.cpp's threads
// spin at barriers until the last one is there, so a thread that waits for a core
// which something else uses makes all of them wait.
//
// What it sees of a window of steps is how many cores the threads did not get:
// threads less processor time ÷ wall time. While more than lostCores are lost it
// steps down. It steps up again by trying: one thread more after a time of calm,
// unless the system says that nothing is free. A trial that fails can cost a
// second on a machine that is busy. Every step down doubles that time; staying at the most for twice of it makes it
// short again. So in surroundings that stay as they are, and in such that change
// for ever, the number changes ever more seldom.
//
// It is a function of what it was told: it has no clock. The
// processor time is the whole process's, so what the process itself computes
// besides hides as much of what others take.
type governor struct {
	most int
	// threads is the choice.
	threads int
	// wall and cpu are the window's so far.
	wall, cpu time.Duration
	// bad is whether the window before lost too many cores.
	bad bool
	// trial is whether threads was raised and not confirmed yet.
	trial bool
	// calm is the time since the last change, wait how much of it a trial takes.
	calm, wait time.Duration
	// climbing is whether the last change was a trial that was confirmed: then
	// climbWait is enough for the next.
	climbing bool
	// spare tells how many cores nobody has used lately; false or nil where that
	// is not known.
	spare func() (cores float64, known bool)
	// looked is the calm at which spare was asked last.
	looked time.Duration
}

const (
	// lostCores is where one thread less is faster: beside load of 20 % on each
	// of two cores two threads are still faster than one, at 25 % no more.
	lostCores = 0.45
	// governorWindow is how much time of steps is judged at once, trialWindow
	// how much of it during a trial.
	governorWindow = 50 * time.Millisecond
	trialWindow    = 20 * time.Millisecond
	// Bounds of governor.wait.
	minWait = time.Second
	maxWait = time.Minute
	// climbWait is the wait after a trial that was confirmed.
	climbWait = 200 * time.Millisecond
)

func newGovernor(threads, most int) *governor {
	return &governor{most: most, threads: threads, wait: minWait}
}

// observe takes how long a step took, the processor time in it and how long
// there was none before it, and returns how many threads the next one has.
func (g *governor) observe(idle, wall, cpu time.Duration) int {
	g.wall += wall
	g.cpu += cpu
	g.calm += idle + wall
	window := governorWindow
	if g.trial {
		window = trialWindow
	}
	if g.wall >= window {
		got := g.cpu.Seconds() / g.wall.Seconds()
		g.wall, g.cpu = 0, 0
		g.judge(got)
	}
	return g.threads
}

// judge decides at the end of a window in which the threads got so many cores.
func (g *governor) judge(got float64) {
	if float64(g.threads)-got > lostCores {
		// One window can be bad luck, unless it shows that a trial fails.
		if g.threads > 1 && (g.trial || g.bad) {
			g.down(got)
			return
		}
		g.bad = true
		return
	}
	g.bad = false
	if g.trial {
		g.trial, g.climbing = false, true
	}
	wait := g.wait
	if g.climbing {
		wait = min(wait, climbWait)
	}
	switch {
	case g.threads < g.most && g.calm >= wait && g.worthTrying():
		g.threads++
		g.trial, g.calm, g.looked = true, 0, 0
	case g.threads == g.most && g.calm >= 2*g.wait:
		g.wait = minWait
	}
}

// worthTrying asks the system, once in minWait, whether another thread would get
// as much of a core as it has to.
func (g *governor) worthTrying() bool {
	if g.spare == nil {
		return true
	}
	if g.calm-g.looked < minWait && !g.climbing {
		return false
	}
	g.looked = g.calm
	cores, known := g.spare()
	return !known || cores >= 1-lostCores
}

// down takes as many threads as got cores.
func (g *governor) down(got float64) {
	g.threads = max(1, min(g.threads-1, int(got+1-lostCores)))
	g.trial, g.bad, g.climbing, g.calm, g.looked = false, false, false, 0, 0
	g.wait = min(2*g.wait, maxWait)
}
