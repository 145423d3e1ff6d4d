package llama

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ebitengine/purego"

	"github.com/semantic-worker/semantic/engine"
)

// threading is a backend's number of threads while it looks for the best.
type threading struct {
	g   *governor
	log *slog.Logger
	// ended is when the last step ended.
	ended time.Time
	// began and cpu are the wall clock and processor time at the beginning of
	// the step that runs.
	began time.Time
	cpu   time.Duration
	// asked is when spare was asked last, and idle what idleTime was then.
	asked time.Time
	idle  time.Duration
}

// spare is how many cores nobody used since it was asked before.
func (t *threading) spare() (cores float64, known bool) {
	idle, known := idleTime()
	now := time.Now()
	cores = (idle - t.idle).Seconds() / now.Sub(t.asked).Seconds()
	t.asked, t.idle = now, idle
	return cores, known
}

func (t *threading) stepBegins() {
	if t != nil {
		t.began, t.cpu = time.Now(), processTime()
	}
}

// stepEnds sets how many threads the next step has.
func (b *Backend) stepEnds() {
	t := b.threading
	if t == nil {
		return
	}
	now := time.Now()
	before := t.g.threads
	threads := t.g.observe(t.began.Sub(t.ended), now.Sub(t.began), processTime()-t.cpu)
	t.ended = now
	if threads != before {
		b.setThreads(threads)
		_, _ = t.spare() // what was before does not count
		t.log.Debug("threads changed", keyThreads, threads, keyBefore, before, keyMost, t.g.most, keyWait, t.g.wait)
	}
}

func (b *Backend) setThreads(n int) {
	purego.SyscallN(b.lib.setThreads, uintptr(b.context), uintptr(n), uintptr(n))
}

const (
	// measureTime bounds the measurement at the start; the first step, which
	// reads the weights from the disk, comes before it.
	measureTime = 300 * time.Millisecond
	// measureSteps is how many steps a number of threads gets at most; the
	// fastest counts.
	measureSteps = 6
)

// measureThreads finds the number of threads, from most down to one, with which
// a step that decodes one token is fastest. For a large model the time is enough
// for few numbers only, the highest: it is more right there that more threads
// are faster.
func (b *Backend) measureThreads(ctx context.Context, most int, log *slog.Logger) error {
	step := func() (wall, cpu time.Duration, err error) {
		began, before := time.Now(), processTime()
		if err := b.Step([]engine.Row{{Logits: true}}); err != nil {
			return 0, 0, err
		}
		wall, cpu = time.Since(began), processTime()-before
		return wall, cpu, b.Remove(0, 0)
	}
	if _, _, err := step(); err != nil {
		return err
	}
	best, fastest := most, time.Duration(1<<62)
	var said []string
	var wall, cpu time.Duration
	began, slower := time.Now(), 0
	for n := most; n >= 1 && slower < 2 && (n == most || time.Since(began) < measureTime) && ctx.Err() == nil; n-- {
		b.setThreads(n)
		took := time.Duration(1 << 62)
		share := time.Now()
		for i := 0; i < measureSteps && (i == 0 || time.Since(share) < measureTime/4); i++ {
			w, c, err := step()
			if err != nil {
				return err
			}
			took = min(took, w)
			if n == most {
				wall, cpu = wall+w, cpu+c
			}
		}
		slower++
		if took < fastest {
			best, fastest, slower = n, took, 0
		}
		said = append(said, fmt.Sprintf("%d: %.1f ms", n, took.Seconds()*1000))
	}
	// Something else took the cores: that says nothing about them.
	limit := best
	if float64(most)-cpu.Seconds()/wall.Seconds() > lostCores {
		limit = most
	}
	b.setThreads(best)
	b.status.Threads = best
	b.status.ThreadsReason = "measured, a token: " + strings.Join(said, ", ")
	if limit > 1 {
		b.threading = &threading{g: newGovernor(best, limit), log: log, ended: time.Now()}
		b.threading.g.spare = b.threading.spare
		_, _ = b.threading.spare()
		b.status.ThreadsReason += "; fewer while something else needs the cores"
	}
	return nil
}
