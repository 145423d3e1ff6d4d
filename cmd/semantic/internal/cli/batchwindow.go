package cli

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

func newBatchWindowCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "batch-window",
		Short: "Show and change how long workers wait to fill a batch",
		Long: `Show and change how long an idle worker waits for more requests before it starts
one: fuller batches, later first tokens. A change takes effect at once and lasts
until the worker's process ends: the next one has its --batch-window again.`,
		Example: `  semantic batch-window get
  semantic batch-window set 5ms
  semantic batch-window set 0s mac-mini-3f8a21`,
	}, newBatchWindowGetCommand(a), newBatchWindowSetCommand(a))
}

// batchWindows is one run of a subcommand of batch-window.
type batchWindows struct {
	app    *app
	asJSON bool
}

// shownWindow is the window of one worker.
type shownWindow struct {
	Worker   string   `json:"worker"`
	WindowMS *float64 `json:"window_ms"`
	// BeforeMS is what it was before a change.
	BeforeMS *float64 `json:"before_ms,omitempty"`
	// Error is why it is not known, or was not changed.
	Error string `json:"error,omitempty"`
	hint  string
}

// run asks the named workers, or all, one after the other.
func (b *batchWindows) run(
	ctx context.Context, c *config.Loaded, workers []string, ask func(ctx context.Context, q *queue.Queue, worker string) (shownWindow, error),
) error {
	q, err := b.app.observeQueue(ctx, c, "semantic batch-window")
	if err != nil {
		return stopOr(ctx, err)
	}
	defer b.app.closeQueue(ctx, q)
	if workers, err = b.app.meantWorkers(ctx, q, workers); err != nil {
		return stopOr(ctx, err)
	}
	ctx = queue.WithActor(ctx, b.app.operator())
	var windows []shownWindow
	failed := false
	for _, worker := range workers {
		bounded, cancel := context.WithTimeout(ctx, lookBound)
		w, err := ask(bounded, q, worker)
		cancel()
		if w.Worker = worker; err != nil {
			if errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil {
				return stopOr(ctx, brokerHint(err)) // the others would fare no better
			}
			w.Error, w.hint, failed = err.Error(), changeHint(err), true
		}
		windows = append(windows, w)
	}
	if err := b.tell(windows); err != nil {
		return err
	}
	if failed {
		return errSilent
	}
	return nil
}

func (b *batchWindows) tell(windows []shownWindow) error {
	if b.asJSON {
		if windows == nil {
			windows = []shownWindow{}
		}
		return b.app.printJSON(windows)
	}
	if len(windows) == 0 {
		return b.app.printf("No workers.\n")
	}
	t := &table{head: []string{"WORKER", "WINDOW", "BEFORE"}}
	for _, w := range windows {
		if w.Error != "" {
			b.app.notef("semantic: %s\n", w.Error)
			if w.hint != "" {
				b.app.notef("  %s\n", w.hint)
			}
		}
		t.add(plain(w.Worker), window(w.WindowMS), window(w.BeforeMS))
	}
	return b.app.printLines(t.lines(b.app.width()))
}

func window(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return time.Duration(*ms * float64(time.Millisecond)).String()
}

// meantWorkers checks the ids that were given; none mean all live workers.
func (a *app) meantWorkers(ctx context.Context, q *queue.Queue, given []string) ([]string, error) {
	for _, worker := range given {
		if err := knownWorker(ctx, q, worker); err != nil {
			return nil, err
		}
	}
	if len(given) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(given))), nil
	}
	bounded, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	workers, err := q.Workers(bounded)
	if err != nil {
		return nil, brokerHint(err)
	}
	var ids []string
	for _, w := range workers {
		ids = append(ids, w.ID)
	}
	return ids, nil
}

// changeHint is what can be done about a worker that did not do what it was asked.
func changeHint(err error) string {
	switch {
	case errors.Is(err, queue.ErrSilent):
		return "It hangs, or its machine sleeps."
	case errors.Is(err, queue.ErrForbidden):
		return "Credentials of a gateway or an administrator may change workers, those of an observer may not."
	case errors.As(err, new(*queue.OutdatedError)):
		return "Upgrade that worker."
	}
	return ""
}

func newBatchWindowGetCommand(a *app) *cobra.Command {
	b := &batchWindows{app: a}
	cmd := &cobra.Command{
		Use:     "get [WORKER]...",
		Short:   "Show the batch window of workers",
		Long:    `Show the batch window of the named workers, or of all.`,
		Example: "  semantic batch-window get --json",
		Args:    args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return b.run(cmd.Context(), c, given, func(ctx context.Context, q *queue.Queue, worker string) (shownWindow, error) {
				r, err := q.Report(ctx, worker)
				if err == nil && r.Settings == nil {
					err = &queue.OutdatedError{Worker: worker, Kind: queue.ControlBatchWindow}
				}
				if err != nil {
					return shownWindow{}, err
				}
				return shownWindow{WindowMS: &r.Settings.BatchWindowMS}, nil
			})
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	cmd.Flags().BoolVar(&b.asJSON, "json", false, "print JSON")
	return cmd
}

func newBatchWindowSetCommand(a *app) *cobra.Command {
	b := &batchWindows{app: a}
	cmd := &cobra.Command{
		Use:   "set TIME [WORKER]...",
		Short: "Change the batch window of workers",
		Long: `Change the batch window of the named workers, or of all that live now. 0s waits for
nobody.`,
		Example: `  semantic batch-window set 5ms
  semantic batch-window set 0s mac-mini-3f8a21`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			d, err := time.ParseDuration(given[0])
			if err != nil {
				return usagef("want a time with its unit like 5ms or 0s, got %q", given[0])
			}
			if d < 0 || d > schemas.MaxBatchWindow {
				return usagef("%s is not between 0s and %s", d, schemas.MaxBatchWindow)
			}
			return b.run(cmd.Context(), c, given[1:], func(ctx context.Context, q *queue.Queue, worker string) (shownWindow, error) {
				changed, err := q.SetBatchWindow(ctx, worker, d)
				if err != nil {
					return shownWindow{}, err
				}
				return shownWindow{WindowMS: &changed.After.BatchWindowMS, BeforeMS: &changed.Before.BatchWindowMS}, nil
			})
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	cmd.Flags().BoolVar(&b.asJSON, "json", false, "print JSON")
	return cmd
}
