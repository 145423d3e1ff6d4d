package metricsdoc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/supervisor"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/sim"
	"github.com/semantic-worker/semantic/gateway"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/worker"
)

// The roles that a metric is exported by. What a gateway exports, `semantic serve`
// does as well, and beside it what its worker does.
const (
	RoleGateway = "gateway"
	RoleWorker  = "worker"
	RoleServe   = "serve"
)

// All are the metrics that the program's own code exports, by name. Those of the Go
// runtime and the process are not among them: they are the libraries' and differ
// between systems.
func All(ctx context.Context) (metrics []Metric, err error) {
	dir, err := os.MkdirTemp("", "semantic-metrics-")
	if err != nil {
		return nil, fmt.Errorf("store of a broker: %w", err)
	}
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	undo = append(undo, func() error { return os.RemoveAll(dir) })
	broker, err := embedded.Start(ctx, embedded.Options{Port: -1, StoreDir: filepath.Join(dir, "nats"), MaxStore: 16 << 30})
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() error { broker.Stop(); return nil })
	var seen recorder
	open := func(own, overview prometheus.Registerer) (*queue.Queue, error) {
		q, err := queue.Open(ctx, queue.Options{InProcess: broker, Registerer: own, Overview: overview})
		if err == nil {
			undo = append(undo, func() error { return q.Close(ctx) })
		}
		return q, err
	}
	traces := func(role string) error {
		t, err := telemetry.NewTraces(ctx, telemetry.TraceOptions{
			Environ: []string{"OTEL_TRACES_EXPORTER=console"}, Service: role, Instance: role, Version: "none",
			Console: io.Discard, Logger: slog.New(slog.DiscardHandler), Registerer: seen.as(role),
		})
		if err == nil {
			undo = append(undo, func() error { return t.Shutdown(ctx) })
		}
		return err
	}
	for _, role := range []struct {
		name  string
		start func(prometheus.Registerer) error
	}{
		{RoleGateway, func(r prometheus.Registerer) error {
			q, err := open(r, r)
			if err != nil {
				return err
			}
			_, err = gateway.New(gateway.Options{Queue: q, Registerer: r, Config: gateway.DefaultConfig()})
			return errors.Join(err, traces(RoleGateway))
		}},
		{RoleWorker, func(r prometheus.Registerer) error {
			q, err := open(r, nil)
			if err != nil {
				return err
			}
			if undo, err = startWorker(ctx, q, r, undo); err != nil {
				return err
			}
			return traces(RoleWorker)
		}},
		{RoleServe, func(r prometheus.Registerer) error {
			_, err := supervisor.New(supervisor.Options{
				Name: "worker", Path: os.Args[0], Logger: slog.New(slog.DiscardHandler), Registerer: r,
				OnMessage: func(supervisor.Message) {}, OnExit: func(supervisor.Exit) {}, Config: supervisor.DefaultConfig(),
			})
			return err
		}},
	} {
		if err := role.start(seen.as(role.name)); err != nil {
			return nil, fmt.Errorf("%s: %w", role.name, err)
		}
	}
	return seen.metrics()
}

// startWorker makes an engine and a worker, and a claimer that claims nothing.
func startWorker(ctx context.Context, q *queue.Queue, r prometheus.Registerer, undo []func() error) ([]func() error, error) {
	backend, err := sim.New(sim.Options{})
	if err != nil {
		return undo, err
	}
	e, err := engine.New(engine.Options{Backend: backend, Registerer: r, Config: engine.DefaultConfig()})
	if err != nil {
		return undo, errors.Join(err, backend.Close())
	}
	undo = append(undo, e.Close)
	info := backend.Info()
	template, err := chat.Parse(info.ChatTemplate, info.Name, info.BOS, info.EOS)
	if err != nil {
		return undo, err
	}
	_, err = worker.New(worker.Options{
		Queue: q, Engine: e, Template: template, Registerer: r,
		Identity: worker.Identity{ID: "w", Incarnation: "w-1", Host: "host", Release: "none"},
	})
	if err != nil {
		return undo, err
	}
	if err := q.Ensure(ctx); err != nil {
		return undo, err
	}
	claimer, err := q.NewClaimer(ctx, queue.ClaimOptions{Model: info.Name, WorkerID: "w", Incarnation: "w-1"})
	if err == nil {
		undo = append(undo, func() error { claimer.Close(); return nil })
	}
	return undo, err
}
