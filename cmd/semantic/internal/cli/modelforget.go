package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/queue"
)

func newModelForgetCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "forget NAME",
		Short: "Let the gateways know a model no more",
		Long: `Let the gateways know a model no more. Once a worker has announced a model, requests
for it are accepted and wait, also while nobody serves it. After this they are
refused, and those that wait end as model_not_found, until a worker announces the
model again. Files of the model on this machine stay: see 'semantic model rm'.`,
		Example: "  semantic model forget qwen3-4b",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), lookBound)
			defer cancel()
			q, err := a.observeQueue(ctx, c, "semantic model forget")
			if err != nil {
				return stopOr(ctx, err)
			}
			defer a.closeQueue(ctx, q)
			if err := q.ForgetModel(ctx, given[0]); err != nil {
				return stopOr(ctx, forgetHint(ctx, q, given[0], err))
			}
			if asJSON {
				return a.printJSON(struct {
					Forgotten string `json:"forgotten"`
				}{given[0]})
			}
			return a.printf("Forgot %s.\n", given[0])
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func forgetHint(ctx context.Context, q *queue.Queue, model string, err error) error {
	if inUse := new(queue.ModelInUseError); errors.As(err, &inUse) {
		return withHint(fmt.Errorf("%s is served by %s", model, strings.Join(inUse.Workers, ", ")),
			"Stop these workers first: semantic drain WORKER")
	}
	if errors.Is(err, queue.ErrUnknownModel) {
		known, listErr := q.Models(ctx)
		if listErr != nil || len(known) == 0 {
			return fmt.Errorf("the gateways know no model %q", model)
		}
		return withHint(fmt.Errorf("the gateways know no model %q", model), "They know %s.", strings.Join(known, ", "))
	}
	return brokerHint(err)
}
