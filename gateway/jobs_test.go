package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// described is a schema of openapi.yaml.
func described(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(schemas.OpenAPI(), &tree); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(mustJSON(tree)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("urn:openapi", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("urn:openapi#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// view reads a job, which fits its description.
func view(t *testing.T, resp reply) jobView {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %s, error %v", resp.StatusCode, data, err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := described(t, "Job").Validate(doc); err != nil {
		t.Errorf("%s\nis not as described: %v", data, err)
	}
	var v jobView
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (b *bench) view(job string) jobView {
	b.t.Helper()
	return view(b.t, b.do(http.MethodGet, "/v1/jobs/"+job, "", headerOwnerToken, b.token(job)))
}

// TestJobView: a job from its start to its end, as its client sees it.
func TestJobView(t *testing.T) {
	b := startBench(t)
	goOn := make(chan struct{})
	steps := make(chan string)
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		j.delta("<half> ")
		steps <- j.d.JobID
		select {
		case <-goOn:
		case <-ctx.Done():
			return
		}
		if j.job.Messages[0].Content == "fail" {
			j.fail(schemas.CodeEngineFailed, "broken")
			return
		}
		j.delta("whole")
		j.done()
	})
	for _, content := range []string{"answer", "fail"} {
		b.inBackground(chatBody(content, false), headerDurable, "true")
		job := <-steps
		v := b.view(job)
		if v.ID != job || v.Status != queue.StatusRunning || *v.Model != "m" || *v.Class != schemas.ClassNormal || v.Attempts != 1 ||
			*v.Worker != "w" || v.OnDisconnect != schemas.DisconnectKeep || v.Usage.CompletionTokens != 1 || v.EndedAt != nil ||
			string(v.Result) != "null" || v.Error != nil || v.ExpiresAt.Sub(*v.CreatedAt) != b.g.config.DefaultDeadline {
			t.Errorf("running: %+v", v)
		}
		goOn <- struct{}{}
		eventually(t, "the job ends", func() bool { v = b.view(job); return v.Status.Ended() })
		switch {
		case v.EndedAt == nil:
			t.Errorf("ended: %+v", v)
		case content == "answer" && (v.Status != queue.StatusDone || !strings.Contains(string(v.Result), `"content":"\u003chalf\u003e whole"`) ||
			v.Usage.CompletionTokens != 2 || v.Error != nil):
			t.Errorf("done: %+v", v)
		case content == "fail" && (v.Status != queue.StatusFailed || *v.Error.Code != schemas.CodeEngineFailed || string(v.Result) != "null"):
			t.Errorf("failed: %+v", v)
		}
		// What was asked for in one piece can also be read as a stream.
		if resp := b.events(job, b.token(job), ""); content == "answer" {
			if got := text(t, newSSEReader(t, resp.Body).rest()); got != "<half> whole" {
				t.Errorf("as a stream: %q", got)
			}
		}
		if resp := b.do(http.MethodHead, "/v1/jobs/"+job, "", headerOwnerToken, b.token(job)); resp.StatusCode != http.StatusOK {
			t.Errorf("HEAD: %d", resp.StatusCode)
		}
	}
}

// TestDeleteJob: cancels what waits and what runs, tells its readers, and leaves
// alone what has ended.
func TestDeleteJob(t *testing.T) {
	b := startBench(t, expectM, func(o *benchOptions) { o.Config.StatusHold = 0 })
	remove := func(job string) jobView {
		t.Helper()
		return view(t, b.do(http.MethodDelete, "/v1/jobs/"+job, "", headerOwnerToken, b.token(job)))
	}
	waiting := b.post(chatBody("waits", true))
	job := waiting.Header.Get(headerJob)
	if v := b.view(job); v.Status != queue.StatusQueued || v.Worker != nil || v.StartedAt != nil || v.Usage != nil {
		t.Errorf("waiting: %+v", v)
	}
	for range 2 {
		if v := remove(job); v.Status != queue.StatusCancelled || *v.Error.Code != schemas.CodeCancelled {
			t.Errorf("deleted: %+v", v)
		}
	}
	if got := newSSEReader(t, waiting.Body).rest(); len(got) != 1 || !strings.Contains(got[0].data, `"cancelled"`) || got[0].id == "" {
		t.Errorf("its reader hears %+v", got)
	}
	wantError(t, b.events(job, b.token(job), ""), schemas.CodeCancelled)
	eventually(t, "the job is stored no more", func() bool { return b.stored() == 0 })

	stopped := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		j.delta("half")
		if j.job.Messages[0].Content == "runs" {
			<-ctx.Done()
			close(stopped)
			return
		}
		j.done()
	})
	running := b.post(chatBody("runs", true))
	stream := newSSEReader(t, running.Body)
	_, _ = stream.next()
	job = running.Header.Get(headerJob)
	if v := remove(job); v.Status != queue.StatusCancelled {
		t.Errorf("deleted: %+v", v)
	}
	<-stopped
	rest := stream.rest()
	if last := rest[len(rest)-1]; !strings.Contains(last.data, `"cancelled"`) || last.id == "" {
		t.Errorf("its reader hears %+v", last)
	}
	job = b.post(chatBody("ends", false)).Header.Get(headerJob)
	if v := remove(job); v.Status != queue.StatusDone || string(v.Result) == "null" {
		t.Errorf("deleted after its end: %+v", v)
	}
}
