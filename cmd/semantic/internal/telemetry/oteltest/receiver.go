// Package oteltest is a receiver of traces for tests: real OTLP, over gRPC and
// over HTTP, in the test's process.
package oteltest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // what a collector takes
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// patience bounds every wait; none ends by it when all is well.
const patience = 60 * time.Second

// Span is a span as it was received.
type Span struct {
	*tracepb.Span
	// Resource has the attributes of the process that sent it.
	Resource map[string]string
}

// Service is the process's service.name.
func (s Span) Service() string { return s.Resource["service.name"] }

// Trace is the id of the span's trace, in hex.
func (s Span) Trace() string { return hex.EncodeToString(s.GetTraceId()) }

// ID is the span's own, in hex.
func (s Span) ID() string { return hex.EncodeToString(s.GetSpanId()) }

// Parent is its parent's id, in hex; empty for a root.
func (s Span) Parent() string { return hex.EncodeToString(s.GetParentSpanId()) }

// Begin is when it began.
func (s Span) Begin() time.Time { return time.Unix(0, int64(s.GetStartTimeUnixNano())) }

// End is when it ended.
func (s Span) End() time.Time { return time.Unix(0, int64(s.GetEndTimeUnixNano())) }

// Attr is an attribute's value as text; empty where there is none.
func (s Span) Attr(key string) string { return texts(s.GetAttributes())[key] }

// Events are the names of its events, in their order.
func (s Span) Events() (names []string) {
	for _, e := range s.GetEvents() {
		names = append(names, e.GetName())
	}
	return names
}

// LinksTo reports whether the span is linked to another.
func (s Span) LinksTo(other Span) bool {
	return slices.ContainsFunc(s.GetLinks(), func(l *tracepb.Span_Link) bool {
		return bytes.Equal(l.GetTraceId(), other.GetTraceId()) && bytes.Equal(l.GetSpanId(), other.GetSpanId())
	})
}

func texts(attrs []*common.KeyValue) map[string]string {
	m := make(map[string]string)
	for _, a := range attrs {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			m[a.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		case *common.AnyValue_DoubleValue:
			m[a.GetKey()] = strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
		case *common.AnyValue_BoolValue:
			m[a.GetKey()] = strconv.FormatBool(v.BoolValue)
		case *common.AnyValue_ArrayValue:
			var list []string
			for _, one := range v.ArrayValue.GetValues() {
				list = append(list, one.GetStringValue())
			}
			m[a.GetKey()] = strings.Join(list, ",")
		default:
			m[a.GetKey()] = ""
		}
	}
	return m
}

// Receiver collects spans. Safe for concurrent use.
type Receiver struct {
	collector.UnimplementedTraceServiceServer
	// URL is what OTEL_EXPORTER_OTLP_ENDPOINT is set to, Protocol what
	// OTEL_EXPORTER_OTLP_PROTOCOL is.
	URL, Protocol string

	mu      sync.Mutex
	spans   []Span
	headers map[string]string // of the last batch; names in lower case
	away    bool
	calls   int
	changed chan struct{} // closed and replaced at every call
}

// Start starts a receiver for a protocol: grpc, http/protobuf or http/json (which
// it does not read). It stops with the test.
func Start(t *testing.T, protocol string) *Receiver {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Receiver{URL: "http://" + l.Addr().String(), Protocol: protocol, changed: make(chan struct{})}
	served := make(chan struct{})
	if protocol == "grpc" {
		server := grpc.NewServer()
		collector.RegisterTraceServiceServer(server, r)
		go func() { defer close(served); _ = server.Serve(l) }()
		t.Cleanup(func() { server.Stop(); <-served })
		return r
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", r.post)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	go func() { defer close(served); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-served })
	return r
}

// Env is the environment that sends traces here, batch by batch at once.
func (r *Receiver) Env() []string {
	return []string{
		"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=" + r.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=" + r.Protocol,
		"OTEL_BSP_SCHEDULE_DELAY=20",
	}
}

// Away makes the receiver refuse what is sent, until it is called again with
// false.
func (r *Receiver) Away(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

// Headers are those of the last batch, with names in lower case.
func (r *Receiver) Headers() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headers
}

// Spans are those received so far.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Wait waits until ok, which is asked after every batch with what was received.
func (r *Receiver) Wait(t *testing.T, what string, ok func(spans []Span, calls int) bool) []Span {
	t.Helper()
	late := time.After(patience)
	for {
		r.mu.Lock()
		spans, calls, changed := slices.Clone(r.spans), r.calls, r.changed
		r.mu.Unlock()
		if ok(spans, calls) {
			return spans
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s: never received, only\n%s", what, Tree(spans))
		}
	}
}

// Tree shows spans for people.
func Tree(spans []Span) string {
	var lines strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&lines, "%s %s<%s %s %s %s\n", s.Trace(), s.ID(), s.Parent(), s.Service(), s.GetName(), strings.Join(s.Events(), ","))
	}
	return lines.String()
}

// Export implements the gRPC service.
func (r *Receiver) Export(ctx context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	headers := make(map[string]string)
	md, _ := metadata.FromIncomingContext(ctx)
	for name, values := range md {
		headers[name] = strings.Join(values, ",")
	}
	if !r.take(in, headers) {
		return nil, status.Error(codes.Unavailable, "away") //nolint:wrapcheck // gRPC reads its own
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *Receiver) post(w http.ResponseWriter, req *http.Request) {
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	in := new(collector.ExportTraceServiceRequest)
	if err == nil {
		err = proto.Unmarshal(data, in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	headers := make(map[string]string)
	for name, values := range req.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if !r.take(in, headers) {
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *Receiver) take(in *collector.ExportTraceServiceRequest, headers map[string]string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	close(r.changed)
	r.changed = make(chan struct{})
	if r.away {
		return false
	}
	r.headers = headers
	for _, resource := range in.GetResourceSpans() {
		about := texts(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				r.spans = append(r.spans, Span{Span: span, Resource: about})
			}
		}
	}
	return true
}
