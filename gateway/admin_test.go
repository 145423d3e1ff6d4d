package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// Nobody without a key, no web page and no rebound name gets anything, on any route
// or none; nothing of it is a change.
func TestAdminDoor(t *testing.T) {
	b := startAdmin(t, withKeys("api-key"))
	w := b.operable(schemas.WorkerStatus{ID: "some"})
	body := map[string]string{
		"batch-window": `{"window_ms":5}`, "log-level": `{"level":"debug"}`, "drain": `{}`,
	}
	for _, line := range append(b.routes(), "GET /", "GET /admin/v1/nothing", "GET /v1/models", "GET /metrics", "GET /health/live") {
		method, path, _ := strings.Cut(line, " ")
		text := ""
		if method == http.MethodPut || method == http.MethodPost {
			text = body[path[strings.LastIndex(path, "/")+1:]]
		}
		for _, c := range []struct {
			code    schemas.Code
			headers []string
		}{
			{schemas.CodeUnauthorized, nil},
			{schemas.CodeUnauthorized, []string{"Authorization", "Bearer wrong"}},
			{schemas.CodeUnauthorized, []string{"Authorization", "Bearer api-key"}},
			{schemas.CodeUnauthorized, []string{"Authorization", "Bearer " + testAdminKey + "x"}},
			{schemas.CodeUnauthorized, []string{"Authorization", "Basic " + testAdminKey}},
			{schemas.CodeUnauthorized, []string{"Authorization", "Bearer "}},
			{schemas.CodeForbidden, []string{"Host", "evil.example.com", "Authorization", "Bearer " + testAdminKey}},
			{schemas.CodeForbidden, []string{"Host", "127.0.0.1.evil.example.com", "Authorization", "Bearer " + testAdminKey}},
			{schemas.CodeForbidden, []string{"Origin", "http://evil.example.com", "Authorization", "Bearer " + testAdminKey}},
			{schemas.CodeForbidden, []string{"Origin", b.http.URL, "Authorization", "Bearer " + testAdminKey}},
			{schemas.CodeForbidden, []string{"Origin", "null", "Authorization", "Bearer " + testAdminKey}},
		} {
			wantError(t, b.do(method, path, text, c.headers...), c.code)
		}
	}
	if w.now() != (queue.WorkerSettings{LogLevel: "info"}) || len(b.audits()) != 0 || w.draining {
		t.Errorf("something was changed: %+v %v", w.now(), b.audits())
	}
	// What is not of the admin interface is not on its listener, nor the other way.
	wantError(t, b.ask(http.MethodGet, "/v1/models", ""), schemas.CodeNotFound)
	api := startBeside(t, b.srv, withKeys("api-key"))
	wantError(t, api.do(http.MethodGet, "/admin/v1/workers", "", "Authorization", "Bearer "+testAdminKey), schemas.CodeNotFound)
	for header, value := range map[string]string{"X-Api-Key": testAdminKey, "Authorization": "bearer other-key"} {
		b.ok(b.do(http.MethodGet, "/admin/v1/workers", "", header, value), http.StatusOK, nil)
	}
	for _, l := range b.logs.lines(t) {
		if strings.Contains(fmt.Sprint(l), testAdminKey) {
			t.Errorf("the log has the key: %v", l)
		}
	}
}

// An interface without a key is not made.
func TestAdminNeedsAKey(t *testing.T) {
	g := bareGateway(t, nil)
	for _, keys := range [][]AdminKey{nil, {{Name: "anna"}}, {{Key: "a b"}}} {
		if _, err := NewAdmin(g, AdminOptions{Keys: keys}); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("%v: %v", keys, err)
		}
	}
}

// openapi-admin.yaml and the interface name the same paths, method by method.
func TestOpenAPIDescribesTheAdminRoutes(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.Unmarshal(schemas.OpenAPIAdmin(), &doc); err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for path, operations := range doc.Paths {
		for method := range operations {
			if method != "parameters" {
				described = append(described, strings.ToUpper(method)+" "+path)
			}
		}
	}
	a, err := NewAdmin(bareGateway(t, nil), AdminOptions{Keys: []AdminKey{{Key: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range a.routes() {
		for method := range rt.methods {
			if method != http.MethodHead {
				served = append(served, method+" "+rt.path)
			}
		}
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described %q\n   served %q", described, served)
	}
}

// settingsReply is the answer about a setting.
type settingsReply struct {
	Object string `json:"object"`
	Lasts  string `json:"lasts"`
	Data   []struct {
		Process  string   `json:"process"`
		Worker   string   `json:"worker"`
		WindowMS *float64 `json:"window_ms"`
		Level    string   `json:"level"`
		Before   *struct {
			WindowMS *float64 `json:"window_ms"`
			Level    string   `json:"level"`
		} `json:"before"`
		Error *openai.Error `json:"error"`
	} `json:"data"`
}

// The batch window of one worker and of all, and what the log has of it.
func TestAdminBatchWindow(t *testing.T) {
	b := startAdmin(t)
	wantError(t, b.ask(http.MethodPut, "/admin/v1/batch-window", `{"window_ms":5}`), schemas.CodeWorkerNotFound)
	var got settingsReply
	b.ok(b.ask(http.MethodGet, "/admin/v1/batch-window", ""), http.StatusOK, &got)
	if got.Object != "batch_window" || got.Lasts != "until_restart" || got.Data == nil || len(got.Data) != 0 {
		t.Errorf("without workers: %+v", got)
	}
	w1, w2 := b.operable(schemas.WorkerStatus{ID: "w1"}), b.operable(schemas.WorkerStatus{ID: "w/2"})
	b.ok(b.ask(http.MethodPut, "/admin/v1/workers/w%2F2/batch-window", `{"window_ms":2.5}`, headerUser, "anna@mini"), http.StatusOK, &got)
	if len(got.Data) != 1 || *got.Data[0].WindowMS != 2.5 || *got.Data[0].Before.WindowMS != 0 || got.Data[0].Worker != "w/2" {
		t.Errorf("one worker: %+v", got)
	}
	for range 2 { // it may be repeated
		b.ok(b.ask(http.MethodPut, "/admin/v1/batch-window", `{"window_ms":8}`), http.StatusOK, &got)
	}
	if w1.now().BatchWindowMS != 8 || w2.now().BatchWindowMS != 8 || len(got.Data) != 2 {
		t.Errorf("all: %+v", got)
	}
	b.ok(b.ask(http.MethodGet, "/admin/v1/workers/w1/batch-window", ""), http.StatusOK, &got)
	if len(got.Data) != 1 || *got.Data[0].WindowMS != 8 || got.Data[0].Before != nil {
		t.Errorf("read: %+v", got)
	}
	lines := b.made()
	i := slices.IndexFunc(lines, func(l map[string]any) bool { return l["target"] == "w/2" })
	if i < 0 || lines[i]["who"] != "anna (anna@mini)" || lines[i]["change"] != "batch_window" || lines[i]["before"] != 0.0 ||
		lines[i]["after"] != 2.5 || !strings.HasPrefix(fmt.Sprint(lines[i]["remote"]), "127.0.0.1:") || lines[i]["request_id"] == "" {
		t.Errorf("audit lines %v", lines)
	}
	w2.mu.Lock()
	defer w2.mu.Unlock()
	first := slices.IndexFunc(w2.asked, func(m queue.ControlMessage) bool { return m.Kind == queue.ControlBatchWindow })
	if m := w2.asked[first]; m.RequestID == "" || !strings.HasPrefix(m.By, "anna (anna@mini) from 127.0.0.1:") {
		t.Errorf("the worker heard %+v", m)
	}
}

// Of several workers each has its own answer, of one its error is the answer.
func TestAdminNamesTheWorker(t *testing.T) {
	b := startAdmin(t)
	b.operable(schemas.WorkerStatus{ID: "good"})
	b.operable(schemas.WorkerStatus{ID: "old"}, func(m queue.ControlMessage, r *queue.WorkerReport) *queue.WorkerReport {
		if r.Settings = nil; m.Kind != queue.ControlReport {
			return nil
		}
		return r
	})
	b.hung = "hung"
	b.operable(schemas.WorkerStatus{ID: "hung"}, func(queue.ControlMessage, *queue.WorkerReport) *queue.WorkerReport { return nil })
	b.operable(schemas.WorkerStatus{ID: "ending"}).draining = true
	b.operable(schemas.WorkerStatus{ID: "narrow"}, func(m queue.ControlMessage, r *queue.WorkerReport) *queue.WorkerReport {
		if m.Kind == queue.ControlBatchWindow {
			r.Before, r.Refused = nil, "its batch window may be 0 to 1s"
		}
		return r
	})
	for id, code := range map[string]schemas.Code{
		"old": schemas.CodeWorkerOutdated, "hung": schemas.CodeWorkerSilent, "nobody": schemas.CodeWorkerNotFound,
		"narrow": schemas.CodeInvalidRequest,
	} {
		got := wantError(t, b.ask(http.MethodPut, "/admin/v1/workers/"+id+"/batch-window", `{"window_ms":5}`), code)
		if want := map[string]string{"nobody": "good", "hung": "sleeps"}[id]; !strings.Contains(got.Message, want) {
			t.Errorf("%s: %q", id, got.Message)
		}
	}
	wantError(t, b.ask(http.MethodGet, "/admin/v1/workers/old/batch-window", ""), schemas.CodeWorkerOutdated)
	wantError(t, b.ask(http.MethodGet, "/admin/v1/workers/nobody", ""), schemas.CodeWorkerNotFound)
	wantError(t, b.ask(http.MethodPost, "/admin/v1/workers/ending/undrain", ""), schemas.CodeWorkerDraining)
	wantError(t, b.ask(http.MethodPost, "/admin/v1/workers/nobody/drain", `{}`), schemas.CodeWorkerNotFound)

	var got settingsReply
	b.ok(b.ask(http.MethodPut, "/admin/v1/batch-window", `{"window_ms":5}`), http.StatusMultiStatus, &got)
	codes := map[string]schemas.Code{}
	for _, d := range got.Data {
		if d.Error != nil {
			codes[d.Worker] = *d.Error.Code
		}
	}
	if len(got.Data) != 5 || len(codes) != 3 || codes["old"] != schemas.CodeWorkerOutdated || codes["hung"] != schemas.CodeWorkerSilent {
		t.Errorf("got %+v", got)
	}
	var workers struct {
		Data []struct {
			ID     string         `json:"id"`
			Report map[string]any `json:"report"`
			Error  *openai.Error  `json:"error"`
		} `json:"data"`
	}
	b.ok(b.ask(http.MethodGet, "/admin/v1/workers", ""), http.StatusOK, &workers)
	if len(workers.Data) != 5 || workers.Data[0].ID != "ending" ||
		workers.Data[2].ID != "hung" || workers.Data[2].Error == nil || workers.Data[1].Report == nil {
		t.Errorf("workers %+v", workers)
	}
}

// A pause is taken back; a drain is the worker's own, with its time.
func TestAdminDrain(t *testing.T) {
	b := startAdmin(t)
	w := b.operable(schemas.WorkerStatus{ID: "w1"})
	var got struct {
		Worker, State string
		Jobs          *int
	}
	for range 2 {
		b.ok(b.ask(http.MethodPost, "/admin/v1/workers/w1/drain", `{"pause":true}`), http.StatusOK, &got)
		if got.State != "paused" || !w.now().Paused {
			t.Errorf("paused: %+v", got)
		}
	}
	for range 2 {
		b.ok(b.ask(http.MethodPost, "/admin/v1/workers/w1/undrain", ""), http.StatusOK, &got)
		if got.State != "active" || w.now().Paused {
			t.Errorf("active: %+v", got)
		}
	}
	b.ok(b.ask(http.MethodPost, "/admin/v1/workers/w1/drain", `{"timeout_ms":1500}`), http.StatusAccepted, &got)
	if got.State != "draining" || got.Jobs == nil {
		t.Errorf("draining: %+v", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := w.asked[len(w.asked)-1]; last.Kind != queue.ControlDrain || *last.TimeoutMS != 1500 || last.By == "" {
		t.Errorf("told %+v", last)
	}
	if lines := b.made(); len(lines) != 5 || lines[2]["before"] != "paused" || lines[2]["after"] != "active" ||
		lines[4]["change"] != "drain" {
		t.Errorf("audit lines %v", lines)
	}
}

// Whoever sets at once: the last one in the log is what is.
func TestAdminLogLevel(t *testing.T) {
	b := startAdmin(t)
	b.operable(schemas.WorkerStatus{ID: "w1"})
	var got settingsReply
	b.ok(b.ask(http.MethodPut, "/admin/v1/log-level", `{"level":"ERROR"}`), http.StatusOK, &got)
	if len(got.Data) != 2 || got.Data[0].Process != "gateway" || got.Data[0].Before.Level != "info" || got.Data[1].Level != "error" {
		t.Errorf("all: %+v", got)
	}
	var all sync.WaitGroup
	for i := range 12 {
		level := schemas.LogLevels()[i%4]
		all.Go(func() {
			r := b.request(b.context(), http.MethodPut, "/admin/v1/gateway/log-level", `{"level":"`+level+`"}`,
				"Authorization", "Bearer "+testAdminKey)
			resp, err := b.http.Client().Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	all.Wait()
	b.ok(b.ask(http.MethodGet, "/admin/v1/gateway/log-level", ""), http.StatusOK, &got)
	value := any("info")
	for _, l := range b.audits() {
		if l["target"] == "gateway" {
			if l["before"] != value {
				t.Errorf("from %v, but it was %v", l["before"], value)
			}
			value = l["after"]
		}
	}
	if got.Data[0].Level != value {
		t.Errorf("it is %s, the log says %v", got.Data[0].Level, value)
	}
	fixed, err := NewAdmin(b.g, AdminOptions{Keys: []AdminKey{{Key: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	b.http.Config.Handler = fixed.Handler()
	resp := b.do(http.MethodPut, "/admin/v1/gateway/log-level", `{"level":"debug"}`, "Authorization", "Bearer k")
	wantError(t, resp, schemas.CodeUnsupportedParameter)
}
