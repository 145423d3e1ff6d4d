package cli

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/schemas"
)

func newNATSInitCommand(a *app) *cobra.Command {
	var o natsinit.Options
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make certificates, credentials and server configurations for one broker or three",
		Long: `Make the folder DIR with all that the NATS servers of a small cluster need, and
one credentials file for everybody who connects to them:

  brokers/HOST   for that machine: configuration, TLS certificate, accounts, and
                 credentials of the gateway and the worker beside it
  creds          for everybody else: gateway, observer, admin, workers, publishers
  authority      the keys that sign; keep them where no broker runs

Without --hosts the broker is for this machine alone. With one host it is for
several machines: the recommended layout for laptops, on a machine that is always
on. With three hosts they keep everything three times; two of the three must be
awake and reach each other. Two hosts are refused: one asleep would stop both.

A worker has the name of its machine, and may claim jobs, write their logs and
its own entry in the registry. A publisher is a program that publishes jobs to
NATS itself; its name is the owner of its jobs, and it hears of no others.`,
		Example: `  semantic nats init cluster --hosts mini.local --worker studio --publisher nightly
  semantic nats init cluster --hosts mini.local,studio.local,server.local
  semantic nats init here`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, arguments []string) error {
			made, err := natsinit.Init(arguments[0], o)
			if err != nil {
				return initError(err)
			}
			return a.sayMade(arguments[0], made)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.Hosts, "hosts", nil,
		"`HOSTS` that run a broker, as others reach them: HOST or HOST:PORT, one or three (default: this machine, for itself)")
	flags.StringSliceVar(&o.Workers, "worker", nil, "`NAMES` of machines that run a worker and no broker")
	flags.StringSliceVar(&o.Publishers, "publisher", nil, "`NAMES` of programs that publish jobs themselves")
	return cmd
}

func initError(err error) error {
	if errors.Is(err, natsinit.ErrInvalid) {
		return usagef("%w", err)
	}
	return err
}

// sayMade tells what there is now and what to do with it.
func (a *app) sayMade(dir string, made natsinit.Made) error {
	var b strings.Builder
	b.WriteString("Made " + dir + ". Keep " + filepath.Join(dir, "authority") + " to yourself: whoever has it may do everything.\n\n")
	if len(made.Brokers) > 1 {
		b.WriteString("On each of the three machines, with its own folder (two of them must be awake at any time):\n")
	} else {
		b.WriteString("On the broker's machine, with its folder:\n")
	}
	for _, broker := range made.Brokers {
		b.WriteString("  semantic serve --cluster " + broker + "\n")
	}
	b.WriteString("(or `semantic nats serve`, without gateway and worker, or nats-server -c nats.conf in that folder)\n\n" +
		"Everywhere else, with one file:\n")
	for _, file := range made.Creds {
		b.WriteString("  " + usageOf(dir, file) + "\n")
	}
	return a.printf("%s", b.String())
}

// usageOf says what a credentials file is for.
func usageOf(dir, file string) string {
	creds, err := queue.ReadCreds(file)
	if err != nil {
		return file
	}
	switch creds.Role {
	case queue.RoleGateway:
		return "semantic gateway --nats-creds " + file
	case queue.RoleWorker:
		return "semantic worker --nats-creds " + file
	case queue.RolePublisher:
		return "nats --creds " + file + " --tlsca " + filepath.Join(dir, "ca.pem") + " --server " + creds.Servers[0] +
			" …   # publishes jobs of " + creds.Name
	case queue.RoleObserver:
		return file + "   # looks: depth, workers, logs"
	case queue.RoleAdmin:
		return file + "   # may do everything: backup, restore, migrate"
	}
	return file
}

func newNATSAddCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "add DIR ROLE NAME",
		Short: "Make credentials for one more user of a cluster",
		Long: `Make credentials for one more user of the brokers that ` + "`semantic nats init DIR`" + `
was made for. ROLE is worker, gateway, observer, publisher or admin. Brokers need
not be told, except of a publisher, which has an account of its own.`,
		Example: `  semantic nats add cluster worker air
  semantic nats add cluster publisher nightly`,
		Args: args(cobra.ExactArgs(3)),
		RunE: func(_ *cobra.Command, arguments []string) error {
			dir, role, name := arguments[0], queue.Role(arguments[1]), arguments[2]
			if !slices.Contains(queue.Roles(), role) {
				return usagef("%q is no role: use worker, gateway, observer, publisher or admin", arguments[1])
			}
			file, changed, err := natsinit.Add(dir, role, name)
			if err != nil {
				return initError(err)
			}
			if changed {
				a.notef(tellBrokers, filepath.Join(dir, "brokers"))
			}
			return a.printf("%s\n", usageOf(dir, file))
		},
	}
}

func newNATSRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "remove DIR ROLE NAME",
		Short: "Take the credentials of a user of a cluster back",
		Long: `Take the credentials of a user back that ` + "`semantic nats init DIR`" + ` or add made: their
file is deleted, and whoever has a copy is not let in, once the brokers have the
new accounts.conf. The gateway and the worker beside a broker have the name of its
folder. A publisher loses its account.`,
		Example: `  semantic nats remove cluster worker air`,
		Args:    args(cobra.ExactArgs(3)),
		RunE: func(_ *cobra.Command, arguments []string) error {
			if err := natsinit.Remove(arguments[0], queue.Role(arguments[1]), arguments[2]); err != nil {
				return initError(err)
			}
			a.notef(tellBrokers, filepath.Join(arguments[0], "brokers"))
			return nil
		},
	}
}

// tellBrokers is what a change of the accounts asks for.
const tellBrokers = "accounts.conf of every broker in %s is new: copy it there and start the broker again,\n" +
	"or have it read anew (nats-server --signal reload).\n"

func newNATSRenewCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "renew DIR",
		Short: "Give the roles of a cluster the rights that this release needs",
		Long: `Write accounts.conf of every broker anew, with the rights that this release gives
to each role. Do it after an upgrade. Credentials stay as they are.`,
		Example: `  semantic nats renew cluster`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, arguments []string) error {
			brokers, err := natsinit.Renew(arguments[0])
			if err != nil {
				return initError(err)
			}
			for _, b := range brokers {
				if err := a.printf("%s\n", filepath.Join(b, "accounts.conf")); err != nil {
					return err
				}
			}
			a.notef("Copy each to its broker, and start the broker again.\n")
			return nil
		},
	}
}

func newNATSServeCommand(a *app) *cobra.Command {
	var readyFile string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the NATS server alone, without gateway and worker",
		Long: `Run the NATS server of ` + "`semantic serve`" + ` alone: the broker of a machine that is
always on, for gateways and workers elsewhere. It is started with --cluster and
the folder of this machine that ` + "`semantic nats init`" + ` made.`,
		Example: `  semantic nats serve --cluster cluster/brokers/mini-local`,
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			a.Log = a.Log.With(schemas.LogRole, "broker")
			down := teardown{log: a.Log}
			defer func() { down.run(cmd.Context()) }()
			return a.serveNATS(cmd.Context(), c, readyFile, &down)
		},
	}
	addConfigFlags(cmd, "cluster", "data-dir", "sync", "sync-interval", logFileFlag)
	addReadyFlag(cmd, &readyFile)
	return cmd
}

func (a *app) serveNATS(ctx context.Context, c *config.Loaded, readyFile string, down *teardown) error {
	if c.Cluster == "" {
		return usagef("--cluster is missing: the folder of this machine that `semantic nats init` made")
	}
	if err := checkReadyFile(readyFile); err != nil {
		return err
	}
	if err := c.CheckEmbeddedNATS(); err != nil {
		return err
	}
	dataDir, err := a.dataDir(c)
	if err != nil {
		return err
	}
	lock, err := lockDataDir(dataDir)
	if err != nil {
		return err
	}
	down.add("unlock the data directory", time.Second, func(context.Context) error { return unlock(lock) })
	if err := clearReadyFile(readyFile, down); err != nil {
		return err
	}
	server, err := embedded.Start(ctx, a.embeddedOptions(c, dataDir, ""))
	if err != nil {
		return natsHint(err)
	}
	down.add("stop NATS", natsStopBound, func(context.Context) error { server.Stop(); return nil })
	url := brokerURL(c, server)
	if err := a.printf("semantic %s broker: %s, data in %s\n", a.Release, url, dataDir); err != nil {
		return err
	}
	a.writeReadyFile(readyFile, readyInfo{NATS: url})
	<-ctx.Done()
	return nil
}
