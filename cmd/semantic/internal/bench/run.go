package bench

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Options are what [Run] needs.
type Options struct {
	Config Config
	Target Target
	// Prompts are those of ScenarioFile, PromptsName is what the report calls them.
	Prompts     []Request
	PromptsName string
	// Release and Served go into the report.
	Release string
	Served  Served
	// Progress, where it is set, is called from one goroutine every ProgressEvery and
	// whenever a round ends.
	Progress      func(Progress)
	ProgressEvery time.Duration
	// RoundDone, where it is set, gets the report so far after each round; an error
	// of it ends the load.
	RoundDone func(*Report) error
}

// ErrNothing says that a load was stopped before anything counted.
var ErrNothing = errors.New("stopped before anything was measured")

// retryPause is how long a user who was refused waits at least.
const retryPause = 100 * time.Millisecond

// Run puts the load on and returns what it found; with ctx's end, what it found so
// far, or ErrNothing. Errors: [*FieldError], and that of RoundDone.
func Run(ctx context.Context, o Options) (*Report, error) {
	c := o.Config
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Scenario == ScenarioFile && len(o.Prompts) == 0 {
		return nil, wrong("prompts", "there is no prompt in it")
	}
	report := &Report{
		Format: Format, Release: o.Release, MadeAt: time.Now().UTC().Truncate(time.Second), Machine: ThisMachine(ctx), Target: o.Served,
		Load: loadOf(c, o.PromptsName), gaps: new(histogram),
	}
	var all collection
	for number := range c.Rounds {
		seed := c.Seed + uint64(number)
		r := newRound(number+1, time.Now(), c)
		run := &running{options: o, round: r, seed: seed, source: newSource(c, seed, o.Prompts)}
		run.do(ctx)
		if ctx.Err() != nil {
			report.Interrupted = true
		}
		if !r.until.After(r.from) {
			break
		}
		report.Rounds = append(report.Rounds, Round{Start: r.start.UTC().Truncate(time.Millisecond), Seed: seed, Figures: r.figures(c)})
		all.add(r)
		all.into(report, c)
		if o.RoundDone != nil {
			if err := o.RoundDone(report); err != nil {
				return report, err
			}
		}
		if report.Interrupted {
			break
		}
	}
	if len(report.Rounds) == 0 {
		return nil, ErrNothing
	}
	return report, nil
}

// running is a round that runs.
type running struct {
	options Options
	round   *round
	seed    uint64
	source  *source
	asking  sync.WaitGroup
}

// do runs the round to its end and joins everything it started.
func (r *running) do(ctx context.Context) {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var watcher sync.WaitGroup
	watcher.Go(func() { r.watch(watching) })
	if c := r.options.Config; c.Rate > 0 {
		r.asking.Go(func() { r.openLoop(loading) })
	} else if c.Scenario == ScenarioBurst {
		r.asking.Go(func() { r.waves(loading) })
	} else {
		for user := range c.Concurrency {
			r.asking.Go(func() { r.user(loading, user) })
		}
	}
	over := time.NewTimer(time.Until(r.round.until))
	defer over.Stop()
	select {
	case <-over.C:
	case <-r.round.full:
	case <-ctx.Done():
	}
	r.round.close(time.Now())
	select {
	case <-r.round.done:
	case <-ctx.Done():
	}
	stop()
	r.asking.Wait()
	unwatch()
	watcher.Wait()
}

// watch tells the progress.
func (r *running) watch(ctx context.Context) {
	o := r.options
	if o.Progress == nil {
		return
	}
	tick := time.NewTicker(max(o.ProgressEvery, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			o.Progress(r.round.progress(o.Config))
			return
		case <-tick.C:
			o.Progress(r.round.progress(o.Config))
		}
	}
}

// openLoop sends requests when they are due, until ctx ends.
func (r *running) openLoop(ctx context.Context) {
	c := r.options.Config
	next := arrivals(c.arrivals(), c.Rate, r.seed)
	for {
		due := r.round.start.Add(next())
		if !sleep(ctx, time.Until(due)) {
			return
		}
		request, answered := r.source.next()
		call, ok := r.round.begin(request, due)
		if !ok {
			return
		}
		if r.round.crowded() {
			call.end(Result{Code: CodeNotSent}, false)
			continue
		}
		r.asking.Go(func() { r.ask(ctx, call, answered) })
	}
}

// user asks again and again until ctx ends. The users begin one after another, in
// the first half of the warm-up.
func (r *running) user(ctx context.Context, number int) {
	c := r.options.Config
	at := r.round.start.Add(c.WarmUp / 2 * time.Duration(number) / time.Duration(c.Concurrency))
	if !sleep(ctx, time.Until(at)) {
		return
	}
	for {
		pause, ok := r.askNow(ctx)
		if !ok || !sleep(ctx, pause) {
			return
		}
	}
}

// waves lets all users ask at the same moment, and again when all were answered.
func (r *running) waves(ctx context.Context) {
	for ctx.Err() == nil {
		var wave sync.WaitGroup
		var mu sync.Mutex
		pause, ok := time.Duration(0), true
		for range r.options.Config.Concurrency {
			wave.Go(func() {
				p, more := r.askNow(ctx)
				mu.Lock()
				defer mu.Unlock()
				pause, ok = max(pause, p), ok && more
			})
		}
		wave.Wait()
		if !ok || !sleep(ctx, pause) {
			return
		}
	}
}

// askNow asks once, and returns how long to wait before the next time; false where
// nobody may ask any more.
func (r *running) askNow(ctx context.Context) (time.Duration, bool) {
	request, answered := r.source.next()
	call, ok := r.round.begin(request, time.Now())
	if !ok {
		return 0, false
	}
	result := r.ask(ctx, call, answered)
	if result.Code != "" && result.Code != CodeTimeout {
		return max(result.RetryAfter, retryPause), ctx.Err() == nil
	}
	return 0, ctx.Err() == nil
}

// ask asks, and waits for the answer.
func (r *running) ask(ctx context.Context, call *call, answered func(string)) Result {
	bounded, cancel := context.WithDeadline(ctx, call.due.Add(r.options.Config.Timeout))
	defer cancel()
	call.sent = time.Now()
	var text []byte
	result := r.options.Target.Ask(bounded, call.request, func(p Piece) {
		call.piece(p)
		if answered != nil {
			text = append(text, p.Text...)
		}
	})
	cut := false
	if result.Code != "" && bounded.Err() != nil {
		result.Code, cut = CodeTimeout, ctx.Err() != nil
	}
	call.end(result, cut)
	if answered != nil {
		if result.Code != "" {
			text = nil
		}
		answered(string(text))
	}
	return result
}

// sleep waits; false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
