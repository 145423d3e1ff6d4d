package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
)

// drainRun is one run of the drain command.
type drainRun struct {
	app         *app
	asJSON      bool
	now, wait   bool
	pause       bool
	timeout     time.Duration
	timeoutText *time.Duration // nil leaves it to the worker
}

func newDrainCommand(a *app) *cobra.Command {
	d := &drainRun{app: a}
	cmd := &cobra.Command{
		Use:   "drain WORKER",
		Short: "Make a worker hand over what it runs, and end; or pause it",
		Long: `Make a worker take no more jobs, finish what ends within its --drain-timeout, hand
the rest over to other workers, and exit with 0. A job that is handed over goes on
at the same token; it costs no attempt, and its reader sees a short pause. Without
another worker of the model it waits for one.

The worker of 'semantic serve' is not started again by it: restart the server to
have one again. 'semantic ps' lists the workers.

With --pause the worker stays, with its model: it takes no more jobs, what runs goes
on to its end there, and what has not begun goes back. 'semantic undrain' lets it
take jobs again, and so does a restart.`,
		Example: `  semantic drain mac-mini-3f8a21
  semantic drain mac-mini-3f8a21 --now
  semantic drain mac-mini-3f8a21 --timeout 5m --wait=false
  semantic drain mac-mini-3f8a21 --pause`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if d.pause {
				for _, other := range []string{"now", "timeout", "wait"} {
					if cmd.Flags().Changed(other) {
						return usagef("--%s: has no meaning with --pause", other)
					}
				}
				return a.pause(cmd.Context(), c, given[0], true, d.asJSON)
			}
			if cmd.Flags().Changed("timeout") {
				if d.now {
					return usagef("--now: has no meaning with --timeout")
				}
				if d.timeout < 0 {
					return usagef("--timeout: %s is less than 0", d.timeout)
				}
				d.timeoutText = &d.timeout
			}
			if d.now {
				d.timeoutText = new(time.Duration)
			}
			return d.run(cmd.Context(), c, given[0])
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	flags := cmd.Flags()
	flags.BoolVar(&d.now, "now", false, "hand running jobs over at once")
	flags.DurationVar(&d.timeout, "timeout", 0, "`TIME` running jobs get to finish (default: the worker's --drain-timeout)")
	flags.BoolVar(&d.wait, "wait", true, "wait until the worker is gone; --wait=false returns once it has agreed")
	flags.BoolVar(&d.pause, "pause", false, "take no more jobs, but stay: semantic undrain takes it back")
	flags.BoolVar(&d.asJSON, "json", false, "print JSON")
	return cmd
}

// drainResult is what the command tells.
type drainResult struct {
	Worker string `json:"worker"`
	// Jobs is how many it had in its hands when it agreed.
	Jobs int `json:"jobs"`
	// Gone is whether the command waited for its end.
	Gone bool `json:"gone"`
	// Drained is what became of the jobs; null where that is not known.
	Drained *queue.Drained `json:"drained"`
}

func (d *drainRun) run(ctx context.Context, c *config.Loaded, worker string) error {
	q, err := d.app.observeQueue(ctx, c, "semantic drain")
	if err != nil {
		return stopOr(ctx, err)
	}
	defer d.app.closeQueue(ctx, q)
	if err := knownWorker(ctx, q, worker); err != nil {
		return stopOr(ctx, err)
	}
	draining, report, err := q.Drain(queue.WithActor(ctx, d.app.operator()), worker, d.timeoutText)
	if errors.Is(err, queue.ErrSilent) {
		return withHint(err, "It hangs, its machine sleeps, or it is of a release before `semantic drain`: "+
			"end its process there (SIGTERM drains). Other workers take its jobs over when it is gone.")
	}
	if errors.Is(err, queue.ErrForbidden) {
		return withHint(err, "Credentials of a gateway or an administrator may drain, those of an observer may not.")
	}
	if err != nil {
		return stopOr(ctx, brokerHint(err))
	}
	defer draining.Close()
	result := drainResult{Worker: worker, Jobs: len(report.Jobs) + report.LeftOut}
	if !d.wait {
		return d.tell(result)
	}
	if result.Jobs > 0 && !d.asJSON {
		d.app.notef("%s takes no more jobs; waiting for %s. Ctrl-C leaves it to itself.\n", worker, things(result.Jobs, "running job"))
	}
	if result.Drained, err = draining.Wait(ctx); err != nil {
		d.app.notef("%s goes on draining.\n", worker)
		return stopOr(ctx, err)
	}
	result.Gone = true
	return d.tell(result)
}

// knownWorker refuses an id that nobody has, and names those that there are.
func knownWorker(ctx context.Context, q *queue.Queue, worker string) error {
	bounded, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	workers, err := q.Workers(bounded)
	if err != nil {
		return brokerHint(err)
	}
	var ids []string
	for _, w := range workers {
		if w.ID == worker {
			return nil
		}
		ids = append(ids, w.ID)
	}
	if len(ids) == 0 {
		return withHint(fmt.Errorf("there is no worker %q, nor any other", worker), "`semantic ps` lists the workers of a NATS server.")
	}
	return withHint(fmt.Errorf("there is no worker %q", worker), "There are: %s.", strings.Join(ids, ", "))
}

func (d *drainRun) tell(r drainResult) error {
	switch {
	case d.asJSON:
		return d.app.printJSON(r)
	case !r.Gone:
		return d.app.printf("%s is draining, with %s.\n", r.Worker, things(r.Jobs, "running job"))
	case r.Drained == nil:
		return d.app.printf("%s is gone. What became of its jobs got lost on the way: `semantic jobs` tells.\n", r.Worker)
	}
	text := fmt.Sprintf("%s is drained: %s ended, %d handed over", r.Worker, things(r.Drained.Ended, "job"), r.Drained.HandedOver)
	if r.Drained.Left > 0 {
		text += fmt.Sprintf(", %d left to be taken over after the acknowledgement wait", r.Drained.Left)
	}
	return d.app.printf("%s.\n", text)
}
