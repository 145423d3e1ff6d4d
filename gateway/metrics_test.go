package gateway

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// describing notes the names of everything that is registered.
type describing struct {
	prometheus.Registerer
	names map[string]bool
}

var fqName = regexp.MustCompile(`fqName: "([^"]+)"`)

func (d *describing) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 100)
	c.Describe(descs)
	close(descs)
	for desc := range descs {
		d.names[fqName.FindStringSubmatch(desc.String())[1]] = true
	}
	return d.Registerer.Register(c)
}

// sum adds up a metric's series that have the labels; of histograms, their counts.
func (b *bench) sum(name string, labels map[string]string) float64 {
	b.t.Helper()
	total := 0.0
	for _, m := range b.series(name) {
		have := map[string]string{}
		for _, l := range m.GetLabel() {
			have[l.GetName()] = l.GetValue()
		}
		if fits := func() bool {
			for k, v := range labels {
				if have[k] != v {
					return false
				}
			}
			return true
		}(); !fits {
			continue
		}
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return total
}

func (b *bench) series(name string) []*dto.Metric {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

// TestEachMetricMoves: every metric that the gateway registers is moved by what
// its help text says. One that nobody moves here fails the test.
func TestEachMetricMoves(t *testing.T) {
	d := &describing{names: map[string]bool{}}
	b := startBench(t, func(o *benchOptions) { d.Registerer, o.Registerer = o.Registerer, d })
	h := b.hold()
	answer := func() {
		b.inBackground(chatBody("", true), headerDurable, "true")
		<-h.started
		h.goOn <- struct{}{}
	}
	// finished is a job that has ended and can be read again.
	finished := func() string {
		leave := b.inBackground(chatBody("", true), headerDurable, "true")
		job := <-h.started
		h.goOn <- struct{}{}
		b.wantEnd(job, schemas.EventDone)
		leave()
		return job
	}
	chat := map[string]string{"api": apiChat, "model": "m", "class": "normal"}
	with := func(pairs ...string) map[string]string {
		labels := maps.Clone(chat)
		for i := 0; i < len(pairs); i += 2 {
			labels[pairs[i]] = pairs[i+1]
		}
		return labels
	}
	open := 0.0
	held := func() {
		b.inBackground(chatBody("", true))
		<-h.started
		open++
	}
	left := func() {
		leave := b.inBackground(chatBody("", true))
		<-h.started
		leave()
		<-h.cancelled // it shall not take the next one's leave to go on
	}
	for _, c := range []struct {
		metric string
		labels map[string]string
		move   func()
	}{
		{"semantic_request_total", with("status", "200", "code", codeOK), func() {
			go func() { <-h.started; h.goOn <- struct{}{} }()
			b.post(chatBody("", false))
		}},
		{"semantic_request_total", map[string]string{"api": apiChat, "model": modelUnknown, "status": "404", "code": "model_not_found"}, func() {
			b.post(strings.Replace(chatBody("", false), `"m"`, `"nobody serves this"`, 1))
		}},
		{"semantic_request_total", with("status", "499", "code", codeLeft), left},
		{"semantic_request_total", map[string]string{"api": apiOther, "model": "", "status": "404", "code": "not_found"}, func() {
			b.do(http.MethodGet, "/nothing", "")
		}},
		{"semantic_request_duration_seconds", chat, answer},
		{"semantic_request_duration_less_decode_seconds", chat, answer},
		{"semantic_time_to_first_token_seconds", chat, answer},
		{"semantic_request_rejections_total", map[string]string{"api": apiChat, "code": "invalid_request"}, func() { b.post("{}") }},
		{"semantic_request_panics_total", nil, func() {
			panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })
			b.g.identify(b.g.observe(b.g.recoverPanic(panics))).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}},
		{"semantic_response_bytes_total", map[string]string{"api": apiModels}, func() { b.do(http.MethodGet, "/v1/models", "") }},
		{"semantic_cancellations_total", map[string]string{"cause": causeLeft}, left},
		{"semantic_cancellations_total", map[string]string{"cause": causeDeleted}, func() {
			b.inBackground(chatBody("", true))
			job := <-h.started
			b.do(http.MethodDelete, "/v1/jobs/"+job, "", headerOwnerToken, b.token(job))
			<-h.cancelled
		}},
		{"semantic_stream_resumes_total", map[string]string{"outcome": resumeGoesOn}, func() {
			job := finished()
			b.events(job, b.token(job), job+":3.0")
		}},
		{"semantic_stream_resumes_total", map[string]string{"outcome": resumeRewound}, func() {
			job := finished()
			b.events(job, b.token(job), job+":99.0")
		}},
		{"semantic_stream_resumes_total", map[string]string{"outcome": resumeInvalid}, func() {
			job := finished()
			b.events(job, b.token(job), "no id")
		}},
		{"semantic_stream_resume_gap_seconds", nil, func() {
			job := finished()
			b.events(job, b.token(job), job+":3.0")
		}},
		// Last: what is open stays so.
		{"semantic_request_oldest_seconds", map[string]string{"api": apiChat}, held},
		{"semantic_requests_active", map[string]string{"api": apiChat}, held},
	} {
		eventually(t, "what ends has ended", func() bool { return b.sum("semantic_requests_active", nil) == open })
		before := b.sum(c.metric, c.labels)
		c.move()
		eventually(t, c.metric+" moves", func() bool { return b.sum(c.metric, c.labels) > before })
		delete(d.names, c.metric)
	}
	if len(d.names) > 0 {
		t.Errorf("nobody moves %v", slices.Sorted(maps.Keys(d.names)))
	}
}

// What is open is counted by API, and from when the oldest came.
func TestOpenRequests(t *testing.T) {
	b := startBench(t)
	h := b.hold()
	leave := b.inBackground(chatBody("", true))
	job := <-h.started
	read := b.readInBackground(job)
	b.wantMetric(t, `semantic_requests_active{api="chat_completions"} 1`)
	b.wantMetric(t, `semantic_requests_active{api="job_events"} 1`)
	b.wantMetric(t, `semantic_request_oldest_seconds{api="models"} 0`)
	open := b.g.tracker.openByAPI()
	if !open[apiChat].oldest.Before(open[apiJobEvents].oldest) {
		t.Errorf("%+v", open)
	}
	read()
	b.wantMetric(t, `semantic_requests_active{api="job_events"} 0`)
	leave()
	b.wantMetric(t, `semantic_requests_active{api="chat_completions"} 0`)
}

// The time between the first and the last token is not in the duration less decode,
// and in the whole one.
func TestDurationLessDecode(t *testing.T) {
	b := startBench(t)
	h := b.hold()
	stream := newSSEReader(t, b.post(chatBody("", true)).Body)
	for got := ""; got != "half "; { // the gateway has seen the first one before there is a last one
		e, ok := stream.next()
		if !ok {
			t.Fatal("the stream has ended")
		}
		got += text(t, []sseEvent{e})
	}
	h.goOn <- struct{}{}
	stream.rest()
	whole, less := "semantic_request_duration_seconds", "semantic_request_duration_less_decode_seconds"
	chat := map[string]string{"api": apiChat}
	eventually(t, "both are there", func() bool { return b.sum(whole, chat) == 1 && b.sum(less, nil) == 1 })
	took := func(name string) float64 {
		for _, m := range b.series(name) {
			for _, l := range m.GetLabel() {
				if l.GetName() == "api" && l.GetValue() == apiChat {
					return m.GetHistogram().GetSampleSum()
				}
			}
		}
		return 0
	}
	if took(less) <= 0 || took(less) >= took(whole) {
		t.Errorf("%v s less decode, %v s in all", took(less), took(whole))
	}
}

// The label of a model is one that somebody serves, whoever asks and by whatever way.
func TestModelLabel(t *testing.T) {
	b := startBench(t, expectM)
	ctx := b.context()
	for model, want := range map[string]string{"": "", "m": "m", "x": modelUnknown, strings.Repeat("x", 500): modelUnknown} {
		if got := b.g.models.label(ctx, model); got != want {
			t.Errorf("%.20q: %q, want %q", model, got, want)
		}
	}
	for i := range 20 {
		b.post(strings.Replace(chatBody("", false), `"m"`, `"m`+strings.Repeat("x", i+1)+`"`, 1))
	}
	b.wantMetric(t, `semantic_request_total{api="chat_completions",class="",code="model_not_found",model="unknown",status="404"} 20`)
}

// A sampled trace is the example of its buckets, where the scraper can take it, and
// native buckets are kept beside the classic ones.
func TestExemplars(t *testing.T) {
	for _, sampler := range []trace.Sampler{trace.AlwaysSample(), trace.NeverSample()} {
		provider := trace.NewTracerProvider(trace.WithSampler(sampler))
		b := startBench(t, func(o *benchOptions) { o.TracerProvider = provider })
		b.work(echo)
		b.post(chatBody("one two", false), headerRequestID, "example")
		b.endLine(t, "example") // it is measured
		data, err := io.ReadAll(b.do(http.MethodGet, "/metrics", "", "Accept", "application/openmetrics-text; version=1.0.0").Body)
		if err != nil {
			t.Fatal(err)
		}
		page := string(data)
		for _, name := range []string{
			"semantic_request_duration_seconds", "semantic_request_duration_less_decode_seconds", "semantic_time_to_first_token_seconds",
		} {
			has := regexp.MustCompile(name + `_bucket\{api="chat_completions".*# \{trace_id="[0-9a-f]{32}"\}`).MatchString(page)
			if want := sampler.Description() == "AlwaysOnSampler"; has != want {
				t.Errorf("%s, sampled by %s: an example: %v\n%s", name, sampler.Description(), has, page)
			}
			if h := b.series(name)[0].GetHistogram(); len(h.GetPositiveSpan()) == 0 || len(h.GetBucket()) == 0 {
				t.Errorf("%s: native and classic buckets: %v", name, h)
			}
		}
		if err := provider.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// A token costs the observation of it no allocation.
func TestObservingATokenAllocatesNothing(t *testing.T) {
	g := bareGateway(t, slog.New(slog.DiscardHandler))
	x := &exchange{g: g, call: &call{base: g.log, log: g.log, api: apiChat, model: "m", modelLabel: "m", start: time.Now()}}
	token := schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: schemas.Output{Tokens: []int32{1}, Text: "x"}}}
	x.observe(token) // the first one is measured
	// Others allocate meanwhile, and are counted; hardly each time.
	n := 1.0
	for try := 0; n > 0 && try < 10; try++ {
		n = testing.AllocsPerRun(1000, func() { x.observe(token) })
	}
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
