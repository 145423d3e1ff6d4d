package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

func newJobsShowCommand(a *app) *cobra.Command {
	var owner string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show all that is known of one job",
		Long: `Show all that is known of one job: where it is in its life, how many are ahead of
it while it waits, and what happened to it, in order. --json has every event with
what was generated.`,
		Example: `  semantic jobs show 2a1d657274dba6c60267e6feefe85207
  semantic jobs show 2a1d657274dba6c60267e6feefe85207 --json`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return a.showJob(cmd.Context(), c, owner, given[0], asJSON)
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	cmd.Flags().StringVar(&owner, "owner", "", "the job's `OWNER`, where several have jobs of this id")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shownJob is a job as JSON has it.
type shownJob struct {
	JobID     string          `json:"job"`
	Owner     string          `json:"owner"`
	Status    queue.JobStatus `json:"status"`
	Model     string          `json:"model,omitempty"`
	Class     schemas.Class   `json:"class,omitempty"`
	StoredAt  time.Time       `json:"stored_at,omitzero"`
	StartedAt time.Time       `json:"started_at,omitzero"`
	EndedAt   time.Time       `json:"ended_at,omitzero"`
	Attempts  int             `json:"attempts"`
	Worker    string          `json:"worker,omitempty"`
	// Ahead is how many jobs of its model and class wait before it; null where it
	// does not wait.
	Ahead *int `json:"ahead"`
	// AheadMore says that there are at least as many.
	AheadMore bool            `json:"ahead_more,omitempty"`
	Usage     *schemas.Usage  `json:"usage,omitempty"`
	Events    []schemas.Event `json:"events"`
}

func (a *app) showJob(ctx context.Context, c *config.Loaded, owner, id string, asJSON bool) error {
	ctx, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	q, err := a.observeQueue(ctx, c, "semantic jobs show")
	if err != nil {
		return stopOr(ctx, err)
	}
	defer a.closeQueue(ctx, q)
	s, err := findOne(ctx, q, owner, id)
	if err != nil {
		return stopOr(ctx, brokerHint(err))
	}
	job := shownJob{
		JobID: s.JobID, Owner: s.Owner, Status: s.Status, Model: s.Model, Class: s.Class, StoredAt: s.StoredAt, StartedAt: s.StartedAt,
		EndedAt: s.EndedAt, Attempts: s.Attempts, Worker: s.Worker, Usage: s.Usage, Events: s.Events,
	}
	if err := job.place(ctx, q); err != nil {
		return stopOr(ctx, brokerHint(err))
	}
	if asJSON {
		return a.printJSON(job)
	}
	return a.printLines(append(job.lines(time.Now()), eventLines(job.Events, a.width())...))
}

// mostAhead bounds how many jobs are counted.
const mostAhead = 5_000

// place counts the jobs ahead.
func (j *shownJob) place(ctx context.Context, q *queue.Queue) error {
	if j.Status != queue.StatusQueued || j.Model == "" {
		return nil
	}
	list, err := q.Jobs(ctx, queue.JobFilter{Model: j.Model, Class: j.Class, Queued: true, Limit: mostAhead})
	if err != nil {
		return err
	}
	ahead := 0
	for _, other := range list.Jobs {
		if other.JobID == j.JobID && other.Owner == j.Owner {
			j.Ahead = &ahead
			return nil
		}
		ahead++
	}
	if list.More {
		j.Ahead, j.AheadMore = &ahead, true
	}
	return nil // claimed just now
}

// lines are what is known of the job beside its events.
func (j *shownJob) lines(now time.Time) []string {
	var lines []string
	line := func(name, text string) { lines = append(lines, fmt.Sprintf("%-9s %s", name, text)) }
	at := func(t time.Time) string {
		return t.Local().Format("2006-01-02 15:04:05") + ", " + ago(now.Sub(t)) + " ago"
	}
	line("Job", j.JobID)
	line("Owner", plain(j.Owner))
	line("Model", orDash(plain(j.Model)))
	line("Class", orDash(string(j.Class)))
	state := string(j.Status)
	if j.Ahead != nil {
		least := ""
		if j.AheadMore {
			least = "at least "
		}
		state += fmt.Sprintf(", behind %s%s of its model and class", least, things(*j.Ahead, "job"))
	}
	if j.Status == queue.StatusRunning {
		state += " on " + plain(j.Worker)
	}
	line("State", state)
	if j.Attempts > 0 {
		line("Attempts", strconv.Itoa(j.Attempts))
	}
	if !j.StoredAt.IsZero() {
		line("Stored", at(j.StoredAt))
	}
	if !j.EndedAt.IsZero() {
		line("Ended", at(j.EndedAt))
	}
	if u := j.Usage; u != nil {
		line("Tokens", fmt.Sprintf("%d generated, %d in the prompt, %d of these not computed anew",
			u.CompletionTokens, u.PromptTokens, u.CachedTokens))
	}
	return append(lines, "")
}

// eventLines are the events, deltas in a row as one.
func eventLines(events []schemas.Event, width int) []string {
	if len(events) == 0 {
		return []string{"No events yet."}
	}
	t := table{head: []string{"EVENT", "TIME", "AFTER", "WHAT"}, spare: []string{"TIME"}}
	first := events[0].Time
	for i := 0; i < len(events); i++ {
		e := events[i]
		number, what := strconv.FormatInt(e.N, 10), eventText(e)
		if e.Delta != nil {
			last, generated := i, 0
			for ; last < len(events) && events[last].Delta != nil; last++ {
				generated += len(events[last].Delta.Tokens)
			}
			if i = last - 1; events[i].N > e.N {
				number += "-" + strconv.FormatInt(events[i].N, 10)
			}
			what = fmt.Sprintf("delta: %s, the last after %s", things(generated, "token"), ago(events[i].Time.Sub(first)))
		}
		t.add(number, e.Time.Local().Format("15:04:05.000"), ago(e.Time.Sub(first)), what)
	}
	return t.lines(width)
}

// eventText says what happened.
func eventText(e schemas.Event) string {
	switch {
	case e.Submitted != nil:
		return "submitted for " + plain(e.Submitted.Model)
	case e.Started != nil:
		return fmt.Sprintf("started: attempt %d on %s, %s in the prompt", e.Started.Attempt, plain(e.Started.Worker),
			things(e.Started.PromptTokens, "token"))
	case e.Requeued != nil && e.Requeued.Reason == schemas.ReasonPreparing:
		return "prepared by " + plain(e.Requeued.Worker)
	case e.Requeued != nil:
		return fmt.Sprintf("handed back by %s: %s", plain(e.Requeued.Worker), plain(e.Requeued.Reason))
	case e.Done != nil:
		return fmt.Sprintf("done: %s, %s with the last", e.Done.FinishReason, things(len(e.Done.Tokens), "token"))
	case e.Failed != nil:
		return fmt.Sprintf("failed: %s: %s", plain(string(e.Failed.Code)), plain(e.Failed.Message))
	case e.Cancelled != nil:
		return "cancelled: " + plain(e.Cancelled.Reason)
	case e.Expired != nil:
		return fmt.Sprintf("expired: its deadline was %s", time.Duration(e.Expired.DeadlineMS)*time.Millisecond)
	}
	return string(e.Type)
}
