package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
)

func newUndrainCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "undrain WORKER",
		Short: "Let a paused worker take jobs again",
		Long: `Let a worker that 'semantic drain --pause' told to wait take jobs again. A drain
without --pause ends the worker, which nothing takes back.`,
		Example: "  semantic undrain mac-mini-3f8a21",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return a.pause(cmd.Context(), c, given[0], false, asJSON)
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// pause makes a worker take no jobs, or take them again.
func (a *app) pause(ctx context.Context, c *config.Loaded, worker string, pause, asJSON bool) error {
	q, err := a.observeQueue(ctx, c, "semantic drain")
	if err != nil {
		return stopOr(ctx, err)
	}
	defer a.closeQueue(ctx, q)
	if err := knownWorker(ctx, q, worker); err != nil {
		return stopOr(ctx, err)
	}
	bounded, cancel := context.WithTimeout(queue.WithActor(ctx, a.operator()), lookBound)
	defer cancel()
	do, text := q.Resume, "%s takes jobs again.\n"
	if pause {
		do, text = q.Pause, "%s takes no more jobs; what runs goes on to its end. 'semantic undrain' takes it back.\n"
	}
	changed, err := do(bounded, worker)
	if refused := new(queue.RefusedError); errors.As(err, &refused) && refused.Draining {
		return withHint(err, "A drain without --pause ends the worker: start it again there.")
	}
	if hint := changeHint(err); err != nil && hint != "" {
		return withHint(err, "%s", hint)
	}
	if err != nil {
		return stopOr(ctx, brokerHint(err))
	}
	if asJSON {
		return a.printJSON(struct {
			Worker string `json:"worker"`
			Paused bool   `json:"paused"`
			Before bool   `json:"paused_before"`
		}{worker, changed.After.Paused, changed.Before.Paused})
	}
	return a.printf(text, worker)
}
