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

// migrateBound bounds all of `nats migrate`.
const migrateBound = time.Minute

func newNATSCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "nats",
		Short: "Look after the NATS server that the queue lives in",
		Long:  `Look after the NATS server that the queue lives in.`,
		Example: `  semantic nats init cluster --hosts mini.local --worker studio
  semantic nats serve --cluster cluster/brokers/mini-local
  semantic nats migrate --dry-run`,
	}, newNATSInitCommand(a), newNATSAddCommand(a), newNATSRemoveCommand(a), newNATSRenewCommand(a), newNATSServeCommand(a),
		newNATSMigrateCommand(a), newNATSBackupCommand(a), newNATSRestoreCommand(a))
}

// migration is one run of `nats migrate`.
type migration struct {
	app            *app
	asJSON, dryRun bool
	repair         bool
}

// migratedStream is a stream before and after.
type migratedStream struct {
	queue.StreamReport
	// Done is "made", "brought up" or "set back"; empty where nothing was done.
	Done string `json:"done,omitempty"`
	// Error is why what could have been done was not.
	Error string `json:"error,omitempty"`
}

func newNATSMigrateCommand(a *app) *cobra.Command {
	m := &migration{app: a}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Compare the streams with what this release makes, and apply what can be applied",
		Long: `Compare the streams of the NATS server with what this release makes, and apply
what can be applied in place, under running gateways and workers:

  current       nothing to do
  missing       is made
  older         of an older minor version: is brought up; older releases can live
                with it
  newer         of a newer minor version: is left, this release can live with it
  changed       by hand: what differs is shown; --repair sets it back, as far as the
                server can change it in place; jobs, logs and bounds stay
  incompatible  of another major version: is left to a release that knows both
  foreign       not made by semantic: is left; rename it, or use another account

Gateways and workers do the second and third by themselves when they start. The
exit code is 1 when a stream remains that this release cannot use.`,
		Example: `  semantic nats migrate --dry-run
  semantic nats migrate --repair`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return m.run(cmd.Context(), c)
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	flags := cmd.Flags()
	flags.BoolVar(&m.asJSON, "json", false, "print JSON")
	flags.BoolVar(&m.dryRun, "dry-run", false, "show the streams and change nothing")
	flags.BoolVar(&m.repair, "repair", false, "set streams back that were changed by hand")
	return cmd
}

func (m *migration) run(ctx context.Context, c *config.Loaded) error {
	if m.dryRun && m.repair {
		return usagef("--repair: has no meaning with --dry-run")
	}
	ctx, cancel := context.WithTimeout(ctx, migrateBound)
	defer cancel()
	q, err := m.app.observeQueue(ctx, c, "semantic nats migrate")
	if err != nil {
		return stopOr(ctx, err)
	}
	defer m.app.closeQueue(ctx, q)
	before, err := q.Topology(ctx)
	if err != nil {
		return stopOr(ctx, brokerHint(err))
	}
	rows := make([]migratedStream, len(before))
	for i, report := range before {
		rows[i].StreamReport = report
	}
	if !m.dryRun {
		if err := m.apply(ctx, q, rows); err != nil {
			return stopOr(ctx, brokerHint(err))
		}
	}
	if err := m.print(rows); err != nil {
		return err
	}
	for _, r := range rows {
		if !r.State.Usable() && (!m.dryRun || r.State != queue.StreamMissing && r.State != queue.StreamOlder) {
			return errSilent
		}
	}
	return nil
}

// apply does what can be done, and notes in rows what was.
func (m *migration) apply(ctx context.Context, q *queue.Queue, rows []migratedStream) error {
	for i := range rows {
		if r := &rows[i]; m.repair && r.State == queue.StreamChanged {
			if err := q.Repair(ctx, r.Stream); errors.Is(err, queue.ErrUnavailable) {
				return err
			} else if err != nil {
				r.Error = err.Error()
			}
		}
	}
	// What it refuses is in the reports.
	if err := q.Ensure(ctx); err != nil && !errors.As(err, new(*queue.TopologyError)) {
		return err
	}
	after, err := q.Topology(ctx)
	if err != nil {
		return err
	}
	for i, report := range after {
		done := map[queue.StreamState]string{
			queue.StreamMissing: "made", queue.StreamOlder: "brought up", queue.StreamChanged: "set back",
		}[rows[i].State]
		if report.State.Usable() {
			rows[i].Done = done
		}
		rows[i].StreamReport = report
	}
	return nil
}

func (m *migration) print(rows []migratedStream) error {
	if m.asJSON {
		return m.app.printJSON(rows)
	}
	table := [][]string{{"STREAM", "STATE", "VERSION", "DONE"}}
	for _, r := range rows {
		table = append(table, []string{r.Stream, string(r.State), orDash(r.Have), orDash(r.Done)})
	}
	if err := m.app.printTable(table); err != nil {
		return err
	}
	for _, r := range rows {
		if err := m.printProblem(r); err != nil {
			return err
		}
	}
	return nil
}

// printProblem says what is wrong with a stream, and what to do.
func (m *migration) printProblem(r migratedStream) error {
	var text string
	switch r.State {
	case queue.StreamCurrent, queue.StreamNewer, queue.StreamMissing, queue.StreamOlder:
		return nil
	case queue.StreamChanged:
		text = "was changed by hand. --repair sets it back"
		if r.Error != "" {
			text = "cannot be set back in place: " + r.Error
		}
	case queue.StreamIncompatible:
		text = fmt.Sprintf("is of version %s, this release makes %s: use a release that knows both", r.Have, r.Want)
	case queue.StreamForeign:
		text = "was not made by semantic: rename it, or use another NATS account"
	}
	if len(r.Differences) > 0 {
		text += "\n  " + strings.Join(r.Differences, "\n  ")
	}
	return m.app.printf("\n%s %s\n", r.Stream, text)
}
