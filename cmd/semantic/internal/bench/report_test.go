package bench

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// checkSVG reads the picture as XML and looks that every number is in it.
func checkSVG(t interface {
	Helper()
	Errorf(format string, args ...any)
}, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	var height float64
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("no XML: %v", err)
			return
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range element.Attr {
			var most float64
			switch a.Name.Local {
			case "height":
				if element.Name.Local == "svg" {
					height, _ = strconv.ParseFloat(a.Value, 64)
				}
				most = height
			case "x", "x1", "x2", "cx", "width":
				most = plotWidth
			case "y", "y1", "y2", "cy":
				most = height
			default:
				continue
			}
			if v, err := strconv.ParseFloat(a.Value, 64); err != nil || math.IsNaN(v) || v < 0 || v > most {
				t.Errorf("<%s %s=%q> is not in the picture", element.Name.Local, a.Name.Local, a.Value)
			}
		}
	}
}

// A picture can be made of whatever figures.
func TestPictures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64Range(0, 1e8), rapid.Just(math.Inf(1)), rapid.Just(0.0), rapid.Just(5.0))
		q := rapid.Custom(func(t *rapid.T) *Quantiles {
			if rapid.Bool().Draw(t, "none") {
				return nil
			}
			v := Millis(value.Draw(t, "value"))
			return &Quantiles{N: rapid.IntRange(1, 1e6).Draw(t, "n"), P50: v, P90: v * 2, P95: v * 2, P99: v * 3, Max: v * 3}
		})
		r := &Report{Load: loadOf(DefaultConfig(), "<&>"), Target: Served{Model: `"<&>'`}}
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			r.Rounds = append(r.Rounds, Round{Figures: Figures{Seconds: rapid.Float64Range(0.001, 1e5).Draw(t, "seconds")}})
		}
		r.All = Figures{FirstToken: q.Draw(t, "first"), EndToEnd: q.Draw(t, "end"), InterToken: q.Draw(t, "gap"), QueueWait: q.Draw(t, "wait"),
			TokensPerSecond: rapid.Float64Range(0, 1e9).Draw(t, "rate")}
		for range rapid.IntRange(0, 50).Draw(t, "samples") {
			r.series = append(r.series, sample{
				round:    rapid.IntRange(1, len(r.Rounds)).Draw(t, "round"),
				due:      time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "due")),
				endToEnd: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "took")),
				result:   Result{Code: rapid.SampledFrom([]string{"", "", CodeTimeout, "queue_full"}).Draw(t, "code")},
			})
		}
		checkSVG(t, r.SVG())
		other := &Report{Load: r.Load, Target: r.Target, All: Figures{FirstToken: q.Draw(t, "first2")}}
		s, err := Summarize([]*Report{r, other}, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		checkSVG(t, s.SVG())
		if text := string(s.Markdown("x", "t", "")); strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Fatal(text)
		}
	})
}

// What is written can be read again, and every request that counts is a line.
func TestWrite(t *testing.T) {
	s := &server{delay: func(d time.Duration) time.Duration {
		if d > 12*time.Second {
			return time.Hour
		}
		return 40 * time.Millisecond
	}, gap: 5 * time.Millisecond, refuse: func(n int64) Result {
		if n%10 == 0 {
			return Result{Code: "queue_full", Job: "j"}
		}
		return Result{}
	}}
	r := load(t, s, func(c *Config) {
		c.Scenario, c.Rate, c.Rounds, c.MaxTokens, c.Timeout = ScenarioMixedClasses, 20, 2, 8, 3*time.Second
	})
	name := filepath.Join(t.TempDir(), "out")
	if err := r.Write(name); err != nil {
		t.Fatal(err)
	}
	back, err := ReadReport(name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	one, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := json.Marshal(back); err != nil || !bytes.Equal(one, two) {
		t.Errorf("%v: the report that was read is another one:\n%s\n%s", err, one, two)
	}
	lines, err := os.ReadFile(name + ".requests.jsonl")
	if n := bytes.Count(lines, []byte("\n")); err != nil || n != r.All.Requests {
		t.Errorf("%v: %d lines of %d requests", err, n, r.All.Requests)
	}
	page, err := os.ReadFile(name + ".md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Load: mixed-classes, 20 requests a second (poisson)", "![latency](out.svg)", "## Rounds", "## Class batch",
		"## Errors", "`queue_full`", "`timeout`", "waited longer", "semantic bench --scenario mixed-classes --rate 20 --arrivals poisson " +
			"--warmup 1s --duration 10s --rounds 2 --timeout 3s --max-tokens 8 --seed 1",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	checkSVG(t, r.SVG())
	checkSVG(t, back.SVG())
	if text := r.Text(); !strings.Contains(text, "> timeout") || !strings.Contains(text, "queue_full") {
		t.Errorf("%s", text)
	}
	if err := r.Write(filepath.Join(t.TempDir(), "none", "out")); err == nil {
		t.Error("written into a folder that is not there")
	}
}

func TestReadReportRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	for _, c := range []struct{ text, want string }{
		{"{", "is no report of a load: unexpected end"},
		{"{}", "is no report of a load"},
		{`{"format": 1}`, "is no report of a load"},
		{`{"format": 2, "rounds": [{}]}`, "format 2, this release reads 1"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadReport(file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
	if _, err := ReadReport(file + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
