package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
)

// Bounds of --interval.
const (
	leastInterval = 100 * time.Millisecond
	mostInterval  = time.Hour
)

// topRun is one run of the top command.
type topRun struct {
	app      *app
	asJSON   bool
	interval time.Duration
	count    int
}

func newTopCommand(a *app) *cobra.Command {
	t := &topRun{app: a}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the workers and the queue",
		Long: `Watch the workers and the queue: what waits and runs, by model and class, with the
age of the oldest job; streams and tokens a second, in all and by worker. q quits.

Where the output is no terminal it prints one snapshot and ends; with --json it
prints one a line at every --interval.`,
		Example: `  semantic top
  semantic top --json --interval 5s >> load.jsonl
  semantic top --json --count 1 | jq .tokens_per_second`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if t.interval < leastInterval || t.interval > mostInterval {
				return usagef("--interval: %s is not between %s and %s", t.interval, leastInterval, mostInterval)
			}
			if cmd.Flags().Changed("count") && !t.asJSON {
				return usagef("--count: has no meaning without --json")
			}
			if t.count < 0 {
				return usagef("--count: %d is less than 0", t.count)
			}
			return t.run(cmd.Context(), c)
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	flags := cmd.Flags()
	flags.DurationVar(&t.interval, "interval", time.Second, "`TIME` between two looks")
	flags.BoolVar(&t.asJSON, "json", false, "print JSON, one snapshot a line")
	flags.IntVar(&t.count, "count", 0, "with --json: end after as many `SNAPSHOTS`; 0 goes on")
	return cmd
}

func (t *topRun) run(ctx context.Context, c *config.Loaded) error {
	if c.Source("log-level") == "default" {
		t.app.Log = discardLog() // the screen is for the picture
	}
	q, err := t.app.observeQueue(ctx, c, "semantic top")
	if err != nil {
		return stopOr(ctx, err)
	}
	defer t.app.closeQueue(ctx, q)
	// Before the screen is taken: a server without anything of semantic's is told.
	bounded, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	if _, err := q.Workers(bounded); err != nil {
		return stopOr(ctx, brokerHint(err))
	}
	s := &sampler{queue: q}
	switch {
	case t.asJSON:
		return t.stream(ctx, s)
	case terminal(t.app.In) && terminal(t.app.Out):
		return t.watch(ctx, q, s)
	}
	snap := s.sample(ctx)
	if snap.Error != "" {
		return stopOr(ctx, brokerHint(fmt.Errorf("%w: %s", queue.ErrUnavailable, snap.Error)))
	}
	return t.app.printLines(topLines(snap, snap.Time, t.app.width()))
}

// stream prints snapshots as JSON lines.
func (t *topRun) stream(ctx context.Context, s *sampler) error {
	tick := time.NewTicker(t.interval)
	defer tick.Stop()
	out := json.NewEncoder(t.app.Out)
	for n := 1; ; n++ {
		snap := s.sample(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx) //nolint:wrapcheck // the signal is the whole reason
		}
		if err := out.Encode(snap); err != nil {
			return &outputError{err: err}
		}
		if n == t.count {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx) //nolint:wrapcheck // the signal is the whole reason
		}
	}
}

// watch shows snapshots on the terminal until q is pressed.
func (t *topRun) watch(ctx context.Context, q *queue.Queue, s *sampler) error {
	looking, stop := context.WithCancel(ctx)
	defer stop()
	screen := &topScreen{interval: t.interval, health: q.Healthy, sample: func() topSnapshot { return s.sample(looking) }}
	program := tea.NewProgram(screen, tea.WithContext(ctx), tea.WithInput(t.app.In), tea.WithOutput(t.app.Out),
		tea.WithoutSignalHandler(), tea.WithEnvironment(t.app.Environ()))
	_, err := program.Run()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx) //nolint:wrapcheck // the signal is the whole reason
	case errors.Is(err, tea.ErrInterrupted):
		return nil
	case err != nil:
		return fmt.Errorf("show it: %w", err)
	}
	return nil
}

// topLines are a snapshot as text; now may be later than it.
func topLines(snap topSnapshot, now time.Time, width int) []string {
	lines := []string{fmt.Sprintf("%s, %s, %s tokens/s", things(len(snap.Workers), "worker"), things(snap.Streams, "stream"),
		decimal(snap.TokensPerSecond)), ""}
	if len(snap.Depth) == 0 {
		lines = append(lines, "No jobs.")
	} else {
		t := table{head: []string{"MODEL", "CLASS", "QUEUED", "RUNNING", "OLDEST"}}
		for _, d := range snap.Depth {
			t.add(plain(d.Model), string(d.Class), strconv.FormatInt(d.Queued, 10), strconv.FormatInt(d.Running, 10), since(now, d.OldestAt))
		}
		lines = append(lines, t.lines(width)...)
	}
	lines = append(lines, "")
	if len(snap.Workers) == 0 {
		return append(lines, "No workers.")
	}
	live := make([]queue.LiveWorker, len(snap.Workers))
	for i, w := range snap.Workers {
		live[i] = w.LiveWorker
	}
	t := workerTable(live, now)
	t.head = append(t.head, "TOK/S")
	for i, w := range snap.Workers {
		rate := decimal(w.TokensPerSecond)
		if w.Report == nil {
			rate = "-"
		}
		t.rows[i] = append(t.rows[i], rate)
	}
	return append(lines, t.lines(width)...)
}
