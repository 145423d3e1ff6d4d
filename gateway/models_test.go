package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

func TestModels(t *testing.T) {
	b := startBench(t, func(o *benchOptions) {
		o.Expect = []string{"loading"}
		o.Config.Aliases = []Alias{
			{Pattern: "gpt-*", Model: "org/qwen"},
			{Pattern: "m", Model: "org/qwen"}, // never asked: m is a model's own name
			{Pattern: "gpt-4*", Model: "m"},   // never reached: the first match wins
			{Pattern: "future-*", Model: "not-here"},
		}
	})
	b.announce(schemas.WorkerStatus{ID: "w1", Model: "m"})
	b.announce(schemas.WorkerStatus{ID: "w2", Model: "org/qwen", Context: 32768, Cells: 10, CellsFree: 10, Capacity: 2})
	b.announce(schemas.WorkerStatus{ID: "w3", Model: "old", Draining: true})
	eventually(t, "the workers are seen", func() bool {
		workers, err := b.q.Workers(b.context())
		return err == nil && len(workers) == 3
	})

	var list openai.ModelList
	decode(t, b.do(http.MethodGet, "/v1/models", ""), &list)
	status := map[string]string{}
	for _, m := range list.Data {
		status[m.ID] = m.Semantic.Status
	}
	want := map[string]string{
		"m": openai.StatusReady, "org/qwen": openai.StatusReady,
		"old": openai.StatusDraining, "loading": openai.StatusWaiting,
	}
	if len(status) != len(want) {
		t.Errorf("got %v, want %v", status, want)
	}
	for id, s := range want {
		if status[id] != s {
			t.Errorf("%s is %q, want %q", id, status[id], s)
		}
	}

	for requested, id := range map[string]string{
		"m": "m", "org/qwen": "org/qwen", "org%2Fqwen": "org/qwen", "gpt-4o": "org/qwen", "loading": "loading",
	} {
		var m openai.Model
		decode(t, b.do(http.MethodGet, "/v1/models/"+requested, ""), &m)
		if m.ID != id {
			t.Errorf("%s answers as %s, want %s", requested, m.ID, id)
		}
		if id == "org/qwen" && m.MaxModelLen != 32768 {
			t.Errorf("max_model_len %d", m.MaxModelLen)
		}
	}

	got := wantError(t, b.do(http.MethodGet, "/v1/models/nobody", ""), schemas.CodeModelNotFound)
	for _, known := range []string{"loading", "m", "old", "org/qwen"} {
		if !strings.Contains(got.Message, known) {
			t.Errorf("%q does not name %s", got.Message, known)
		}
	}
	got = wantError(t, b.do(http.MethodGet, "/v1/models/future-1", ""), schemas.CodeModelNotFound)
	if !strings.Contains(got.Message, "not-here") {
		t.Errorf("%q does not say what the alias stands for", got.Message)
	}
	got = wantError(t, b.do(http.MethodGet, "/v1/models/"+strings.Repeat("ü", 5000), ""), schemas.CodeModelNotFound)
	if len(got.Message) > 1000 {
		t.Errorf("a message of %d bytes", len(got.Message))
	}
}

func TestAliasAnswersAsTheRealModel(t *testing.T) {
	b := startBench(t, func(o *benchOptions) { o.Config.Aliases = []Alias{{Pattern: "gpt-*", Model: "m"}} })
	b.work(echo)
	body := strings.Replace(chatBody("hi", false), `"m"`, `"gpt-4o"`, 1)
	var got openai.ChatCompletion
	resp := b.post(body)
	decode(t, resp, &got)
	if got.Model != "m" {
		t.Errorf("the answer names %q", got.Model)
	}
	log, err := b.q.Log(b.context(), ownerLocal, resp.Header.Get(headerJob))
	if err != nil {
		t.Fatal(err)
	}
	if s := log[0].Submitted; s == nil || s.Model != "m" {
		t.Errorf("submitted %+v", s)
	}
	if line := b.endLine(t, resp.Header.Get(headerRequestID)); line[schemas.LogModel] != "m" || line[schemas.LogAlias] != "gpt-4o" {
		t.Errorf("logged model %v, alias %v", line[schemas.LogModel], line[schemas.LogAlias])
	}
}

func TestNoModelKnownSaysSo(t *testing.T) {
	got := wantError(t, startBench(t).post(chatBody("x", false)), schemas.CodeModelNotFound)
	if !strings.Contains(got.Message, "no worker has announced any model") {
		t.Errorf("message %q", got.Message)
	}
}

func TestModelsWithoutBroker(t *testing.T) {
	b := startBench(t, shortQueueTimeout)
	b.srv.Stop()
	for _, path := range []string{"/v1/models", "/v1/models/x"} {
		wantError(t, b.do(http.MethodGet, path, ""), schemas.CodeQueueUnavailable)
	}
}

func decode(t *testing.T, resp reply, into any) {
	t.Helper()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d", resp.Request.URL, resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// TestExpectedModel: what serve expects is known before a worker announces it, and
// may be forgotten once one has.
func TestExpectedModel(t *testing.T) {
	b := startBench(t, expectM)
	known := func() bool {
		t.Helper()
		names, err := b.g.models.list(b.context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(names, "m")
	}
	if !known() {
		t.Error("not known before a worker is there")
	}
	worker := b.announce(schemas.WorkerStatus{})
	if !known() {
		t.Error("not known while a worker serves it")
	}
	if err := worker.Close(b.context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is forgotten", func() bool { return b.q.ForgetModel(b.context(), "m") == nil })
	if known() {
		t.Error("known after it was forgotten")
	}
}
