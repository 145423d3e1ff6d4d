package cli

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Bounds of --limit.
const (
	standardLimit = 50
	mostLimit     = 10_000
)

func newJobsCommand(a *app) *cobra.Command {
	l := &jobsList{app: a}
	cmd := group(&cobra.Command{
		Use:   "jobs",
		Short: "List, show and cancel jobs in the queue",
		Long: `List, show and cancel jobs in the queue, whoever published them. Without a
subcommand it lists them.`,
		Example: `  semantic jobs
  semantic jobs list --state queued --class batch
  semantic jobs show 2a1d657274dba6c60267e6feefe85207
  semantic jobs cancel 2a1d657274dba6c60267e6feefe85207`,
	}, newJobsListCommand(a), newJobsShowCommand(a), newJobsCancelCommand(a))
	cmd.RunE = l.command
	l.add(cmd)
	return cmd
}

// jobsList is one run of `jobs list`.
type jobsList struct {
	app                        *app
	asJSON                     bool
	state, class, model, owner string
	limit                      int
}

func newJobsListCommand(a *app) *cobra.Command {
	l := &jobsList{app: a}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List jobs",
		Long: `List jobs: those that run, then those that wait, the longest there first, then
those that ended, the latest first, as far back as their logs are kept.

Of an ended job that was published straight to NATS, the log tells neither the
model nor, mostly, the class: filters by these do not find it.`,
		Example: `  semantic jobs list
  semantic jobs list --state queued --model qwen3-4b-q8_0 --limit 500
  semantic jobs list --state ended --json`,
		Args: args(cobra.NoArgs),
		RunE: l.command,
	}
	l.add(cmd)
	return cmd
}

func (l *jobsList) add(cmd *cobra.Command) {
	addConfigFlags(cmd, brokerFlags()...)
	flags := cmd.Flags()
	flags.StringVar(&l.state, "state", "", "only jobs in this `STATE`: queued, running or ended")
	flags.StringVar(&l.class, "class", "", "only jobs of this `CLASS`: interactive, normal or batch")
	flags.StringVar(&l.model, "model", "", "only jobs for this `MODEL`")
	flags.StringVar(&l.owner, "owner", "", "only jobs of this `OWNER`")
	flags.IntVar(&l.limit, "limit", standardLimit, "at most as many `JOBS`")
	flags.BoolVar(&l.asJSON, "json", false, "print JSON")
}

func (l *jobsList) command(cmd *cobra.Command, _ []string) error {
	c, err := l.app.config()
	if err != nil {
		return err
	}
	filter, err := l.filter()
	if err != nil {
		return err
	}
	return l.run(cmd.Context(), c, filter)
}

// filter is what the flags say.
func (l *jobsList) filter() (queue.JobFilter, error) {
	f := queue.JobFilter{Owner: l.owner, Model: l.model, Class: schemas.Class(l.class), Limit: l.limit}
	switch l.state {
	case "":
	case "queued":
		f.Queued = true
	case "running":
		f.Running = true
	case "ended":
		f.Ended = true
	default:
		return f, usagef("--state: %q is not queued, running or ended", l.state)
	}
	if l.class != "" && !slices.Contains(schemas.Classes(), f.Class) {
		return f, usagef("--class: %q is not interactive, normal or batch", l.class)
	}
	if l.limit < 1 || l.limit > mostLimit {
		return f, usagef("--limit: %d is not between 1 and %d", l.limit, mostLimit)
	}
	return f, nil
}

func (l *jobsList) run(ctx context.Context, c *config.Loaded, f queue.JobFilter) error {
	ctx, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	q, err := l.app.observeQueue(ctx, c, "semantic jobs list")
	if err != nil {
		return stopOr(ctx, err)
	}
	defer l.app.closeQueue(ctx, q)
	list, err := q.Jobs(ctx, f)
	if err != nil {
		return stopOr(ctx, brokerHint(err))
	}
	if l.asJSON {
		return l.app.printJSON(list)
	}
	if len(list.Jobs) == 0 {
		if err := l.app.printf("No jobs.\n"); err != nil {
			return err
		}
	} else if err := l.app.printLines(jobsTable(list.Jobs, time.Now()).lines(l.app.width())); err != nil {
		return err
	}
	if list.More {
		l.app.notef("There are more: filter them, or raise --limit.\n")
	}
	return nil
}

func jobsTable(jobs []queue.JobSummary, now time.Time) *table {
	t := &table{
		head:  []string{"JOB", "STATE", "MODEL", "CLASS", "OWNER", "WORKER", "TOKENS", "AGE", "ENDED"},
		spare: []string{"OWNER", "TOKENS", "CLASS", "WORKER", "ENDED", "MODEL"},
	}
	for _, j := range jobs {
		t.add(plain(j.JobID), jobStatus(j.Status), orDash(plain(j.Model)), orDash(string(j.Class)), plain(j.Owner), orDash(plain(j.Worker)),
			tokens(j), since(now, j.StoredAt), since(now, j.EndedAt))
	}
	return t
}

// jobStatus is a status in words.
func jobStatus(s queue.JobStatus) string {
	if s == "" {
		return "newer release's"
	}
	return string(s)
}

// tokens is how many a job has, where that is known.
func tokens(j queue.JobSummary) string {
	if j.Status == queue.StatusQueued || j.Status == "" || j.Status == queue.StatusRunning && j.Worker == "" {
		return "-"
	}
	return strconv.Itoa(j.Tokens)
}

// since is how long ago something was, where it was.
func since(now, then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	return ago(now.Sub(then))
}
