package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

func newDeadCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "dead",
		Short: "Look at requests that were given up, and try them again",
		Long: `Requests that were given up because workers died on them. They are kept with the
evidence: who tried them and how that ended, the last tokens, the end of the log.
They stay until somebody replays or drops them.`,
		Example: `  semantic dead list
  semantic dead show 0b7e6f8d1c2a4b5d9e8f7a6b5c4d3e2f
  semantic dead replay 0b7e6f8d1c2a4b5d9e8f7a6b5c4d3e2f`,
	}, newDeadListCommand(a), newDeadShowCommand(a), newDeadReplayCommand(a), newDeadDropCommand(a))
}

// deadRun is one run of a subcommand of dead.
type deadRun struct {
	app    *app
	asJSON bool
	// owner and model tell dead jobs of one id apart; empty for any.
	owner, model string
	queue        *queue.Queue
}

// command makes a subcommand of run, which gets the queue, and the one dead job
// that is named unless it is called without.
func (d *deadRun) command(cmd *cobra.Command, run func(ctx context.Context, job queue.DeadJob) error) *cobra.Command {
	named := strings.Contains(cmd.Use, " ID")
	cmd.Args = args(cobra.NoArgs)
	if named {
		cmd.Args = args(cobra.ExactArgs(1))
		cmd.Flags().StringVar(&d.owner, "owner", "", "the job of this `OWNER`, where several have one of this id")
		cmd.Flags().StringVar(&d.model, "model", "", "the job for this `MODEL`, likewise")
	}
	addConfigFlags(cmd, brokerFlags()...)
	cmd.Flags().BoolVar(&d.asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		c, err := d.app.config()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		if d.queue, err = d.app.observeQueue(ctx, c, "semantic dead"); err != nil {
			return stopOr(ctx, err)
		}
		defer d.app.closeQueue(ctx, d.queue)
		var job queue.DeadJob
		if named {
			if job, err = d.find(ctx, given[0]); err != nil {
				return stopOr(ctx, err)
			}
		}
		return stopOr(ctx, run(ctx, job))
	}
	return cmd
}

// transferWait is how long a command that moves a large job waits for the queue.
const transferWait = 2 * time.Minute

// jobs lists the dead jobs with the id; all if it is empty.
func (d *deadRun) jobs(ctx context.Context, id string) ([]queue.DeadJob, error) {
	bounded, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	list, err := d.queue.DeadJobs(bounded, id)
	return list, brokerHint(err)
}

// find is the one dead job that is meant.
func (d *deadRun) find(ctx context.Context, id string) (queue.DeadJob, error) {
	if !queue.ValidJobID(id) {
		return queue.DeadJob{}, usagef("%q is no job id: letters, digits, - and _", id)
	}
	list, err := d.jobs(ctx, id)
	if err != nil {
		return queue.DeadJob{}, err
	}
	var matches []queue.DeadJob
	for _, j := range list {
		if (d.owner == "" || d.owner == j.Owner) && (d.model == "" || d.model == j.Model) {
			matches = append(matches, j)
		}
	}
	switch len(matches) {
	case 0:
		return queue.DeadJob{}, withHint(fmt.Errorf("there is no dead request %s", id), "`semantic dead list` shows those that there are.")
	case 1:
		return matches[0], nil
	}
	var who []string
	for _, j := range matches {
		who = append(who, fmt.Sprintf("owner %s, model %s", j.Owner, j.Model))
	}
	return queue.DeadJob{}, withHint(fmt.Errorf("%d dead requests are called %s: %s", len(matches), id, strings.Join(who, "; ")),
		"Say which one with --owner and --model.")
}

func newDeadListCommand(a *app) *cobra.Command {
	d := &deadRun{app: a}
	return d.command(&cobra.Command{
		Use:   "list",
		Short: "List the requests that were given up",
		Long: `List the requests that were given up, the last one first: how many workers died on
each (and on how many of them it was alone), and how many tokens it had come to.`,
		Example: `  semantic dead list
  semantic dead list --json --nats nats://mac-mini.local:4222 --nats-token-file token`,
	}, func(ctx context.Context, _ queue.DeadJob) error {
		list, err := d.jobs(ctx, "")
		if err != nil {
			return err
		}
		if d.asJSON {
			out := make([]deadSummary, 0, len(list))
			for _, j := range list {
				out = append(out, summary(j))
			}
			return a.printJSON(out)
		}
		if len(list) == 0 {
			return a.printf("No dead requests.\n")
		}
		table := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
		if err := printTo(table, "ID\tMODEL\tOWNER\tCLASS\tGIVEN UP\tDEATHS\tTOKENS\tCODE\n"); err != nil {
			return err
		}
		for _, j := range list {
			if err := printTo(table, "%s\n", printable(deadRow(j))); err != nil {
				return err
			}
		}
		if err := table.Flush(); err != nil {
			return &outputError{err: err}
		}
		return nil
	})
}

// deadSummary is a line of `dead list --json`.
type deadSummary struct {
	ID       string        `json:"id"`
	Model    string        `json:"model"`
	Owner    string        `json:"owner"`
	Class    schemas.Class `json:"class,omitempty"`
	StoredAt time.Time     `json:"stored_at"`
	Deaths   int           `json:"deaths"`
	Alone    int           `json:"alone"`
	Tokens   int           `json:"tokens"`
	Code     schemas.Code  `json:"code,omitempty"`
	Message  string        `json:"message,omitempty"`
	// Unreadable is why the entry cannot be read.
	Unreadable string `json:"unreadable,omitempty"`
}

func summary(j queue.DeadJob) deadSummary {
	s := deadSummary{
		ID: j.JobID, Model: j.Model, Owner: j.Owner, Class: j.Parked.Class, StoredAt: j.StoredAt.UTC(), Tokens: j.Parked.Tokens,
		Code: j.Parked.Code, Message: j.Parked.Message,
	}
	for _, attempt := range j.Parked.Attempts {
		if attempt.End == schemas.AttemptDied {
			s.Deaths++
			if attempt.Alone {
				s.Alone++
			}
		}
	}
	if j.Fault != nil {
		s.Unreadable = j.Fault.Error()
	}
	return s
}

func deadRow(j queue.DeadJob) string {
	s := summary(j)
	when := j.StoredAt.Local().Format(time.DateTime)
	if s.Unreadable != "" {
		return strings.Join([]string{s.ID, orDash(s.Model), orDash(s.Owner), "-", when, "-", "-", "unreadable: " + s.Unreadable}, "\t")
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%d (%d alone)\t%d\t%s", s.ID, s.Model, s.Owner, s.Class, when, s.Deaths, s.Alone, s.Tokens, s.Code)
}

func newDeadShowCommand(a *app) *cobra.Command {
	d := &deadRun{app: a}
	var body bool
	cmd := d.command(&cobra.Command{
		Use:   "show ID",
		Short: "Print the evidence of a request that was given up",
		Long: `Print what is known of a request that was given up: every attempt with its worker,
how the worker's process ended (where 'semantic serve' ran it), the last text and
token ids, and the end of its log. --json prints all of it, --body only the job.`,
		Example: `  semantic dead show 0b7e6f8d1c2a4b5d9e8f7a6b5c4d3e2f
  semantic dead show 0b7e6f8d1c2a4b5d9e8f7a6b5c4d3e2f --body > job.json`,
	}, func(ctx context.Context, j queue.DeadJob) error {
		switch {
		case j.Fault != nil:
			return withHint(j.Fault, "`semantic dead drop %s` removes the entry.", j.JobID)
		case body:
			bounded, cancel := context.WithTimeout(ctx, transferWait)
			defer cancel()
			text, err := d.queue.DeadBody(bounded, j)
			if err != nil {
				return brokerHint(err)
			}
			return a.printf("%s\n", text)
		case d.asJSON:
			return a.printJSON(j.Parked)
		}
		return d.show(j.Parked)
	})
	cmd.Flags().BoolVar(&body, "body", false, "print the job as it was published")
	return cmd
}

// show prints a dead job for people.
func (d *deadRun) show(p schemas.Parked) error {
	size := progress.Bytes(int64(len(p.Body)))
	if p.Input != nil {
		size = progress.Bytes(p.Input.Size) + ", in the object store"
	}
	rows := [][2]string{
		{"Request", p.Job}, {"Model", p.Model}, {"Owner", p.Owner}, {"Class", string(p.Class)}, {"Request id", orDash(p.RequestID)},
		{"Submitted", shownTime(p.StoredAt)}, {"Given up", shownTime(p.ParkedAt) + " by " + p.ParkedBy}, {"Size", size},
		{"Answered", p.Message}, {"Code", string(p.Code)}, {"Tokens", strconv.Itoa(p.Tokens)},
	}
	if p.LastText != "" {
		rows = append(rows, [2]string{"Last text", fmt.Sprintf("%q", p.LastText)})
	}
	if len(p.LastTokens) > 0 {
		rows = append(rows, [2]string{"Last tokens", strings.Trim(fmt.Sprint(p.LastTokens), "[]")})
	}
	for _, row := range rows {
		text := strings.Join(wrap(row[1], announceWidth), "\n"+strings.Repeat(" ", 13))
		if err := d.app.printf("%-11s  %s\n", row[0], printable(text)); err != nil {
			return err
		}
	}
	if err := d.app.printf("\nAttempts\n"); err != nil {
		return err
	}
	for i, attempt := range p.Attempts {
		if err := d.app.printf("  %d  %s\n", i+1, printable(attemptText(attempt))); err != nil {
			return err
		}
	}
	if err := d.app.printf("\nEnd of its log\n"); err != nil {
		return err
	}
	for _, line := range p.Log {
		if err := d.app.printf("  %s\n", printable(line)); err != nil {
			return err
		}
	}
	return nil
}

// printable is text that does nothing to a terminal: an entry may be a stranger's.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

func shownTime(t time.Time) string { return t.Local().Format(time.DateTime) }

// attemptText tells one attempt in a line.
func attemptText(a schemas.Attempt) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s (%s)", shownTime(a.Began), a.Worker, a.Incarnation)
	if a.Alone {
		b.WriteString(", alone")
	}
	if !a.Started {
		b.WriteString(", before its start")
	}
	fmt.Fprintf(&b, ", %s: ", things(a.Tokens, "token"))
	switch a.End {
	case schemas.AttemptDied:
		b.WriteString("the worker died")
		if a.Exit == nil && a.Reason == "" {
			b.WriteString(" (nobody told how)")
		}
	case schemas.AttemptGaveBack:
		b.WriteString("given back")
	case schemas.AttemptLost:
		b.WriteString("another worker got it")
	}
	if a.Reason != "" {
		b.WriteString(", " + a.Reason)
	}
	if a.Exit != nil {
		b.WriteString(", " + a.Exit.Status)
		if a.Exit.Hung {
			b.WriteString(", killed because it hung")
		}
		if a.Exit.Failure != "" {
			b.WriteString(": " + a.Exit.Failure)
		}
	}
	return b.String()
}

func newDeadReplayCommand(a *app) *cobra.Command {
	d := &deadRun{app: a}
	var keep bool
	cmd := d.command(&cobra.Command{
		Use:   "replay ID",
		Short: "Submit a request that was given up again",
		Long: `Submit a request that was given up again, as a new one of the same owner and class,
and print the new id. Its deadline counts anew. The old one is removed once the new
one is stored; run again after a failure, the command goes on with the same new
request. With --keep the old one stays, and each replay makes another request.`,
		Example: `  semantic dead replay 0b7e6f8d1c2a4b5d9e8f7a6b5c4d3e2f`,
	}, func(ctx context.Context, j queue.DeadJob) error {
		bounded, cancel := context.WithTimeout(ctx, transferWait)
		defer cancel()
		ticket, err := d.queue.Replay(bounded, j, keep)
		if err != nil {
			return d.gone(j, err)
		}
		if d.asJSON {
			return a.printJSON(struct {
				ID       string `json:"id"`
				ReplayOf string `json:"replay_of"`
				Owner    string `json:"owner"`
				Model    string `json:"model"`
			}{ticket.JobID, j.JobID, j.Owner, j.Model})
		}
		return a.printf("%s\n", ticket.JobID)
	})
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the old request, and make another one each time")
	return cmd
}

func newDeadDropCommand(a *app) *cobra.Command {
	d := &deadRun{app: a}
	return d.command(&cobra.Command{
		Use:     "drop ID",
		Short:   "Remove a request that was given up, for good",
		Long:    `Remove a request that was given up, and its evidence, for good.`,
		Example: `  semantic dead drop 0b7e6f8d1c2a4b5d9e8f7a6b5c4d3e2f`,
	}, func(ctx context.Context, j queue.DeadJob) error {
		bounded, cancel := context.WithTimeout(ctx, lookBound)
		defer cancel()
		if err := d.queue.DropDead(bounded, j); err != nil {
			return d.gone(j, err)
		}
		if d.asJSON {
			return a.printJSON(json.RawMessage(`{"dropped": "` + j.JobID + `"}`))
		}
		return a.printf("Dropped %s.\n", j.JobID)
	})
}

// gone tells of an entry that somebody else took meanwhile.
func (d *deadRun) gone(j queue.DeadJob, err error) error {
	if errors.Is(err, queue.ErrNotDead) {
		return fmt.Errorf("the dead request %s is gone: somebody replayed or dropped it just now", j.JobID)
	}
	if j.Fault != nil {
		return withHint(err, "`semantic dead drop %s` removes the entry.", j.JobID)
	}
	return brokerHint(err)
}
