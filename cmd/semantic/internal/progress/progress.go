// Package progress shows how far something long has come: a bar on a terminal,
// plain lines elsewhere (one each ten per cent, though not more than one a
// second, so that a log stays readable).
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// spinEvery is how often a bar of unknown length moves on a terminal.
const spinEvery = 100 * time.Millisecond

// lineEvery is the shortest time between two plain lines.
const lineEvery = time.Second

// Reporter shows the progress of one thing after another. A nil *Reporter is
// silent. It is safe for concurrent use, though two bars on one terminal
// overwrite each other.
type Reporter struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	now      func() time.Time
}

// New returns a reporter that writes to w, which is a terminal or not.
func New(w io.Writer, terminal bool) *Reporter {
	return &Reporter{w: w, terminal: terminal, now: time.Now}
}

// Printf writes a line. Nothing can be done about a write error, so there is
// none.
func (r *Reporter) Printf(format string, args ...any) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = fmt.Fprintf(r.w, format+"\n", args...)
}

// Start begins a bar for total bytes; 0 or less means that nobody knows how
// many. The caller ends it with Done or Stop.
func (r *Reporter) Start(what string, total int64) *Bar {
	if r == nil {
		return nil
	}
	b := &Bar{r: r, what: what, total: max(total, 0), began: r.now()}
	b.wrote = b.began
	if !r.terminal {
		if b.total > 0 {
			r.Printf("%s (%s)", what, Bytes(b.total))
		} else {
			r.Printf("%s", what)
		}
		return b
	}
	length := b.total
	if length == 0 {
		length = -1
	}
	b.bar = progressbar.NewOptions64(length,
		progressbar.OptionSetWriter(r.w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionThrottle(spinEvery),
		progressbar.OptionSetWidth(24),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionClearOnFinish(),
		// Zero: the bar would start a goroutine that nobody joins.
		progressbar.OptionSetSpinnerChangeInterval(0),
	)
	if b.total == 0 {
		b.quit = make(chan struct{})
		b.spinner.Go(b.spin)
	}
	return b
}

// Bar is the progress of one thing. A nil *Bar is silent. Its methods are safe
// for concurrent use.
type Bar struct {
	r     *Reporter
	what  string
	total int64
	began time.Time
	bar   *progressbar.ProgressBar // nil unless on a terminal

	mu    sync.Mutex
	done  int64
	tenth int64     // the last tenth that was written, plain lines only
	wrote time.Time // when
	ended bool

	quit    chan struct{}
	spinner sync.WaitGroup
}

func (b *Bar) spin() {
	tick := time.NewTicker(spinEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.quit:
			return
		case <-tick.C:
			_ = b.bar.Add(0) // a write error leaves nothing to do
		}
	}
}

// Add counts n more bytes.
func (b *Bar) Add(n int64) {
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.set(b.done + n)
	}
}

// Set says how many bytes are done altogether.
func (b *Bar) Set(done int64) {
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.set(done)
	}
}

func (b *Bar) set(done int64) {
	if b.ended {
		return
	}
	b.done = done
	switch {
	case b.bar != nil:
		// A full bar is cleared by Done, not by reaching its end.
		if b.total == 0 || done < b.total {
			_ = b.bar.Set64(done) // a write error leaves nothing to do
		}
	case b.total > 0:
		if tenth := done * 10 / b.total; tenth > b.tenth && tenth < 10 && b.r.now().Sub(b.wrote) >= lineEvery {
			b.tenth, b.wrote = tenth, b.r.now()
			b.r.Printf("  %d %%  %s of %s", tenth*10, Bytes(done), Bytes(b.total))
		}
	}
}

// Done ends the bar and says how long it took. Only the first of Done and Stop
// counts.
func (b *Bar) Done() {
	if b.end() {
		took := b.r.now().Sub(b.began)
		if b.bar != nil {
			b.r.Printf("%s: done in %.1f s", b.what, took.Seconds())
		} else {
			b.r.Printf("  done in %.1f s", took.Seconds())
		}
	}
}

// Stop ends the bar without a word: an error follows. Stop after Done does
// nothing, so it can be deferred.
func (b *Bar) Stop() { b.end() }

func (b *Bar) end() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	first := !b.ended
	b.ended = true
	b.mu.Unlock()
	if !first {
		return false
	}
	if b.quit != nil {
		close(b.quit)
		b.spinner.Wait()
	}
	if b.bar != nil {
		_ = b.bar.Exit() // a write error leaves nothing to do
		_ = b.bar.Clear()
	}
	return true
}

// Reader counts what is read from r.
func (b *Bar) Reader(r io.Reader) io.Reader { return &reader{r: r, b: b} }

type reader struct {
	r io.Reader
	b *Bar
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.b.Add(int64(n))
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

// Bytes writes a size for people, in decimal units: 98.4 MB.
func Bytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, unit := float64(n), 0
	for f >= 999.95 && unit < len(units)-1 {
		f, unit = f/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[unit]
}
