package cli

import (
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
)

func newConfigCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "config",
		Short: "Show the configuration",
		Long: `Every setting has one name: "nats-port" is the flag --nats-port, the variable
SEMANTIC_NATS_PORT and the key "nats-port:" of the configuration file. A flag
beats the environment, the environment beats the file, the file beats the default.`,
		Example: `  semantic config show`,
	}, newConfigShowCommand(a))
}

func newConfigShowCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print every setting, its value and where that comes from",
		Long: `Print every setting with the value in effect and its source: a flag, a variable,
the configuration file or the default. Secrets are masked. Any setting can be
given as a flag, to see what would happen.`,
		Example: `  semantic config show
  SEMANTIC_PORT=9000 semantic config show
  semantic config show --config ./config.yaml --json`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(struct {
					File     string       `json:"file"`
					Settings []config.Row `json:"settings"`
				}{c.File, c.Rows()})
			}
			file := c.File
			if file == "" {
				file = config.DefaultFile(a.Getenv) + " (does not exist)"
			}
			if err := a.printf("Configuration file: %s\n\n", file); err != nil {
				return err
			}
			table := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
			for _, row := range c.Rows() {
				if err := printTo(table, "%s\t%v\t%s\n", row.Key, shown(row.Value), row.Source); err != nil {
					return err
				}
			}
			if err := table.Flush(); err != nil {
				return &outputError{err: err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addConfigFlags(cmd, config.Keys()...)
	return cmd
}

// shown is a setting's value as the table has it.
func shown(value any) any {
	switch v := value.(type) {
	case string:
		if v == "" {
			return "-"
		}
	case []string:
		if len(v) == 0 {
			return "-"
		}
	case []config.Alias:
		if len(v) == 0 {
			return "-"
		}
	}
	return value
}

// addConfigFlags adds the settings' flags to the command, except those that
// every command has.
func addConfigFlags(cmd *cobra.Command, keys ...string) {
	for _, key := range keys {
		if key != "log-level" && key != "log-format" {
			config.Flags(cmd.Flags(), key)
		}
	}
}
