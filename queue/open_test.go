package queue_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

// plainServer is a NATS server that is configured otherwise than ours.
func plainServer(t *testing.T, change func(*server.Options)) string {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, StoreDir: t.TempDir()}
	change(o)
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("server does not start")
	}
	return s.ClientURL()
}

func TestOpenErrors(t *testing.T) {
	srv := queuetest.Start(t, func(o *embedded.Options) { o.Token = "secret" })
	noJetStream := plainServer(t, func(*server.Options) {})
	twoAccounts := plainServer(t, func(o *server.Options) {
		o.JetStream = true
		account := server.NewAccount("plain")
		o.Accounts = []*server.Account{account}
		o.Users = []*server.User{{Username: "u", Password: "p", Account: account}}
	})
	notAllowed := plainServer(t, func(o *server.Options) {
		o.JetStream = true
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"semantic.>"}},
		}}}
	})
	withUser := func(url string) string { return "nats://u:p@" + url[len("nats://"):] }
	junk := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(junk, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options queue.Options
		want    error
	}{
		"nobody there":      {queue.Options{URL: "nats://127.0.0.1:1"}, queue.ErrUnavailable},
		"no token":          {queue.Options{URL: srv.ClientURL()}, queue.ErrUnauthorized},
		"wrong token":       {queue.Options{URL: srv.ClientURL(), Token: "guess"}, queue.ErrUnauthorized},
		"no JetStream":      {queue.Options{URL: noJetStream}, queue.ErrJetStreamUnavailable},
		"not this account":  {queue.Options{URL: withUser(twoAccounts)}, queue.ErrJetStreamUnavailable},
		"not this user":     {queue.Options{URL: withUser(notAllowed)}, queue.ErrJetStreamUnavailable},
		"no URL":            {queue.Options{}, queue.ErrInvalid},
		"no credentials":    {queue.Options{URL: srv.ClientURL(), CredsFile: "/nowhere"}, queue.ErrInvalid},
		"no CA":             {queue.Options{URL: srv.ClientURL(), CAFile: "/nowhere"}, queue.ErrInvalid},
		"CA is something":   {queue.Options{URL: srv.ClientURL(), CAFile: junk}, queue.ErrInvalid},
		"bad configuration": {queue.Options{URL: srv.ClientURL(), Config: queue.Config{AckWait: 1}}, queue.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if c.options.Config.AckWait == 0 {
				c.options.Config = queuetest.Patient()
			}
			q, err := queue.Open(t.Context(), c.options)
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if q != nil {
				t.Error("a queue beside the error")
			}
		})
	}
	var q *queue.Queue
	eventually(t, "the default is not too short for the broker to answer", func() bool {
		var err error
		q, err = queue.Open(t.Context(), queue.Options{URL: srv.ClientURL(), Token: "secret"})
		if err != nil && !errors.Is(err, queue.ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil
	})
	if q.Config().AckWait != 5*time.Second {
		t.Errorf("the zero Config is not the default: %+v", q.Config())
	}
	if err := q.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestInProcessAndClose(t *testing.T) {
	srv := queuetest.Start(t)
	registry := prometheus.NewRegistry()
	options := queue.Options{InProcess: srv, Registerer: registry, Config: queuetest.Patient()}
	q, err := queue.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := q.Healthy(); err != nil {
		t.Errorf("healthy: %v", err)
	}
	if _, err := queue.Open(t.Context(), options); err == nil {
		t.Error("two queues export the same metrics")
	}
	follower := follow(t, q, "o", "some-job", 0)
	c := claimer(t, q, "w")
	for range 2 {
		if err := q.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Healthy(); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("healthy after close: %v", err)
	}
	if _, err := q.Submit(t.Context(), queue.Submission{Job: body("x")}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("submit after close: %v", err)
	}
	if _, err := follower.Next(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("follower after close: %v", err)
	}
	if _, err := c.Next(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("claimer after close: %v", err)
	}
	if _, err := q.Workers(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("workers after close: %v", err)
	}
	// The metrics were taken back: the next queue can have them.
	q, err = queue.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
