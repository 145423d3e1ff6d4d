package cli

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/queue"
)

func newKeyCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "key",
		Short: "Make and revoke API keys of the gateways",
		Long: `API keys that clients show to the gateways, each with a name. They are kept in the
queue as hashes, so all gateways know them at once, without a restart. A request
belongs to the name: nobody else can read it, and no name's many requests keep
another's waiting.

With the first key, gateways serve nobody without one. That stays so when the last
one is revoked, until 'semantic key open'.`,
		Example: `  semantic key add anna
  semantic key list
  semantic key revoke anna`,
	}, newKeyAddCommand(a), newKeyListCommand(a), newKeyRevokeCommand(a), newKeyOpenCommand(a))
}

// keyRun is one run of a subcommand of key.
type keyRun struct {
	app    *app
	asJSON bool
}

// command makes a subcommand of run, which gets the queue and the arguments.
func (k *keyRun) command(
	cmd *cobra.Command, arguments cobra.PositionalArgs, run func(ctx context.Context, q *queue.Queue, given []string) error,
) *cobra.Command {
	cmd.Args = args(arguments)
	addConfigFlags(cmd, brokerFlags()...)
	cmd.Flags().BoolVar(&k.asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		c, err := k.app.config()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), lookBound)
		defer cancel()
		q, err := k.app.observeQueue(ctx, c, "semantic key")
		if err != nil {
			return stopOr(ctx, err)
		}
		defer k.app.closeQueue(ctx, q)
		return stopOr(ctx, run(ctx, q, given))
	}
	return cmd
}

func newKeyAddCommand(a *app) *cobra.Command {
	k := &keyRun{app: a}
	return k.command(&cobra.Command{
		Use:   "add NAME",
		Short: "Make a key and show it, once",
		Long: `Make an API key and print it. It is not kept, and cannot be shown again. A key that
is made anew under the name of a revoked one has that one's requests.`,
		Example: `  semantic key add anna
  export OPENAI_API_KEY=$(semantic key add ci)`,
	}, cobra.ExactArgs(1), func(ctx context.Context, q *queue.Queue, given []string) error {
		key, err := q.AddKey(ctx, given[0])
		switch {
		case errors.Is(err, queue.ErrInvalid):
			return usagef("%q is no name of a key: 1 to 64 letters, digits, _, - and .", given[0])
		case errors.Is(err, queue.ErrKeyExists):
			return withHint(fmt.Errorf("there is a key named %s", given[0]), "Revoke it first: semantic key revoke %s", given[0])
		case err != nil:
			return brokerHint(err)
		}
		if k.asJSON {
			return a.printJSON(struct {
				Name string `json:"name"`
				Key  string `json:"key"`
			}{given[0], key})
		}
		return a.printf("%s\n", key)
	})
}

func newKeyListCommand(a *app) *cobra.Command {
	k := &keyRun{app: a}
	return k.command(&cobra.Command{
		Use:     "list",
		Short:   "List the keys' names",
		Example: "  semantic key list --json",
	}, cobra.NoArgs, func(ctx context.Context, q *queue.Queue, _ []string) error {
		keys, required, err := q.Keys(ctx)
		if err != nil {
			return brokerHint(err)
		}
		if k.asJSON {
			if keys == nil {
				keys = []queue.Key{}
			}
			return a.printJSON(struct {
				Required bool        `json:"required"`
				Keys     []queue.Key `json:"keys"`
			}{required, keys})
		}
		switch {
		case len(keys) == 0 && required:
			return a.printf("No keys: the gateways serve nobody. 'semantic key add' makes one, 'semantic key open' lets everybody in.\n")
		case len(keys) == 0:
			return a.printf("No keys: the gateways serve everybody who reaches them (but for keys of their own, --api-key-file).\n")
		}
		table := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
		if err := printTo(table, "NAME\tKEY\tCREATED\n"); err != nil {
			return err
		}
		for _, key := range keys {
			if err := printTo(table, "%s\tsk-semantic-…%s\t%s\n", key.Name, key.Hint, key.CreatedAt.Local().Format(time.DateTime)); err != nil {
				return err
			}
		}
		if err := table.Flush(); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		return nil
	})
}

func newKeyRevokeCommand(a *app) *cobra.Command {
	k := &keyRun{app: a}
	return k.command(&cobra.Command{
		Use:   "revoke NAME",
		Short: "Make a key worthless",
		Long: `Make a key worthless, at every gateway within moments. Requests that were sent
with it go on, and their streams to their ends.`,
		Example: "  semantic key revoke anna",
	}, cobra.ExactArgs(1), func(ctx context.Context, q *queue.Queue, given []string) error {
		err := q.RevokeKey(ctx, given[0])
		if errors.Is(err, queue.ErrNoKey) {
			return withHint(fmt.Errorf("there is no key named %q", given[0]), "`semantic key list` shows those that there are.")
		}
		if err != nil {
			return brokerHint(err)
		}
		if k.asJSON {
			return a.printJSON(struct {
				Revoked string `json:"revoked"`
			}{given[0]})
		}
		return a.printf("Revoked %s.\n", given[0])
	})
}

func newKeyOpenCommand(a *app) *cobra.Command {
	k := &keyRun{app: a}
	return k.command(&cobra.Command{
		Use:   "open",
		Short: "Serve everybody without a key again",
		Long: `Let the gateways serve everybody who reaches them again, after the last key was
revoked. Requests belong to nobody in particular then.`,
		Example: "  semantic key open",
	}, cobra.NoArgs, func(ctx context.Context, q *queue.Queue, _ []string) error {
		err := q.OpenToAll(ctx)
		if errors.Is(err, queue.ErrKeysLeft) {
			return withHint(errors.New("there are keys, and who has none is not to be served"), "Revoke them first: semantic key list")
		}
		if err != nil {
			return brokerHint(err)
		}
		if k.asJSON {
			return a.printJSON(struct {
				Required bool `json:"required"`
			}{})
		}
		return a.printf("The gateways serve everybody who reaches them (but for keys of their own, --api-key-file).\n")
	})
}
