package gateway

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// metrics are the gateway's own. What a request meets elsewhere is measured
// where it happens: queue depth by queue, batches and tokens by engine.
type metrics struct {
	requests                   *prometheus.CounterVec
	duration, lessDecode, ttft *prometheus.HistogramVec
	rejections                 *prometheus.CounterVec
	panics                     prometheus.Counter
	bytes                      *prometheus.CounterVec
	cancellations, resumes     *prometheus.CounterVec
	resumeGap                  prometheus.Histogram
}

// Values of the label code beside the error codes: how a request ended that
// ended without an error, and one whose client left.
const (
	codeOK   = "ok"
	codeLeft = "cancelled"
)

// modelUnknown is the label of every model that nobody serves.
const modelUnknown = "unknown"

// Causes of semantic_cancellations_total: who asked.
const (
	causeLeft     = "client_left"
	causeDeleted  = "deleted"
	causeOperator = "operator"
)

// Outcomes of semantic_stream_resumes_total.
const (
	resumeGoesOn  = "resumed"
	resumeRewound = "log_rewound"
	resumeInvalid = "invalid"
)

// What the classic buckets are made for: the shortest is a refusal or a model
// without work to do, the longest a job of class batch.
func durationBuckets() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}
}

// histogram has native buckets beside classic ones.
func histogram(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: durationBuckets(),
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// newMetrics makes the metrics, and registers them where there is a registerer.
// What is open is read from the tracker at each scrape.
func newMetrics(reg prometheus.Registerer, t *tracker) (*metrics, error) {
	count := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	times := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(histogram(name, help), []string{"api", "model", "class"})
	}
	m := &metrics{
		requests: count("semantic_request_total",
			"Ended HTTP requests, by API, model, class, status and code (ok, the error's, or cancelled where the client left). "+
				"A stream that fails after its head was sent counts under its error.",
			"api", "model", "class", "status", "code"),
		duration: times("semantic_request_duration_seconds",
			"Time from a request's arrival to the end of its response, in seconds."),
		lessDecode: times("semantic_request_duration_less_decode_seconds",
			"The same without the time from the first token to the last, of requests whose job was stored: what waiting, prompt and overhead took."),
		ttft: times("semantic_time_to_first_token_seconds",
			"Time from a request's arrival at the gateway to its first generated text, in seconds, streamed or not."),
		rejections: count("semantic_request_rejections_total",
			"Requests refused before anything was stored for them, by API and error code.", "api", "code"),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "semantic_request_panics_total", Help: "Requests whose handler panicked; the log has the stack under the request's id.",
		}),
		bytes: count("semantic_response_bytes_total", "Bytes of response bodies that were written to clients, by API.", "api"),
		cancellations: count("semantic_cancellations_total",
			"Jobs that this gateway asked to be cancelled, by cause: the client left (and did not come back in its time) or "+
				"deleted the job, or an operator did by the admin interface.",
			"cause"),
		resumes: count("semantic_stream_resumes_total",
			"Streams asked for from behind a Last-Event-ID, by outcome: resumed, or refused since the id is invalid or not in the log any more.",
			"outcome"),
		resumeGap: prometheus.NewHistogram(histogram("semantic_stream_resume_gap_seconds",
			"Age of the oldest chunk that a resumed stream's client had missed, in seconds; 0 where it had missed none.")),
	}
	m.zero()
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.requests, m.duration, m.lessDecode, m.ttft, m.rejections, m.panics, m.bytes, m.cancellations, m.resumes, m.resumeGap,
		newOpenCollector(t),
	} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the gateway's metrics: %w", err)
	}
	return m, nil
}

// zero makes the series whose labels are known: a rate over one that appears
// with its first event misses that event.
func (m *metrics) zero() {
	for _, api := range apis() {
		m.bytes.WithLabelValues(api)
	}
	for _, cause := range []string{causeLeft, causeDeleted, causeOperator} {
		m.cancellations.WithLabelValues(cause)
	}
	for _, outcome := range []string{resumeGoesOn, resumeRewound, resumeInvalid} {
		m.resumes.WithLabelValues(outcome)
	}
}

// observe records a time, with the trace as its example where that is kept.
func observe(o prometheus.Observer, d time.Duration, sc trace.SpanContext) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && sc.IsSampled() && sc.HasTraceID() {
		e.ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": sc.TraceID().String()})
		return
	}
	o.Observe(d.Seconds())
}

// openCollector exports what the tracker has open, read when it is scraped.
type openCollector struct {
	t              *tracker
	active, oldest *prometheus.Desc
}

func newOpenCollector(t *tracker) prometheus.Collector {
	label := []string{"api"}
	return &openCollector{
		t:      t,
		active: prometheus.NewDesc("semantic_requests_active", "API requests that are open now.", label, nil),
		oldest: prometheus.NewDesc("semantic_request_oldest_seconds",
			"Age of the oldest API request that is open now, in seconds; 0 where none is.", label, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *openCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.active
	out <- c.oldest
}

// Collect implements prometheus.Collector.
func (c *openCollector) Collect(out chan<- prometheus.Metric) {
	now := time.Now()
	open := c.t.openByAPI()
	for _, api := range trackedAPIs() {
		age := time.Duration(0)
		if open[api].count > 0 {
			age = now.Sub(open[api].oldest)
		}
		out <- prometheus.MustNewConstMetric(c.active, prometheus.GaugeValue, float64(open[api].count), api)
		out <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, age.Seconds(), api)
	}
}
