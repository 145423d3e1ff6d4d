package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// The defaults of OTEL_BSP_MAX_QUEUE_SIZE and OTEL_BSP_MAX_EXPORT_BATCH_SIZE.
const (
	defaultQueue = sdktrace.DefaultMaxQueueSize
	defaultBatch = sdktrace.DefaultMaxExportBatchSize
)

// TraceOptions are what [NewTraces] needs; all but Quiet and Registerer are required.
type TraceOptions struct {
	// Environ is the process's environment: its OTEL_ variables are the
	// configuration. It must be the real one; the SDK reads that by itself.
	Environ []string
	// Service is service.name where OTEL_SERVICE_NAME and
	// OTEL_RESOURCE_ATTRIBUTES have none; Instance and Version are
	// service.instance.id and service.version.
	Service, Instance, Version string
	// Console gets the spans of OTEL_TRACES_EXPORTER=console, one JSON object a
	// line.
	Console io.Writer
	Logger  *slog.Logger
	// Quiet leaves out what another process with the same environment says.
	Quiet bool
	// Registerer gets the metrics of the exporters, where there are any; nil
	// means none.
	Registerer prometheus.Registerer
}

// Traces are a process's spans on their way out. Safe for concurrent use.
type Traces struct {
	sdk     *sdktrace.TracerProvider // nil without an exporter
	metrics *traceMetrics
}

// NewTraces sends spans where the OTEL_ variables say; by default there are none,
// at no cost. A variable that cannot be honoured is a *VariableError. Whether
// the receiver answers is seen when there is something to send.
func NewTraces(ctx context.Context, o TraceOptions) (*Traces, error) {
	t := new(Traces)
	v := otelVariables(o.Environ)
	if v.disabled() {
		return t, nil
	}
	unused, err := v.check()
	if err != nil {
		return nil, err
	}
	if len(unused) > 0 && !o.Quiet {
		o.Logger.Warn("these OTEL_ variables mean nothing here", schemas.LogVariables, unused)
	}
	if len(v.exporters()) == 0 {
		if endpoint := v.nameOf("ENDPOINT"); v[endpoint] != "" && v[variableExporters] == "" && !o.Quiet {
			o.Logger.Warn("no traces are sent: set "+variableExporters+"=otlp to send them", schemas.LogVariables, []string{endpoint})
		}
		return t, nil
	}
	return t, t.start(ctx, v, o)
}

func (t *Traces) start(ctx context.Context, v variables, o TraceOptions) error {
	about, err := describe(ctx, o)
	if err != nil {
		return err
	}
	if t.metrics, err = newTraceMetrics(o.Registerer); err != nil {
		return err
	}
	// What the SDK cannot return it tells these; it has no others than global ones.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Logger.Debug("OpenTelemetry", schemas.LogError, err) }))
	otel.SetLogger(logr.FromSlogHandler(o.Logger.Handler()))
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(about)}
	for _, name := range v.exporters() {
		e, err := newExporter(ctx, name, v, o)
		if err != nil {
			t.metrics.unregister()
			return err
		}
		room := number(v["OTEL_BSP_MAX_QUEUE_SIZE"], defaultQueue)
		options = append(options, sdktrace.WithSpanProcessor(newSender(e, name, room, t.metrics, o.Logger)))
	}
	t.sdk = sdktrace.NewTracerProvider(options...)
	o.Logger.Info("traces are on", schemas.LogExporter, v.exporters(), schemas.LogSampler, sampler(v))
	return nil
}

// sampler is the one that is used, for people.
func sampler(v variables) string {
	name := v[variableSampler]
	if name == "" {
		name = "parentbased_always_on"
	}
	if arg := v[variableSamplerArg]; arg != "" {
		name += " " + arg
	}
	return name
}

// Provider makes the tracers; nil where nothing is sent.
func (t *Traces) Provider() trace.TracerProvider {
	if t.sdk == nil {
		return nil
	}
	return t.sdk
}

// Shutdown sends what is left, until ctx ends, and stops the exporters. Spans
// that end later are dropped. Call it once.
func (t *Traces) Shutdown(ctx context.Context) error {
	if t.sdk == nil {
		return nil
	}
	defer t.metrics.unregister()
	if err := t.sdk.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

// describe is the resource: what all spans of this process have in common. What
// the environment says of it wins.
func describe(ctx context.Context, o TraceOptions) (*resource.Resource, error) {
	r, err := resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithAttributes(semconv.ServiceName(o.Service), semconv.ServiceInstanceID(o.Instance), semconv.ServiceVersion(o.Version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(), resource.WithFromEnv(),
	)
	if errors.Is(err, resource.ErrSchemaURLConflict) {
		err = nil // the SDK's own detectors lag behind; the attributes are all there
	}
	if err != nil {
		return nil, fmt.Errorf("describe this process for traces: %w", err)
	}
	return r, nil
}

// newExporter makes one of the SDK's, which read the environment by themselves.
// Where that names no endpoint it is the specification's default, in clear text;
// the SDK's own would be with TLS.
func newExporter(ctx context.Context, name string, v variables, o TraceOptions) (e sdktrace.SpanExporter, err error) {
	var overGRPC []otlptracegrpc.Option
	var overHTTP []otlptracehttp.Option
	if v.otlp("ENDPOINT") == "" {
		overGRPC = append(overGRPC, otlptracegrpc.WithEndpointURL("http://localhost:4317"))
		overHTTP = append(overHTTP, otlptracehttp.WithEndpointURL("http://localhost:4318/v1/traces"))
	}
	switch {
	case name == exporterConsole:
		e, err = stdouttrace.New(stdouttrace.WithWriter(o.Console))
	case v.protocol() == protocolGRPC:
		e, err = otlptracegrpc.New(ctx, overGRPC...)
	default:
		e, err = otlptracehttp.New(ctx, overHTTP...)
	}
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", variableExporters, name, err)
	}
	return e, nil
}
