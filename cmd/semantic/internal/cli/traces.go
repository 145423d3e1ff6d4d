package cli

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
)

// The values of service.name, where the environment has none.
const (
	serviceGateway = "semantic-gateway"
	serviceWorker  = "semantic-worker"
)

// tracesBound is how long the last spans may take at a stop; cutting off an
// exporter that does not answer comes on top.
const (
	tracesBound  = 5 * time.Second
	tracesMargin = 2 * time.Second
)

// traces makes the spans of this process go where the OTEL_ variables say, until
// down. Call it before anything is opened: what is opened later is closed earlier,
// and its last spans are sent. quiet: another process has the same environment, and
// has said what there is to say.
func (a *app) traces(ctx context.Context, service, instance string, quiet bool, r prometheus.Registerer, down *teardown) error {
	t, err := telemetry.NewTraces(ctx, telemetry.TraceOptions{
		Environ: a.Environ(), Service: service, Instance: instance, Version: a.Release,
		Console: a.Err, Logger: a.Log, Quiet: quiet, Registerer: r,
	})
	if bad := new(telemetry.VariableError); errors.As(err, &bad) {
		return withHint(&config.Error{Source: bad.Name, Err: errors.New(bad.Reason)},
			"docs/tracing.md lists the OTEL_ variables that semantic honours; OTEL_SDK_DISABLED=true turns all of them off.")
	}
	if err != nil {
		return err
	}
	a.Tracer = t.Provider()
	down.add("send the last spans", tracesBound+tracesMargin, func(ctx context.Context) error {
		bounded, cancel := context.WithTimeout(ctx, tracesBound)
		defer cancel()
		return t.Shutdown(bounded)
	})
	return nil
}
