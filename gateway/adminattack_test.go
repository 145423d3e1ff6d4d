package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Garbage is refused, in the name of what is wrong, and changes nothing.
func TestAdminGarbage(t *testing.T) {
	b := startAdmin(t)
	w := b.operable(schemas.WorkerStatus{ID: "w1"})
	const window, level, drain = "/admin/v1/batch-window", "/admin/v1/workers/w1/log-level", "/admin/v1/workers/w1/drain"
	for _, c := range []struct {
		method, path, body string
		code               schemas.Code
		param              string
		headers            []string
	}{
		{method: "PUT", path: window, body: `{"window_ms":5,"workers":"all"}`, code: schemas.CodeUnknownParameter, param: "workers"},
		{method: "PUT", path: window, body: `{"window_ms":-1}`, code: schemas.CodeInvalidRequest, param: "window_ms"},
		{method: "PUT", path: window, body: `{"window_ms":60001}`, code: schemas.CodeInvalidRequest, param: "window_ms"},
		{method: "PUT", path: window, body: `{"window_ms":1e400}`, code: schemas.CodeInvalidRequest, param: "window_ms"},
		{method: "PUT", path: window, body: `{"window_ms":"5ms"}`, code: schemas.CodeInvalidRequest, param: "window_ms"},
		{method: "PUT", path: window, body: `{}`, code: schemas.CodeInvalidRequest, param: "window_ms"},
		{method: "PUT", path: window, body: `{"window_ms":5`, code: schemas.CodeInvalidRequest},
		{method: "PUT", path: window, body: "\x00\xff", code: schemas.CodeInvalidRequest},
		{method: "PUT", path: window, code: schemas.CodeUnsupportedMediaType},
		{method: "PUT", path: window, body: strings.Repeat(" ", maxAdminBody) + `{"window_ms":5}`, code: schemas.CodeRequestTooLarge},
		{method: "PUT", path: window, body: `{"window_ms":5}`, code: schemas.CodeUnsupportedMediaType,
			headers: []string{"Content-Type", "text/plain"}},
		{method: "PUT", path: window, body: `{"window_ms":5}`, code: schemas.CodeUnsupportedMediaType,
			headers: []string{"Content-Encoding", "gzip"}},
		{method: "PUT", path: window + "?worker=w1", body: `{"window_ms":5}`, code: schemas.CodeUnknownParameter, param: "worker"},
		{method: "POST", path: window, body: `{"window_ms":5}`, code: schemas.CodeMethodNotAllowed},
		{method: "PUT", path: level, body: `{"level":"loud"}`, code: schemas.CodeInvalidRequest, param: "level"},
		{method: "PUT", path: level, body: `{"level":"debug","for":"1h"}`, code: schemas.CodeUnknownParameter, param: "for"},
		{method: "POST", path: drain, body: `{"timeout_ms":5,"pause":true}`, code: schemas.CodeInvalidRequest, param: "timeout_ms"},
		{method: "POST", path: drain, body: `{"timeout_ms":-5}`, code: schemas.CodeInvalidRequest, param: "timeout_ms"},
		{method: "POST", path: drain, body: `{"now":true}`, code: schemas.CodeUnknownParameter, param: "now"},
		{method: "POST", path: "/admin/v1/workers/w1/undrain", body: `{}`, code: schemas.CodeInvalidRequest},
		{method: "GET", path: "/admin/v1/workers?model=m", code: schemas.CodeUnknownParameter, param: "model"},
		{method: "GET", path: "/admin/v1/workers/" + strings.Repeat("x", 5000), code: schemas.CodeWorkerNotFound},
		{method: "GET", path: "/admin/v1/workers/%00%0a*.%3e", code: schemas.CodeWorkerNotFound},
		{method: "PUT", path: "/admin/v1/workers/%3e/batch-window", body: `{"window_ms":5}`, code: schemas.CodeWorkerNotFound},
		{method: "GET", path: "/admin/v1/jobs?state=done", code: schemas.CodeInvalidRequest, param: "state"},
		{method: "GET", path: "/admin/v1/jobs?class=x", code: schemas.CodeInvalidRequest, param: "class"},
		{method: "GET", path: "/admin/v1/jobs?limit=0", code: schemas.CodeInvalidRequest, param: "limit"},
		{method: "GET", path: "/admin/v1/jobs?limit=1e3", code: schemas.CodeInvalidRequest, param: "limit"},
		{method: "GET", path: "/admin/v1/jobs?limit=1&limit=2", code: schemas.CodeInvalidRequest, param: "limit"},
		{method: "GET", path: "/admin/v1/jobs?a;b", code: schemas.CodeInvalidRequest},
		{method: "GET", path: "/admin/v1/jobs/a%2Fb", code: schemas.CodeJobNotFound},
		{method: "DELETE", path: "/admin/v1/jobs/*", code: schemas.CodeJobNotFound},
		{method: "DELETE", path: "/admin/v1/dead/%3E", code: schemas.CodeJobNotFound},
		{method: "POST", path: "/admin/v1/dead/nothing/replay", code: schemas.CodeJobNotFound},
		{method: "POST", path: "/admin/v1/dead/nothing/replay", body: `{"keep":true}`, code: schemas.CodeInvalidRequest},
		{method: "GET", path: "/admin/v1/", code: schemas.CodeNotFound},
		{method: "GET", path: "/admin/v1//workers", code: schemas.CodeNotFound},
	} {
		got := wantError(t, b.ask(c.method, c.path, c.body, c.headers...), c.code)
		param := ""
		if got.Param != nil {
			param = *got.Param
		}
		if param != c.param || len(got.Message) > 1000 {
			t.Errorf("%s %s %.40s: param %q, message %q", c.method, c.path, c.body, param, got.Message)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.asked {
		if m.Kind != queue.ControlReport {
			t.Errorf("the worker was told %+v", m)
		}
	}
	if lines := b.audits(); len(lines) != 0 {
		t.Errorf("audit lines %v", lines)
	}
}

// A name that a client gives for the log cannot forge a line of it.
func TestAdminUserIsNoForgery(t *testing.T) {
	b := startAdmin(t)
	for _, user := range []string{"a b", "ü", strings.Repeat("x", 300), `root"`} {
		b.ok(b.ask(http.MethodPut, "/admin/v1/gateway/log-level", `{"level":"info"}`, headerUser, user), http.StatusOK, nil)
	}
	for i, l := range b.audits() {
		if want := []string{"anna", "anna", "anna", `anna (root")`}[i]; l["who"] != want {
			t.Errorf("who is %v, want %s", l["who"], want)
		}
	}
}

// A broker that is away is told as such, in time.
func TestAdminWithoutBroker(t *testing.T) {
	b := startAdmin(t, func(o *benchOptions) { o.Config.QueueTimeout = 300 * time.Millisecond })
	b.srv.Stop()
	for _, line := range []string{
		"GET /admin/v1/jobs", "GET /admin/v1/dead", "DELETE /admin/v1/jobs/j", "PUT /admin/v1/workers/w1/batch-window",
		"POST /admin/v1/workers/w1/drain",
	} {
		method, path, _ := strings.Cut(line, " ")
		body := ""
		if method == http.MethodPut {
			body = `{"window_ms":5}`
		}
		if wantError(t, b.ask(method, path, body), schemas.CodeQueueUnavailable); t.Failed() {
			t.Fatalf("%s: %v", line, b.logs.lines(t))
		}
	}
	b.ok(b.ask(http.MethodPut, "/admin/v1/gateway/log-level", `{"level":"debug"}`), http.StatusOK, nil)
}

// It is served while the gateway drains, when one looks most.
func TestAdminWhileDraining(t *testing.T) {
	b := startAdmin(t)
	b.g.Refuse()
	b.ok(b.ask(http.MethodGet, "/admin/v1/workers", ""), http.StatusOK, nil)
}

// Prometheus finds the workers that serve metrics to others, and only these.
func TestAdminTargets(t *testing.T) {
	b := startAdmin(t)
	read := func() (list []target) {
		b.ok(b.ask(http.MethodGet, "/admin/v1/targets", ""), http.StatusOK, &list)
		return list
	}
	if list := read(); list == nil || len(list) != 0 {
		t.Errorf("without workers %v", list)
	}
	b.operable(schemas.WorkerStatus{ID: "w1", MetricsAddr: "mini.local:9100"})
	b.operable(schemas.WorkerStatus{ID: "w2"})
	b.operable(schemas.WorkerStatus{ID: "w3", Host: "elsewhere", MetricsAddr: "127.0.0.1:9100"})
	b.operable(schemas.WorkerStatus{ID: "w4", Host: "here", MetricsAddr: "[::1]:9101"})
	list := read()
	if len(list) == 2 && list[1].Targets[0] == "[::1]:9101" {
		list = list[:1]
	}
	if len(list) != 1 || len(list[0].Targets) != 1 || list[0].Targets[0] != "mini.local:9100" || list[0].Labels["worker"] != "w1" ||
		list[0].Labels["__meta_semantic_model"] != "m" {
		t.Errorf("targets %+v", list)
	}
}

// Jobs of all owners are listed, shown without what they say, and cancelled.
func TestAdminJobs(t *testing.T) {
	b := startBench(t, expectM, withKeys("k"))
	b.inBackground(chatBody("secret words", false), "Authorization", "Bearer k")
	eventually(t, "the job is stored", func() bool { return b.stored() > 0 })
	a := b.adminOf()
	var list struct {
		Data []queue.JobSummary
		More bool
	}
	a.ok(a.ask(http.MethodGet, "/admin/v1/jobs?state=queued&model=m&limit=10", ""), http.StatusOK, &list)
	if len(list.Data) != 1 || list.More {
		t.Fatalf("jobs %+v", list)
	}
	id, owner := list.Data[0].JobID, list.Data[0].Owner
	wantError(t, a.ask(http.MethodGet, "/admin/v1/jobs/"+id+"?owner=nobody", ""), schemas.CodeJobNotFound)
	resp := a.ask(http.MethodGet, "/admin/v1/jobs/"+id+"?owner="+owner, "")
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), `"queued"`) || strings.Contains(string(text), "secret") {
		t.Errorf("%s, %v", text, err)
	}
	for range 2 {
		var job adminJob
		a.ok(a.ask(http.MethodDelete, "/admin/v1/jobs/"+id, ""), http.StatusOK, &job)
		if job.Status != queue.StatusCancelled || job.Owner != owner {
			t.Errorf("cancelled: %+v", job)
		}
	}
	if got := a.sum("semantic_cancellations_total", map[string]string{"cause": causeOperator}); got != 1 {
		t.Errorf("%v cancellations counted", got)
	}
	if lines := a.audits(); len(lines) != 1 || lines[0]["change"] != "job.cancel" || lines[0]["before"] != "queued" ||
		lines[0]["after"] != "cancelled" {
		t.Errorf("audit lines %v", lines)
	}
}

// Dead jobs are listed, shown without the request, tried again and dropped.
func TestAdminDead(t *testing.T) {
	b := startBench(t)
	died := 0
	b.work(func(_ context.Context, j *claimed) {
		j.start()
		if died++; died > 2 { // the replay of one ends well
			j.done()
			return
		}
		if err := j.d.Park(j.ctx, j.d.Evidence(j.ctx), schemas.Failed{Code: schemas.CodeWorkerLost, Message: "gone"}); err != nil {
			t.Error(err)
		}
		j.fail(schemas.CodeWorkerLost, "gone")
	})
	for _, words := range []string{"secret words", "other words"} {
		wantError(t, b.post(chatBody(words, false)), schemas.CodeWorkerLost)
	}
	a := b.adminOf()
	var list struct{ Data []deadView }
	a.ok(a.ask(http.MethodGet, "/admin/v1/dead", ""), http.StatusOK, &list)
	if len(list.Data) != 2 || list.Data[0].Code != schemas.CodeWorkerLost || list.Data[0].Owner != "local" {
		t.Fatalf("dead jobs %+v", list)
	}
	first, second := list.Data[0].Job, list.Data[1].Job
	text, err := io.ReadAll(a.ask(http.MethodGet, "/admin/v1/dead/"+first+"?owner=local&model=m", "").Body)
	if err != nil || !strings.Contains(string(text), `"attempts"`) || strings.Contains(string(text), "words") {
		t.Errorf("%s, %v", text, err)
	}
	wantError(t, a.ask(http.MethodGet, "/admin/v1/dead/"+first+"?model=other", ""), schemas.CodeJobNotFound)
	var replay struct {
		Job      string
		ReplayOf string `json:"replay_of"`
	}
	a.ok(a.ask(http.MethodPost, "/admin/v1/dead/"+first+"/replay", ""), http.StatusOK, &replay)
	if replay.Job == "" || replay.Job == first || replay.ReplayOf != first {
		t.Errorf("replay %+v", replay)
	}
	eventually(t, "the replay is done", func() bool {
		s, err := b.q.State(b.context(), "local", replay.Job)
		return err == nil && s.Status == queue.StatusDone
	})
	a.ok(a.ask(http.MethodDelete, "/admin/v1/dead/"+second, ""), http.StatusOK, nil)
	wantError(t, a.ask(http.MethodDelete, "/admin/v1/dead/"+second, ""), schemas.CodeJobNotFound)
	if lines := a.audits(); len(lines) != 2 || lines[0]["change"] != "dead.replay" || lines[0]["after"] != replay.Job ||
		lines[1]["change"] != "dead.drop" || lines[1]["target"] != second {
		t.Errorf("audit lines %v", lines)
	}
}

// What is answered is what openapi-admin.yaml describes.
func TestOpenAPIDescribesTheAdminAnswers(t *testing.T) {
	var tree any
	if err := yaml.Unmarshal(schemas.OpenAPIAdmin(), &tree); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("urn:admin", doc); err != nil {
		t.Fatal(err)
	}
	b := startAdmin(t)
	b.operable(schemas.WorkerStatus{ID: "w1", MetricsAddr: "mini:1"})
	b.operable(schemas.WorkerStatus{ID: "w2"}, func(_ queue.ControlMessage, r *queue.WorkerReport) *queue.WorkerReport {
		r.Settings = nil
		return r
	})
	for _, c := range []struct{ line, body, schema string }{
		{"GET /admin/v1/targets", "", "Targets"},
		{"GET /admin/v1/workers", "", "WorkerList"},
		{"GET /admin/v1/workers/w1", "", "Worker"},
		{"PUT /admin/v1/batch-window", `{"window_ms":5}`, "Settings"},
		{"GET /admin/v1/batch-window", "", "Settings"},
		{"PUT /admin/v1/log-level", `{"level":"warn"}`, "Settings"},
		{"GET /admin/v1/gateway/log-level", "", "Settings"},
		{"POST /admin/v1/workers/w1/drain", `{"pause":true}`, "Drain"},
		{"POST /admin/v1/workers/w1/undrain", "", "Drain"},
		{"POST /admin/v1/workers/w1/drain", "", "Drain"},
		{"GET /admin/v1/jobs", "", "JobList"},
		{"GET /admin/v1/dead", "", "DeadList"},
		{"GET /admin/v1/dead/none", "", "Error"},
	} {
		schema, err := compiler.Compile("urn:admin#/components/schemas/" + c.schema)
		if err != nil {
			t.Fatal(err)
		}
		method, path, _ := strings.Cut(c.line, " ")
		answer, err := jsonschema.UnmarshalJSON(b.ask(method, path, c.body).Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(answer); err != nil {
			t.Errorf("%s: %v: %v", c.line, answer, err)
		}
	}
}
