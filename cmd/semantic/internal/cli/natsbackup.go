package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
)

func newNATSBackupCommand(a *app) *cobra.Command {
	var stopped bool
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Write all streams, with the jobs that wait in them, to a folder",
		Long: `Write all streams to the folder DIR: jobs, logs, dead jobs, keys. What is there of
workers that run is left out.

A NATS server that joins a cluster, or gets accounts, does not see what it stored
before. So this is how a ` + "`semantic serve`" + ` moves there: stop it, make a backup with
--stopped, start the brokers (` + "`semantic nats serve`" + `), restore, start the rest.

Of a server that runs, each stream is as it was at one instant, but not all at the
same: stop gateways and workers before.`,
		Example: `  semantic nats backup saved --stopped
  semantic nats backup saved --nats-creds cluster/creds/admin.creds`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			down := teardown{log: a.Log}
			defer func() { down.run(ctx) }()
			q, err := a.backupSource(ctx, c, stopped, &down)
			if err != nil {
				return err
			}
			list, err := q.Backup(ctx, arguments[0])
			if err != nil {
				return backupHint(err)
			}
			return a.sayStreams(list)
		},
	}
	addConfigFlags(cmd, append(brokerFlags(), "data-dir", "cluster")...)
	cmd.Flags().BoolVar(&stopped, "stopped", false, "read the store of a stopped server, in --data-dir, instead of asking a running one")
	return cmd
}

// backupSource is the queue to back up: that of a broker, or of a stopped
// server's store.
func (a *app) backupSource(ctx context.Context, c *config.Loaded, stopped bool, down *teardown) (*queue.Queue, error) {
	if !stopped {
		q, err := a.observeQueue(ctx, c, "semantic nats backup")
		if err != nil {
			return nil, err
		}
		down.add("leave NATS", closeBound, q.Close)
		return q, nil
	}
	dataDir, err := a.dataDir(c)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dataDir, storeName)); err != nil {
		return nil, usagef("--data-dir: no server's store is there: %w", err)
	}
	lock, err := lockDataDir(dataDir)
	if err != nil {
		return nil, err
	}
	down.add("unlock the data directory", time.Second, func(context.Context) error { return unlock(lock) })
	o := a.embeddedOptions(c, dataDir, randomHex(tokenBytes))
	o.Host, o.Port = "127.0.0.1", -1 // nobody else is to come
	server, err := embedded.Start(ctx, o)
	if err != nil {
		return nil, natsHint(err)
	}
	down.add("stop NATS", natsStopBound, func(context.Context) error { server.Stop(); return nil })
	options := queue.Options{InProcess: server, Name: "semantic nats backup", Token: o.Token, Logger: a.Log, Config: queueConfig(c)}
	if c.Cluster != "" {
		options.Token, options.CredsFile = "", c.NATSCreds
	}
	q, err := queue.Open(ctx, options)
	if err != nil {
		return nil, brokerHint(err)
	}
	down.add("leave NATS", closeBound, q.Close)
	return q, nil
}

// tokenBytes is the length of a token that nobody needs to type.
const tokenBytes = 16

func newNATSRestoreCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore DIR",
		Short: "Bring a backup into a NATS server or cluster",
		Long: `Bring the streams that ` + "`semantic nats backup DIR`" + ` wrote into a NATS server or
cluster, with every message in its place: jobs that waited wait on, streams of
tokens go on where they were. Streams that are there and empty give way; if one has
messages, nothing is changed. Gateways and workers should not run meanwhile: start
the brokers alone, with ` + "`semantic nats serve`" + `.`,
		Example: `  semantic nats restore saved --nats-creds cluster/creds/admin.creds`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			q, err := a.observeQueue(ctx, c, "semantic nats restore")
			if err != nil {
				return err
			}
			defer a.closeQueue(ctx, q)
			list, err := q.Restore(ctx, arguments[0])
			if err != nil {
				return backupHint(err)
			}
			return a.sayStreams(list)
		},
	}
	addConfigFlags(cmd, brokerFlags()...)
	return cmd
}

func (a *app) sayStreams(list []queue.BackupStream) error {
	for _, s := range list {
		if err := a.printf("%-18s %8d messages %10d bytes\n", s.Stream, s.Messages, s.Bytes); err != nil {
			return err
		}
	}
	return nil
}

func backupHint(err error) error {
	switch {
	case errors.Is(err, queue.ErrForbidden):
		return withHint(err, "Give the credentials of an administrator with --nats-creds: admin.creds of `semantic nats init`.")
	case errors.Is(err, queue.ErrNotEmpty):
		return withHint(err, "Restore before gateways and workers use the server: into one that is new.")
	case errors.Is(err, queue.ErrInvalid):
		return usagef("%w", err)
	}
	return brokerHint(err)
}
