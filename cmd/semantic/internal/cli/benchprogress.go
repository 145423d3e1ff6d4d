package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/bench"
)

// How often the progress of a load is told.
const (
	benchEvery     = 250 * time.Millisecond
	benchLineEvery = 10 * time.Second
)

// benchProgress shows how far a load has come: a line that is written over on a
// terminal, one every 10 s and at each new phase elsewhere. It belongs to one
// goroutine at a time.
type benchProgress struct {
	w        io.Writer
	terminal bool
	every    time.Duration
	last     string
	wrote    time.Time
}

func newBenchProgress(w io.Writer, terminal bool) *benchProgress {
	return &benchProgress{w: w, terminal: terminal, every: benchEvery}
}

func (p *benchProgress) show(s bench.Progress) {
	phase := fmt.Sprintf("round %d of %d, %s", s.Round, s.Rounds, s.Phase)
	line := phase + " " + seconds(s.Elapsed)
	if s.Of > 0 {
		line += " of " + seconds(s.Of)
	}
	line += fmt.Sprintf(": %d under way, %d answered", s.Open, s.Answered)
	if s.Failed > 0 {
		line += fmt.Sprintf(", %d failed", s.Failed)
	}
	if s.Phase == "measuring" && s.Elapsed >= time.Second {
		line += fmt.Sprintf(", %.0f tokens/s", float64(s.Tokens)/s.Elapsed.Seconds())
	}
	if s.FirstToken > 0 {
		line += ", first token p50 " + s.FirstToken.String()
	}
	// Nothing can be done about a write error, here or below.
	if p.terminal {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.last = phase
		return
	}
	if now := time.Now(); phase != p.last || now.Sub(p.wrote) >= benchLineEvery {
		p.last, p.wrote = phase, now
		_, _ = fmt.Fprintln(p.w, line)
	}
}

// end makes room for what follows.
func (p *benchProgress) end() {
	if p.terminal && p.last != "" {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }
