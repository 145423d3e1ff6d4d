package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/schemas"
)

const (
	// natsStopBound is how long the embedded server takes at most to stop.
	natsStopBound = 20 * time.Second
	// storeName is the folder of the queue's store, in the data directory.
	storeName = "jetstream"
	// clusterTry bounds one try to use a cluster, clusterPause is between two.
	clusterTry   = 10 * time.Second
	clusterPause = time.Second
)

// openBroker starts the embedded server and connects to it.
func (s *serveProcess) openBroker(ctx context.Context, token string) error {
	c := s.config
	var err error
	s.nats, err = embedded.Start(ctx, s.app.embeddedOptions(c, s.dataDir, token))
	if err != nil {
		return natsHint(err)
	}
	s.down.add("stop NATS", natsStopBound, func(context.Context) error { s.nats.Stop(); return nil })
	o := queue.Options{
		InProcess: s.nats, Name: "semantic serve", Token: token, Logger: s.app.Log, Registerer: s.registry, Overview: s.registry,
		TracerProvider: s.app.Tracer, Config: queueConfig(c),
	}
	if s.nats.Members() == 1 {
		o.DiskFull = s.nats.DiskFull
	}
	if c.Cluster == "" {
		s.queue, err = s.app.connect(ctx, o)
	} else {
		o.CredsFile = filepath.Join(c.Cluster, natsinit.GatewayCreds)
		s.queue, err = s.app.join(ctx, o, s.nats.Members())
	}
	if err != nil {
		return err
	}
	s.down.add("leave NATS", closeBound, s.queue.Close)
	return nil
}

// embeddedOptions are the server that the configuration describes.
func (a *app) embeddedOptions(c *config.Loaded, dataDir, token string) embedded.Options {
	return embedded.Options{
		Host: c.NATSHost, Port: natsPort(c.NATSPort), Token: token, ConfigDir: c.Cluster,
		StoreDir: filepath.Join(dataDir, storeName), SyncInterval: c.SyncInterval, SyncAlways: c.Sync == "always",
		Logger: a.Log.With(schemas.LogPart, "nats"),
	}
}

// join connects to a cluster that may not be complete yet: the others are
// started one after the other, and nothing can be stored before.
func (a *app) join(ctx context.Context, o queue.Options, members int) (*queue.Queue, error) {
	said := false
	for {
		bounded, cancel := context.WithTimeout(ctx, clusterTry)
		q, err := a.connect(bounded, o)
		cancel()
		if err == nil || members == 1 || !errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil {
			return q, err
		}
		if !said {
			said = true
			a.notef("Waiting for the other members of the cluster: %v.\n", err)
		}
		timer := time.NewTimer(clusterPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// natsPort is the port as queue/embedded wants it.
func natsPort(port int) int {
	if port == 0 {
		return -1
	}
	return port
}

// natsURL is where the worker, and others on this machine, find the broker.
func (s *serveProcess) natsURL() string { return brokerURL(s.config, s.nats) }

func brokerURL(c *config.Loaded, server *embedded.Server) string {
	if c.Cluster != "" {
		return "tls://" + reachable(server.Host(), server.Port())
	}
	return "nats://" + reachable(c.NATSHost, server.Port())
}

// workerCreds is the file with the worker's credentials; empty where there are
// none.
func (s *serveProcess) workerCreds() string {
	if s.config.Cluster == "" {
		return ""
	}
	return filepath.Join(s.config.Cluster, natsinit.WorkerCreds)
}

func natsHint(err error) error {
	inUse, store, hidden := new(embedded.PortInUseError), new(embedded.StoreInUseError), new(embedded.HiddenStreamsError)
	switch {
	case errors.As(err, &inUse):
		return withHint(fmt.Errorf("port %d of %s, for NATS, is in use by another program", inUse.Port, inUse.Host),
			"Choose another one with --nats-port, or --nats-port 0 for any.")
	case errors.As(err, &store):
		return withHint(err, "Stop that process, or choose another directory with --data-dir.")
	case errors.As(err, &hidden):
		return withHint(err, "`semantic nats backup` takes them out of there and `semantic nats restore` puts them where they are seen; "+
			"or choose another directory with --data-dir.")
	case errors.Is(err, embedded.ErrConfig), errors.As(err, new(*embedded.MembersError)):
		return withHint(err, "`semantic nats init` makes such a folder.")
	}
	return err
}
