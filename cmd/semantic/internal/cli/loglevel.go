package cli

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

func newLogLevelCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "log-level",
		Short: "Show and change the log level of what runs",
		Long: `Show and change the least level of the log lines of a server that runs, and of all
workers, without a restart. A change lasts until the process ends: the next one has
its --log-level again.

These commands ask the admin interface of the server on this machine, or that of
--admin-url, and need its key.`,
		Example: `  semantic log-level get
  semantic log-level set debug
  semantic log-level set debug --worker mac-mini-3f8a21`,
	}, newLogLevelGetCommand(a), newLogLevelSetCommand(a))
}

// logLevels is one run of a subcommand of log-level.
type logLevels struct {
	app     *app
	asJSON  bool
	worker  string
	gateway bool
}

// command makes a subcommand of run, which gets the configuration and the path of
// the setting.
func (l *logLevels) command(
	cmd *cobra.Command, arguments cobra.PositionalArgs, run func(ctx context.Context, c *config.Loaded, path string, given []string) error,
) *cobra.Command {
	cmd.Args = args(arguments)
	addConfigFlags(cmd, adminFlags()...)
	cmd.Flags().StringVar(&l.worker, "worker", "", "only this `WORKER`")
	cmd.Flags().BoolVar(&l.gateway, "gateway", false, "only the server that is asked: `semantic serve`, or a gateway")
	cmd.Flags().BoolVar(&l.asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		c, err := l.app.config()
		if err != nil {
			return err
		}
		path := "log-level"
		switch {
		case l.worker != "" && l.gateway:
			return usagef("--worker and --gateway exclude each other")
		case l.worker != "":
			path = "workers/" + url.PathEscape(l.worker) + "/" + path
		case l.gateway:
			path = "gateway/" + path
		}
		return stopOr(cmd.Context(), run(cmd.Context(), c, path, given))
	}
	return cmd
}

func newLogLevelGetCommand(a *app) *cobra.Command {
	l := &logLevels{app: a}
	return l.command(&cobra.Command{
		Use:     "get",
		Short:   "Show the log levels",
		Example: "  semantic log-level get --json",
	}, cobra.NoArgs, func(ctx context.Context, c *config.Loaded, path string, _ []string) error {
		return l.ask(ctx, c, http.MethodGet, path, nil)
	})
}

func newLogLevelSetCommand(a *app) *cobra.Command {
	l := &logLevels{app: a}
	return l.command(&cobra.Command{
		Use:   "set LEVEL",
		Short: "Change the log level",
		Long: `Change the log level to debug, info, warn or error: of the server that is asked and
of all workers, or of the one that --worker or --gateway names.`,
		Example: "  semantic log-level set debug --gateway",
	}, cobra.ExactArgs(1), func(ctx context.Context, c *config.Loaded, path string, given []string) error {
		if _, err := schemas.ParseLogLevel(given[0]); err != nil {
			return usagef("%v", err)
		}
		return l.ask(ctx, c, http.MethodPut, path, schemas.LogLevelChange{Level: strings.ToLower(given[0])})
	})
}

// levelAnswer is what the interface says of the levels.
type levelAnswer struct {
	Data []struct {
		Process string `json:"process"`
		Worker  string `json:"worker,omitempty"`
		Level   string `json:"level,omitempty"`
		Before  *struct {
			Level string `json:"level"`
		} `json:"before,omitempty"`
		Error *openai.Error `json:"error,omitempty"`
	} `json:"data"`
}

func (l *logLevels) ask(ctx context.Context, c *config.Loaded, method, path string, body any) error {
	client, err := l.app.adminClient(c)
	if err != nil {
		return err
	}
	var answer levelAnswer
	if err := client.do(ctx, method, path, body, &answer); err != nil {
		return err
	}
	failed := false
	t := &table{head: []string{"PROCESS", "LEVEL", "BEFORE"}}
	for _, d := range answer.Data {
		name, level, before := d.Process, orDash(d.Level), "-"
		if d.Worker != "" {
			name = "worker " + plain(d.Worker)
		}
		if d.Before != nil {
			before = orDash(d.Before.Level)
		}
		if d.Error != nil {
			failed, level = true, "error: "+plain(d.Error.Message)
		}
		t.add(name, level, before)
	}
	if l.asJSON {
		if err := l.app.printJSON(answer.Data); err != nil {
			return err
		}
	} else if err := l.app.printLines(t.lines(l.app.width())); err != nil {
		return err
	}
	if failed {
		return errSilent
	}
	return nil
}
