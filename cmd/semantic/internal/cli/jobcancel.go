package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
)

func newJobsCancelCommand(a *app) *cobra.Command {
	c := &jobsCancel{app: a}
	cmd := &cobra.Command{
		Use:   "cancel ID...",
		Short: "Cancel jobs",
		Long: `Cancel jobs, waiting or running, and say what became of each. One that has ended
is left as it is, which is no error.`,
		Example: `  semantic jobs cancel 2a1d657274dba6c60267e6feefe85207
  semantic jobs list --state queued --class batch --json | jq -r '.jobs[].job' | xargs semantic jobs cancel`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			loaded, err := a.config()
			if err != nil {
				return err
			}
			return c.run(cmd.Context(), loaded, ids)
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	cmd.Flags().StringVar(&c.owner, "owner", "", "the jobs' `OWNER`, where several have jobs of one id")
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "print JSON")
	return cmd
}

// jobsCancel is one run of `jobs cancel`.
type jobsCancel struct {
	app    *app
	asJSON bool
	owner  string
}

// cancelled is what became of one job.
type cancelled struct {
	JobID string `json:"job"`
	Owner string `json:"owner,omitempty"`
	// Before and After are its statuses; empty where they are not known.
	Before queue.JobStatus `json:"before,omitempty"`
	After  queue.JobStatus `json:"after,omitempty"`
	// Error is why it could not be cancelled.
	Error string `json:"error,omitempty"`
	hint  string
}

func (c *jobsCancel) run(ctx context.Context, loaded *config.Loaded, ids []string) error {
	q, err := c.app.observeQueue(ctx, loaded, "semantic jobs cancel")
	if err != nil {
		return stopOr(ctx, err)
	}
	defer c.app.closeQueue(ctx, q)
	results := make([]cancelled, 0, len(ids))
	failed := false
	for _, id := range ids {
		r, err := c.cancel(ctx, q, id)
		if errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrNoTopology) || ctx.Err() != nil {
			return stopOr(ctx, brokerHint(err)) // the others would fare no better
		}
		if err != nil {
			r.Error, failed = err.Error(), true
			if hint := hinter(nil); errors.As(err, &hint) {
				r.hint = hint.Hint()
			}
		}
		results = append(results, r)
		if c.asJSON {
			continue
		}
		if err := c.tell(r); err != nil {
			return err
		}
	}
	if c.asJSON {
		if err := c.app.printJSON(results); err != nil {
			return err
		}
	}
	if failed {
		return errSilent
	}
	return nil
}

func (c *jobsCancel) cancel(ctx context.Context, q *queue.Queue, id string) (cancelled, error) {
	ctx, cancel := context.WithTimeout(ctx, cancelBound)
	defer cancel()
	r := cancelled{JobID: id}
	state, err := findOne(ctx, q, c.owner, id)
	if err != nil {
		return r, err
	}
	r.Owner, r.Before, r.After = state.Owner, state.Status, state.Status
	if state.Status.Ended() {
		return r, nil
	}
	if err := q.Cancel(ctx, state.Owner, id, "requested"); err != nil {
		return r, err
	}
	after, err := q.State(ctx, state.Owner, id)
	r.After = after.Status
	return r, err
}

func (c *jobsCancel) tell(r cancelled) error {
	switch {
	case r.Error != "":
		text := r.Error
		if !strings.Contains(text, r.JobID) {
			text = plain(r.JobID) + ": " + text
		}
		c.app.notef("semantic: %s\n", text)
		if r.hint != "" {
			c.app.notef("  %s\n", r.hint)
		}
		return nil
	case r.Before.Ended():
		return c.app.printf("%s had ended before: %s\n", r.JobID, r.Before)
	case r.After != queue.StatusCancelled:
		return c.app.printf("%s ended as the cancel came: %s\n", r.JobID, r.After)
	}
	return c.app.printf("%s was %s and is cancelled\n", r.JobID, r.Before)
}

// findOne finds a job by its id; the owner may be empty.
func findOne(ctx context.Context, q *queue.Queue, owner, id string) (queue.JobState, error) {
	if !queue.ValidJobID(id) {
		return queue.JobState{}, usagef("%q is no job id", id)
	}
	states, err := q.Find(ctx, owner, id)
	if errors.Is(err, queue.ErrNoJob) {
		return queue.JobState{}, withHint(err, "`semantic jobs` lists them; ids are not abbreviated. "+
			"The log of an ended job is kept for a while only.")
	}
	if err != nil {
		return queue.JobState{}, err
	}
	if len(states) > 1 {
		owners := make([]string, len(states))
		for i, s := range states {
			owners[i] = s.Owner
		}
		return queue.JobState{}, withHint(fmt.Errorf("%d owners have a job %s", len(states), id),
			"Name one with --owner: %s.", strings.Join(owners, ", "))
	}
	return states[0], nil
}
