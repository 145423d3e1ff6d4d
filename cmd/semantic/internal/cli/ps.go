package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
)

// lookBound bounds commands that look once.
const lookBound = 10 * time.Second

func newPsCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the workers and the jobs that they run",
		Long: `List the workers, on whatever machines, and beneath each the jobs in its hands.
A worker that does not answer (it hangs, or its machine sleeps) is there too.

PLACES are sequences in use and in all; CELLS is how much of the KV cache is in use.`,
		Example: `  semantic ps
  semantic ps --json --nats nats://mac-mini.local:4222`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return a.ps(cmd.Context(), c, asJSON)
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shownWorker is a worker as JSON has it.
type shownWorker struct {
	queue.LiveWorker
	// Silent is why it does not answer.
	Silent string `json:"silent,omitempty"`
}

func (a *app) ps(ctx context.Context, c *config.Loaded, asJSON bool) error {
	ctx, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	q, err := a.observeQueue(ctx, c, "semantic ps")
	if err != nil {
		return stopOr(ctx, err)
	}
	defer a.closeQueue(ctx, q)
	workers, err := q.Reports(ctx)
	if err != nil {
		return stopOr(ctx, brokerHint(err))
	}
	if asJSON {
		return a.printJSON(showWorkers(workers))
	}
	if len(workers) == 0 {
		return a.printf("No workers. Requests wait for one: 'semantic worker' starts it, 'semantic serve' has one of its own.\n")
	}
	return a.printLines(workerLines(workers, time.Now(), a.width()))
}

func showWorkers(workers []queue.LiveWorker) []shownWorker {
	list := make([]shownWorker, len(workers))
	for i, w := range workers {
		list[i] = shownWorker{LiveWorker: w}
		if w.Silent != nil {
			list[i].Silent = w.Silent.Error()
		}
	}
	return list
}

// workerLines are all workers, each with its jobs beneath.
func workerLines(workers []queue.LiveWorker, now time.Time, width int) []string {
	all := workerTable(workers, now)
	rows := all.lines(width)
	lines := rows[:1:1]
	for i, w := range workers {
		lines = append(lines, rows[i+1])
		lines = append(lines, jobLines(w, now, width)...)
	}
	return lines
}

func workerTable(workers []queue.LiveWorker, now time.Time) table {
	t := table{
		head:  []string{"WORKER", "HOST", "MODEL", "RELEASE", "CONTEXT", "PLACES", "CELLS", "STATE", "UP"},
		spare: []string{"RELEASE", "HOST", "CELLS", "CONTEXT", "UP"},
	}
	for _, w := range workers {
		t.add(plain(w.ID), orDash(plain(w.Host)), plain(w.Model), orDash(plain(w.Release)), number(w.Context),
			fmt.Sprintf("%d/%d", w.Running, w.Capacity), share(w.Cells-w.CellsFree, w.Cells), workerState(w), ago(now.Sub(w.StartedAt)))
	}
	return t
}

// workerState is what a worker does, in a word.
func workerState(w queue.LiveWorker) string {
	switch {
	case w.Silent != nil && !errors.Is(w.Silent, queue.ErrForbidden):
		return "silent"
	case w.Paused:
		return "paused"
	case w.Draining || w.Report != nil && w.Report.Draining:
		return "draining"
	case w.Running > 0:
		return "busy"
	}
	return "idle"
}

// jobLines are the jobs of one worker.
func jobLines(w queue.LiveWorker, now time.Time, width int) []string {
	switch {
	case errors.Is(w.Silent, queue.ErrForbidden):
		return []string{"    These credentials may not ask it for its jobs; `semantic nats renew` brings them up to this release."}
	case w.Silent != nil:
		return []string{
			"    does not answer: it hangs, its machine sleeps, or it is of an older release. Its last word came " +
				ago(now.Sub(w.UpdatedAt)) + " ago.",
		}
	}
	if len(w.Report.Jobs) == 0 {
		return nil
	}
	t := table{
		head:   []string{"JOB", "OWNER", "CLASS", "AGENT", "PHASE", "TRY", "PROMPT", "TOKENS", "TOK/S", "SINCE"},
		spare:  []string{"AGENT", "TRY", "OWNER", "PROMPT", "CLASS", "TOK/S"},
		indent: "    ",
	}
	for _, j := range w.Report.Jobs {
		since, rate := j.ClaimedAt, "-"
		if j.StartedAt != nil {
			since = *j.StartedAt
		}
		if j.TokensPerSecond > 0 {
			rate = decimal(j.TokensPerSecond)
		}
		t.add(plain(j.JobID), plain(j.Owner), string(j.Class), orDash(plain(j.Agent)), string(j.Phase), number(j.Attempt), number(j.PromptTokens),
			strconv.Itoa(j.Tokens), rate, ago(now.Sub(since)))
	}
	lines := t.lines(width)
	if w.Report.LeftOut > 0 {
		lines = append(lines, fmt.Sprintf("    … and %d more", w.Report.LeftOut))
	}
	return lines
}

// share is a part of a whole in per cent.
func share(part, whole int) string {
	if whole <= 0 {
		return "-"
	}
	return strconv.Itoa(100*part/whole) + "%"
}

// decimal is a rate with as many digits as mean something.
func decimal(x float64) string {
	if x < 100 {
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}
