package bench

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// at is a load of so many users with these 95th percentiles in milliseconds.
func at(users int, lessDecode, between float64) *Report {
	c := DefaultConfig()
	c.Concurrency = users
	q := func(v float64) *Quantiles {
		return &Quantiles{N: 100, Mean: Millis(v / 2), P50: Millis(v / 2), P90: Millis(v), P95: Millis(v), P99: Millis(v), Max: Millis(v)}
	}
	return &Report{
		Format: Format, Release: "test", MadeAt: time.Unix(0, 0).UTC(), Load: loadOf(c, ""),
		Target: Served{By: "http", Model: "m", Workers: []ServedBy{{Backend: "cpu", Capacity: 8, Context: 1000}}},
		All: Figures{
			Requests: 100, OK: 100, Seconds: 10, TokensPerSecond: float64(users) * 10, FirstToken: q(lessDecode), LessDecode: q(lessDecode),
			EndToEnd: q(lessDecode + 1000), InterToken: q(between), QueueWait: q(lessDecode * 0.9), Prefill: q(lessDecode * 0.1),
		},
	}
}

func TestSummarize(t *testing.T) {
	refused := at(100, 500, 50)
	refused.All.OK, refused.All.Errors = 97, map[string]int{"queue_full": 3}
	for _, c := range []struct {
		name        string
		loads       []*Report
		fit, beyond int // users; 0 is none
		says        string
	}{
		{"a knee", []*Report{at(50, 9000, 100), at(1, 100, 20), at(8, 1900, 200)}, 8, 50,
			"at 50 users the 95th percentile of requests less decode is 9.00 s; the limit is 2.00 s"},
		{"beyond", []*Report{at(1, 100, 20), at(8, 3000, 20), at(100, 9000, 20)}, 1, 8,
			"at 100 users all of 100 requests were answered, half of them within 5.00 s"},
		{"reasons", []*Report{at(1, 100, 20), at(8, 3000, 20)}, 1, 8,
			"1.50 s, the wait in the queue for a place is 1.35 s (90 %), and the time from there, in which prompts are read, 150 ms (10 %)"},
		{"tokens", []*Report{at(1, 100, 20), at(8, 100, 400)}, 1, 8,
			"the time between tokens is 400 ms; the limit is 250 ms.\nHalf of the tokens come within 200 ms of the one before, " +
				"and 95 of 100 within 400 ms; at 1 user it is 10.0 ms and 20.0 ms.\nThe workers"},
		{"errors", []*Report{at(1, 100, 20), refused}, 1, 100, "3 of 100 requests not answered (queue_full)"},
		{"all fit", []*Report{at(1, 100, 20), at(8, 100, 20)}, 8, 0, "Nothing gave way"},
		{"none fits", []*Report{at(1, 3000, 20)}, 0, 1, "Not fit for production at any load measured**, the least of which is 1 user"},
		{"a gap", []*Report{at(1, 100, 20), at(8, 3000, 20), at(50, 100, 20)}, 1, 8, "at 8 users"},
		{"the worst first", []*Report{at(1, 100, 20), at(8, 4000, 2500)}, 1, 8,
			"at 8 users the 95th percentile of the time between tokens is 2.50 s"},
	} {
		s, err := Summarize(c.loads, DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		users := func(r *Report) int {
			if r == nil {
				return 0
			}
			return r.Load.Concurrency
		}
		if users(s.Fit) != c.fit || users(s.Beyond) != c.beyond || !strings.Contains(strings.Join(s.Verdict(), "\n"), c.says) {
			t.Errorf("%s: fit %d, beyond %d, want %d and %d:\n%s", c.name, users(s.Fit), users(s.Beyond), c.fit, c.beyond,
				strings.Join(s.Verdict(), "\n"))
		}
		page := string(s.Markdown("dir/base", "Baseline", "make baseline"))
		for _, want := range []string{
			"# Baseline\n", "(base.svg)", "`make baseline`", "## Whole request less decode", "cpu, 8 at once, 1000 tokens each",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page has no %q:\n%s", c.name, want, page)
			}
		}
		checkSVG(t, s.SVG())
	}
}

func TestSummarizeRefuses(t *testing.T) {
	other := at(8, 1, 1)
	other.Target.Model = "n"
	open := at(8, 1, 1)
	open.Load.Rate, open.Load.Concurrency = 3, 0
	for _, loads := range [][]*Report{{at(1, 1, 1), other}, {at(1, 1, 1), open}} {
		if _, err := Summarize(loads, DefaultLimits()); !errors.As(err, new(*MismatchError)) {
			t.Errorf("%v", err)
		}
	}
	for _, bad := range []struct {
		limits Limits
		field  string
	}{
		{Limits{0, 1, 2}, "less-decode"}, {Limits{1, -1, 2}, "inter-token"}, {Limits{1, 1, 1}, "factor"}, {Limits{1, 1, math.NaN()}, "factor"},
	} {
		field := new(FieldError)
		if _, err := Summarize([]*Report{at(1, 1, 1)}, bad.limits); !errors.As(err, &field) || field.Field != bad.field {
			t.Errorf("%+v: %v", bad.limits, err)
		}
	}
}

// Thresholds are the figures of the fit load times the factor.
func TestThresholds(t *testing.T) {
	s, err := Summarize([]*Report{at(1, 100, 20), at(8, 1234, 200), at(50, 9000, 300)}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	th, err := s.Thresholds()
	if err != nil {
		t.Fatal(err)
	}
	if th.Users != 8 || th.TokensPerSecond != 80 || th.Factor != 2 || len(th.Thresholds) != 4 {
		t.Errorf("%+v", th)
	}
	if got := th.Thresholds["semantic_request_duration_seconds"]; got.MeasuredP95 != 2.234 || got.Alert != 4.5 {
		t.Errorf("%+v", got)
	}
	text, err := th.JSON()
	var back Thresholds
	if err != nil || json.Unmarshal(text, &back) != nil || back.Thresholds["semantic_request_duration_seconds"].Alert != 4.5 {
		t.Errorf("%v: %s", err, text)
	}
	if s, err = Summarize([]*Report{at(1, 9000, 20)}, DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Thresholds(); !errors.Is(err, errUnfit) {
		t.Errorf("%v", err)
	}
}

// roundUp never goes below, nor a tenth above, and keeps two digits.
func TestRoundUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64Range(1e-6, 1e5).Draw(t, "v")
		if up := roundUp(v); up < v*(1-1e-9) || up > v*1.1000001 || roundUp(up) != up {
			t.Fatalf("%v becomes %v", v, up)
		}
	})
	if roundUp(0) != 0 || roundUp(0.35) != 0.35 || roundUp(0.351) != 0.36 || roundUp(1234) != 1300 {
		t.Error("not rounded up to two digits")
	}
}
