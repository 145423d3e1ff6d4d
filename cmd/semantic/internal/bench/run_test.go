package bench

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// server answers in the time of the bubble: after a delay the first token, then one
// each gap.
type server struct {
	delay func(since time.Duration) time.Duration
	gap   time.Duration
	// refuse, where it is set, may refuse.
	refuse func(n int64) Result

	begun   time.Time
	asked   atomic.Int64
	open    atomic.Int64
	mu      sync.Mutex
	askedAt []time.Duration
}

func (s *server) Ask(ctx context.Context, r Request, piece func(Piece)) Result {
	n := s.asked.Add(1)
	s.open.Add(1)
	defer s.open.Add(-1)
	since := time.Since(s.begun)
	s.mu.Lock()
	s.askedAt = append(s.askedAt, since)
	s.mu.Unlock()
	if s.refuse != nil {
		if result := s.refuse(n); result.Code != "" {
			return result
		}
	}
	delay := time.Duration(0)
	if s.delay != nil {
		delay = s.delay(since)
	}
	if !sleep(ctx, delay) {
		return Result{Code: CodeBroken}
	}
	for i := range r.MaxTokens {
		if i > 0 && !sleep(ctx, s.gap) {
			return Result{Code: CodeBroken}
		}
		piece(Piece{Tokens: 1, Text: "x"})
	}
	return Result{
		Usage:   &schemas.Usage{PromptTokens: 10, CachedTokens: 4, CompletionTokens: r.MaxTokens},
		Timings: &schemas.Timings{QueuedMS: 2, PrefillMS: 3},
	}
}

// load runs a load against the server in a bubble.
func load(t *testing.T, s *server, change func(c *Config)) (report *Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := DefaultConfig()
		c.WarmUp, c.Duration, c.MaxTokens = time.Second, 10*time.Second, 1
		change(&c)
		s.begun = time.Now()
		var err error
		if report, err = Run(t.Context(), Options{Config: c, Target: s, Release: "test", Served: Served{By: "test", Model: "m"}}); err != nil {
			t.Fatal(err)
		}
	})
	return report
}

// stall answers in 10 ms, but nothing from the third to the fifth second.
func stall(since time.Duration) time.Duration {
	if since >= 3*time.Second && since < 5*time.Second {
		return 5*time.Second - since + 10*time.Millisecond
	}
	return 10 * time.Millisecond
}

// An open loop charges a stall to all who were due meanwhile; a closed one, with one
// user, to one.
func TestCoordinatedOmission(t *testing.T) {
	open := load(t, &server{delay: stall}, func(c *Config) { c.Rate, c.Arrivals = 100, ArrivalsConstant })
	if open.All.Requests != 1000 || open.All.OK != 1000 {
		t.Fatalf("%d requests, %d answered", open.All.Requests, open.All.OK)
	}
	// 200 of 1,000 came in the stall: the 900th of 1,000 waited a second.
	if got := open.All.FirstToken.P90; got < 1000 || got > 1020 {
		t.Errorf("p90 is %v", got)
	}
	if open.All.FirstToken.P50 != 10 || open.All.FirstToken.Max != 2010 {
		t.Errorf("p50 %v, max %v", open.All.FirstToken.P50, open.All.FirstToken.Max)
	}
	closed := load(t, &server{delay: stall}, func(c *Config) { c.Concurrency = 1 })
	if closed.All.FirstToken.P99 != 10 || closed.All.FirstToken.Max < 2000 {
		t.Errorf("closed loop: p99 %v, max %v", closed.All.FirstToken.P99, closed.All.FirstToken.Max)
	}
	if closed.All.Late != nil || open.All.Late == nil || open.All.Late.Max != 0 {
		t.Errorf("lateness: %v and %v", closed.All.Late, open.All.Late)
	}
}

// Latencies, gaps, tokens and what the server says, to the millisecond.
func TestFigures(t *testing.T) {
	r := load(t, &server{delay: func(time.Duration) time.Duration { return 50 * time.Millisecond }, gap: 20 * time.Millisecond},
		func(c *Config) { c.Concurrency, c.MaxTokens, c.WarmUp = 4, 1, 0 })
	f := r.All
	if f.FirstToken.P50 != 50 || f.EndToEnd.P99 != 50 || f.LessDecode.P50 != 50 || f.InterToken != nil {
		t.Errorf("%+v", f)
	}
	if f.QueueWait.P50 != 2 || f.Prefill.Max != 3 || f.PromptTokens != 10*f.OK || f.CachedTokens != 4*f.OK || f.CompletionTokens != f.OK {
		t.Errorf("%+v", f)
	}
	if f.TokensPerSecond < 79 || f.TokensPerSecond > 81 || f.RequestsPerSecond < 79 || f.RequestsPerSecond > 81 {
		t.Errorf("%v tokens a second, %v requests", f.TokensPerSecond, f.RequestsPerSecond)
	}
	r = load(t, &server{gap: 20 * time.Millisecond}, func(c *Config) { c.MaxTokens = 40 })
	f = r.All
	if got := float64(f.InterToken.P99); math.Abs(got-20) > 20*HistogramError {
		t.Errorf("between tokens: %v", got)
	}
	if f.EndToEnd.Max < 400 || f.EndToEnd.Max > 780 || f.LessDecode.Max != 0 {
		t.Errorf("end to end %v, less decode %v", f.EndToEnd.Max, f.LessDecode.Max)
	}
}

// The warm-up does not count, and the load goes on until the last request that
// counts has ended.
func TestWindow(t *testing.T) {
	s := &server{delay: func(since time.Duration) time.Duration {
		if since < time.Second {
			return 3 * time.Second // the warm-up is slow
		}
		return 2 * time.Second
	}}
	r := load(t, s, func(c *Config) { c.Rate, c.Arrivals = 10, ArrivalsConstant })
	if r.All.Requests != 100 || r.All.EndToEnd.Max != 2000 {
		t.Errorf("%d requests, the longest %v", r.All.Requests, r.All.EndToEnd.Max)
	}
	last := s.askedAt[len(s.askedAt)-1]
	if last < 12500*time.Millisecond || last > 13*time.Second {
		t.Errorf("the last request was sent after %s, not shortly before the 13th second", last)
	}
	if s.open.Load() != 0 {
		t.Errorf("%d requests are under way after the end", s.open.Load())
	}
}

// What takes too long is cut and is longer than any other, not left out.
func TestTimeouts(t *testing.T) {
	r := load(t, &server{delay: func(since time.Duration) time.Duration {
		if since > 9*time.Second {
			return time.Hour
		}
		return time.Millisecond
	}}, func(c *Config) { c.Rate, c.Arrivals, c.Timeout = 10, ArrivalsConstant, 2*time.Second })
	f := r.All
	if f.Requests != 100 || f.OK != 81 || f.Errors[CodeTimeout] != 19 || f.Failed() != 19 {
		t.Fatalf("%d requests, %d answered, %v", f.Requests, f.OK, f.Errors)
	}
	if f.EndToEnd.P50 != 1 || !math.IsInf(float64(f.EndToEnd.P90), 1) || !math.IsInf(float64(f.FirstToken.P90), 1) || f.EndToEnd.N != 100 {
		t.Errorf("%+v", f.EndToEnd)
	}
}

// Errors are counted by their code; a user who was refused comes back when he was
// told to.
func TestRefusals(t *testing.T) {
	s := &server{refuse: func(n int64) Result {
		if n%2 == 0 {
			return Result{Code: "queue_full", RetryAfter: time.Second}
		}
		return Result{}
	}, delay: func(time.Duration) time.Duration { return time.Second }}
	r := load(t, s, func(c *Config) { c.WarmUp = 0 })
	if f := r.All; f.OK != 5 || f.Errors["queue_full"] != 5 || f.EndToEnd.N != 5 || f.EndToEnd.Max != 1000 {
		t.Errorf("%d answered, %v, %+v", f.OK, f.Errors, f.EndToEnd)
	}
	// Without an hour to come back at, he does not ask as fast as he can.
	s = &server{refuse: func(int64) Result { return Result{Code: CodeUnreachable} }}
	if r := load(t, s, func(c *Config) { c.WarmUp = 0 }); r.All.OK != 0 || r.All.Errors[CodeUnreachable] != 100 || r.All.EndToEnd != nil {
		t.Errorf("%+v", r.All)
	}
}

// In a burst of a closed loop all ask at the same moment, and again when the last
// one was answered.
func TestWaves(t *testing.T) {
	var n atomic.Int64
	s := &server{delay: func(time.Duration) time.Duration { return time.Duration(n.Add(1)%8+1) * 100 * time.Millisecond }}
	load(t, s, func(c *Config) { c.Scenario, c.Concurrency, c.WarmUp, c.Duration = ScenarioBurst, 8, 0, 4*time.Second })
	at := make(map[time.Duration]int)
	for _, when := range s.askedAt {
		at[when]++
	}
	for when, users := range at {
		if users != 8 {
			t.Errorf("%d users ask at %s", users, when)
		}
	}
	if len(at) < 5 {
		t.Errorf("%d waves", len(at))
	}
}

// Users begin one after another in the first half of the warm-up.
func TestRampUp(t *testing.T) {
	s := &server{delay: func(time.Duration) time.Duration { return time.Hour }}
	load(t, s, func(c *Config) { c.Concurrency, c.WarmUp, c.Timeout = 10, 10*time.Second, 20*time.Second })
	for i, when := range s.askedAt[:10] {
		if want := time.Duration(i) * 500 * time.Millisecond; when != want {
			t.Errorf("user %d begins at %s, not %s", i, when, want)
		}
	}
}

// Classes have figures of their own.
func TestClasses(t *testing.T) {
	r := load(t, &server{delay: func(time.Duration) time.Duration { return time.Millisecond }},
		func(c *Config) { c.Scenario, c.Rate = ScenarioMixedClasses, 30 })
	sum := 0
	for _, class := range schemas.Classes() {
		f := r.All.Classes[class]
		sum += f.Requests
		if f.Requests == 0 || f.EndToEnd.N != f.Requests || f.TokensPerSecond <= 0 {
			t.Errorf("%s: %+v", class, f)
		}
	}
	if sum != r.All.Requests {
		t.Errorf("%d requests, %d by class", r.All.Requests, sum)
	}
}

// oneRound runs a round that is no fresh one.
func oneRound(t *testing.T, s *server, c Config, change func(r *round)) (f Figures) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.begun = time.Now()
		r := newRound(1, time.Now(), c)
		change(r)
		run := &running{options: Options{Config: c, Target: s}, round: r, seed: 1, source: newSource(c, 1, nil)}
		run.do(t.Context())
		f = r.figures(c)
	})
	return f
}

// A round holds a bounded number of requests, however fast the server is: then it is
// over.
func TestFull(t *testing.T) {
	c := DefaultConfig()
	c.WarmUp, c.MaxTokens = 0, 1
	s := &server{delay: func(time.Duration) time.Duration { return time.Second }}
	f := oneRound(t, s, c, func(r *round) { r.begun = mostRequests - 5 })
	if f.Requests != 5 || f.OK != 5 || f.Seconds != 4 {
		t.Errorf("%d requests in %v s", f.Requests, f.Seconds)
	}
}

// What cannot be held is counted, and not sent.
func TestNotSent(t *testing.T) {
	c := DefaultConfig()
	c.WarmUp, c.Duration, c.Rate, c.Arrivals, c.Timeout = 0, 10*time.Second, 10, ArrivalsConstant, 20*time.Second
	s := &server{delay: func(time.Duration) time.Duration { return time.Hour }}
	f := oneRound(t, s, c, func(r *round) { r.open = mostOpen - 40 })
	if f.Requests != 100 || f.Errors[CodeTimeout] != 40 || f.Errors[CodeNotSent] != 60 {
		t.Errorf("%d requests, %v", f.Requests, f.Errors)
	}
}

// Stopped in mid-round, what there is stands; before anything counted, ErrNothing.
func TestInterrupt(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		rate  float64
	}{{6 * time.Second, 0}, {6 * time.Second, 10}, {18 * time.Second, 10}, {500 * time.Millisecond, 10}, {0, 10}} {
		synctest.Test(t, func(t *testing.T) {
			config := DefaultConfig()
			config.WarmUp, config.Duration, config.MaxTokens, config.Rounds, config.Rate = time.Second, 10*time.Second, 1, 3, c.rate
			if c.rate > 0 {
				config.Arrivals = ArrivalsConstant
			}
			ctx, cancel := context.WithTimeout(t.Context(), c.after)
			defer cancel()
			s := &server{begun: time.Now(), delay: func(time.Duration) time.Duration { return time.Second }}
			written := 0
			r, err := Run(ctx, Options{Config: config, Target: s, RoundDone: func(*Report) error { written++; return nil }})
			if c.after < time.Second {
				if !errors.Is(err, ErrNothing) || written != 0 {
					t.Errorf("after %s: %v, %d written", c.after, err, written)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			rounds := 1 + int(c.after/(12*time.Second))
			if !r.Interrupted || len(r.Rounds) != rounds || written != rounds || r.All.OK == 0 || r.All.OK != r.All.Requests {
				t.Errorf("after %s: interrupted %v, %d rounds, %d written, %d of %d answered", c.after, r.Interrupted, len(r.Rounds), written,
					r.All.OK, r.All.Requests)
			}
			// Whether the one that ends at that moment, and the one that begins then, are
			// among them is chance.
			if want := 10; c.rate > 0 && (r.All.Cut < want-1 || r.All.Cut > want+1) || c.rate == 0 && r.All.Cut > 1 {
				t.Errorf("after %s: %d were under way", c.after, r.All.Cut)
			}
			if took := time.Since(s.begun); took != c.after {
				t.Errorf("it ended after %s, not %s", took, c.after)
			}
			if last := r.Rounds[rounds-1]; last.Seconds >= 10 || last.Seconds <= 0 {
				t.Errorf("the last round counts %v s", last.Seconds)
			}
		})
	}
}

// An error of who writes the rounds down ends the load.
func TestRoundDoneFails(t *testing.T) {
	full := errors.New("disk full")
	synctest.Test(t, func(t *testing.T) {
		c := DefaultConfig()
		c.Rounds, c.MaxTokens = 3, 1
		s := &server{begun: time.Now(), delay: func(time.Duration) time.Duration { return time.Second }}
		r, err := Run(t.Context(), Options{Config: c, Target: s, RoundDone: func(*Report) error { return full }})
		if !errors.Is(err, full) || len(r.Rounds) != 1 {
			t.Errorf("%v", err)
		}
	})
}

// The progress says where it is.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := DefaultConfig()
		c.Rounds, c.WarmUp, c.Duration, c.MaxTokens = 2, 2*time.Second, 4*time.Second, 1
		s := &server{begun: time.Now(), delay: func(time.Duration) time.Duration { return 1500 * time.Millisecond }}
		phases := make(map[string]bool)
		var last Progress
		_, err := Run(t.Context(), Options{Config: c, Target: s, ProgressEvery: 500 * time.Millisecond, Progress: func(p Progress) {
			phases[p.Phase] = true
			if p.Elapsed < 0 || p.Rounds != 2 || p.Of > 0 && p.Elapsed > p.Of {
				t.Errorf("%+v", p)
			}
			last = p
		}})
		if err != nil || len(phases) != 3 || last.Round != 2 || last.Answered == 0 || last.Open != 0 || last.FirstToken == 0 {
			t.Errorf("%v, %v, %+v", err, phases, last)
		}
	})
}
