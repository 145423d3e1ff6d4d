package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
)

// closeBound is how long leaving the broker may take at a stop.
const closeBound = 5 * time.Second

// brokerFlags are the settings of every command that connects to NATS.
func brokerFlags() []string { return []string{"nats", "nats-token-file", "nats-creds", "nats-ca"} }

// openQueue connects to the broker of the configuration and ensures the
// topology.
func (a *app) openQueue(
	ctx context.Context, c *config.Loaded, name string, own, overview prometheus.Registerer,
) (*queue.Queue, error) {
	o, err := a.brokerOptions(c, name)
	if err != nil {
		return nil, err
	}
	o.Registerer, o.Overview = own, overview
	return a.connect(ctx, o)
}

// observeQueue connects without touching the topology: for commands that look,
// also with credentials that may do no more.
func (a *app) observeQueue(ctx context.Context, c *config.Loaded, name string) (*queue.Queue, error) {
	o, err := a.brokerOptions(c, name)
	if err != nil {
		return nil, err
	}
	if c.Source("log-level") == "default" {
		o.Logger = discardLog()
	}
	q, err := queue.Open(ctx, o)
	return q, brokerHint(err)
}

// brokerOptions are the connection that the configuration names.
func (a *app) brokerOptions(c *config.Loaded, name string) (queue.Options, error) {
	if err := c.CheckNATSClient(); err != nil {
		return queue.Options{}, err
	}
	token, err := c.NATSToken()
	if err != nil {
		return queue.Options{}, err
	}
	url, err := c.NATSURL()
	if err != nil {
		return queue.Options{}, err
	}
	return queue.Options{
		URL: url, Name: name, Token: token, CredsFile: c.NATSCreds, CAFile: c.NATSCA, Logger: a.Log, TracerProvider: a.Tracer,
		Config: queueConfig(c),
	}, nil
}

// checkRole refuses credentials that are for something else, before the server
// does it in more words.
func checkRole(c *config.Loaded, want queue.Role) (queue.Creds, error) {
	if c.NATSCreds == "" {
		return queue.Creds{}, nil
	}
	creds, err := queue.ReadCreds(c.NATSCreds)
	if err != nil {
		return creds, err
	}
	if creds.Role != "" && creds.Role != want && creds.Role != queue.RoleAdmin {
		return creds, withHint(usagef("--nats-creds: %s is for a user of the role %s, not %s", c.NATSCreds, creds.Role, want),
			"`semantic nats add DIR %s NAME` makes one.", want)
	}
	return creds, nil
}

// connect opens the queue and ensures its topology; its errors say what to do.
func (a *app) connect(ctx context.Context, o queue.Options) (*queue.Queue, error) {
	q, err := queue.Open(ctx, o)
	if err != nil {
		return nil, brokerHint(err)
	}
	if err := q.Ensure(ctx); err != nil {
		a.closeQueue(ctx, q)
		return nil, brokerHint(err)
	}
	return q, nil
}

func (a *app) closeQueue(ctx context.Context, q *queue.Queue) {
	t := teardown{log: a.Log}
	t.add("leave NATS", closeBound, q.Close)
	t.run(ctx)
}

func queueConfig(c *config.Loaded) queue.Config {
	qc := queue.DefaultConfig()
	qc.ReplyPrefixes, qc.StealAfter, qc.InlineBytes = c.ReplyPrefixes, c.StealAfter, int64(c.InlineBytes)
	qc.Replicas, qc.AckWait = c.Replicas, c.AckWait
	qc.EventRetention, qc.ModelGrace = c.EventRetention, c.ModelGrace
	// A log lives for the longest deadline, and then for its retention.
	qc.EventsMaxAge = max(qc.EventsMaxAge, config.LongestDeadline+c.EventRetention)
	for class := range qc.DefaultDeadline {
		if class != "batch" {
			qc.DefaultDeadline[class] = c.DefaultDeadline
		}
	}
	return qc
}

func brokerHint(err error) error {
	switch {
	case errors.Is(err, queue.ErrUnauthorized):
		return withHint(err, "Give the server's token with --nats-token-file, or credentials with --nats-creds.")
	case errors.Is(err, queue.ErrStorageFull):
		return withHint(err, "The queue reserves about 5 GiB, and an embedded server takes at most three quarters of what is free "+
			"where its data is: free 7 GiB there, or choose another --data-dir.")
	case errors.Is(err, queue.ErrNoQuorum):
		return withHint(err, "Of three members two must be awake and reach each other.")
	case errors.Is(err, queue.ErrNoTopology) && errors.Is(err, queue.ErrForbidden):
		return withHint(err, "Start a gateway, or `semantic serve`, with this NATS server first.")
	case errors.Is(err, queue.ErrForbidden):
		return withHint(err, "Are these credentials for another role? After an upgrade, `semantic nats renew` and a restart of the "+
			"brokers give the roles what the new release needs.")
	case errors.Is(err, queue.ErrJetStreamUnavailable):
		return withHint(err, "Start that NATS server with JetStream (nats-server -js), or let `semantic serve` bring its own.")
	case errors.Is(err, queue.ErrNoTopology):
		return withHint(err, "Nothing of semantic has used this NATS server yet: start a gateway or a worker with it, or give another --nats.")
	case errors.As(err, new(*queue.TopologyError)):
		return withHint(err, "`semantic nats migrate` shows every stream, and applies what can be applied.")
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return withHint(err, "Say who signed its certificate with --nats-ca, or give --nats-creds: a file of `semantic nats init` says so, too.")
	case errors.Is(err, queue.ErrUnavailable):
		return withHint(err, "Is `semantic serve` (or a NATS server) running there? --nats names another one.")
	}
	return err
}

// discardLog is for clients whose terminal shows the answer, not the broker's
// comings and goings.
func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
