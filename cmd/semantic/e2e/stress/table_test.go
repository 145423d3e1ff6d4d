package stress

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/bench"
)

// measured is what the tests found.
var measured table

// table collects figures. It is safe for concurrent use.
type table struct {
	mu      sync.Mutex
	figures []figure
}

// figure is a line of the table.
type figure struct {
	Test string `json:"test"`
	Name string `json:"name"`
	// Value is a number, Unit its unit; Quantiles are of times.
	Value     float64          `json:"value"`
	Unit      string           `json:"unit,omitempty"`
	Quantiles *bench.Quantiles `json:"quantiles_ms,omitempty"`
}

func (t *table) add(f figure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.figures = append(t.figures, f)
}

// number notes a number.
func (t *table) number(test, name string, value float64, unit string) {
	t.add(figure{Test: test, Name: name, Value: value, Unit: unit})
}

// times notes how many there are, and their quantiles.
func (t *table) times(test, name string, times []bench.Millis) {
	t.add(figure{Test: test, Name: name, Value: float64(len(times)), Quantiles: bench.QuantilesOf(times)})
}

// report is the table with what it is of.
type report struct {
	OK      bool      `json:"ok"`
	Full    bool      `json:"full"`
	MadeAt  time.Time `json:"made_at"`
	OS      string    `json:"os"`
	Arch    string    `json:"arch"`
	CPUs    int       `json:"cpus"`
	Figures []figure  `json:"figures"`
}

// publish prints the table, and writes it to the file that STRESS_OUT names.
func (t *table) publish(ok bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortStableFunc(t.figures, func(a, b figure) int { return strings.Compare(a.Test, b.Test) })
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\ntest\twhat\tvalue\tp50\tp95\tp99\tmost")
	for _, f := range t.figures {
		value := strconv.FormatFloat(f.Value, 'f', -1, 64)
		if f.Unit != "" {
			value += " " + f.Unit
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s", f.Test, f.Name, value)
		if q := f.Quantiles; q != nil {
			_, _ = fmt.Fprintf(w, "\t%v\t%v\t%v\t%v", q.P50, q.P95, q.P99, q.Max)
		}
		_, _ = fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	file := os.Getenv("STRESS_OUT")
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(report{
		OK: ok, Full: full > 0, MadeAt: time.Now().UTC().Truncate(time.Second), OS: runtime.GOOS, Arch: runtime.GOARCH,
		CPUs: runtime.NumCPU(), Figures: t.figures,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o600)
}

// since is a time for the table.
func since(from, to time.Time) bench.Millis {
	return bench.Millis(float64(to.Sub(from)) / float64(time.Millisecond))
}

// spent is the milliseconds since then.
func spent(began time.Time) float64 { return float64(time.Since(began).Milliseconds()) }
