package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

func TestChatWhole(t *testing.T) {
	b := startBench(t)
	b.work(echo)
	resp := b.post(chatBody("one two three", false))
	var got openai.ChatCompletion
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("status %d, type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	if c := *got.Choices[0].Message.Content; c != "one two three" {
		t.Errorf("content %q", c)
	}
	if got.Model != "m" || got.Usage.CompletionTokens != 3 || got.Usage.PromptTokens != 3 {
		t.Errorf("got %+v", got)
	}
	job := resp.Header.Get(headerJob)
	if !queue.ValidJobID(job) || got.ID != "chatcmpl-"+job {
		t.Errorf("job %q, id %q", job, got.ID)
	}
}

func TestChatStream(t *testing.T) {
	b := startBench(t)
	b.work(echo)
	resp := b.post(chatBody("one two three", true))
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d, type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	events := newSSEReader(t, resp.Body).rest()
	if got := text(t, events); got != "one two three" {
		t.Errorf("text %q", got)
	}
	if last := events[len(events)-1]; last.data != openai.DoneData {
		t.Errorf("the last event is %+v", last)
	}
	job := resp.Header.Get(headerJob)
	var before schemas.ChunkID
	for _, e := range events[:len(events)-1] {
		id, err := schemas.ParseChunkID(e.id)
		if err != nil || id.Job != job || !id.After(before) {
			t.Errorf("id %q of job %s after %v: %v", e.id, job, before, err)
		}
		before = id
	}
}

// Every chunk is sent when it happens: the worker goes on only after the client
// has read what came before.
func TestStreamFlushesEachEvent(t *testing.T) {
	b := startBench(t)
	read := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		for range 3 {
			j.delta("x")
			select {
			case <-read:
			case <-ctx.Done():
				return
			}
		}
		j.done()
	})
	stream := newSSEReader(t, b.post(chatBody("", true)).Body)
	for got := ""; got != "xxx"; {
		e, ok := stream.next()
		if !ok {
			t.Fatalf("the stream ended after %q", got)
		}
		if piece := text(t, []sseEvent{e}); piece != "" {
			got += piece
			read <- struct{}{}
		}
	}
	stream.rest()
}

func TestKeepAliveWhileWaitingAndWorking(t *testing.T) {
	b := startBench(t, expectM, func(o *benchOptions) { o.Config.KeepAlive = 20 * time.Millisecond })
	resp := b.post(chatBody("hello", true))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	stream := newSSEReader(t, resp.Body)
	comment := func() {
		t.Helper()
		for range 2 {
			if e, ok := stream.next(); !ok || e.comment == "" || e.data != "" {
				t.Fatalf("got %+v, %v, want a comment", e, ok)
			}
		}
	}
	comment()
	silent := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		select {
		case <-silent:
			echo(ctx, j)
		case <-ctx.Done():
		}
	})
	comment()
	close(silent)
	if got := text(t, stream.rest()); got != "hello" {
		t.Errorf("text %q", got)
	}
}

// A job fails after its first token: the status is out, so the error is an
// event, and no [DONE] pretends that all is well.
func TestErrorInMidStream(t *testing.T) {
	b := startBench(t)
	b.work(func(_ context.Context, j *claimed) {
		j.start()
		j.delta("half an ")
		j.fail(schemas.CodeEngineFailed, "the engine broke")
	})
	body := strings.Replace(chatBody("", true), "{", `{"stream_options":{"include_usage":true},`, 1)
	resp := b.post(body)
	events := newSSEReader(t, resp.Body).rest()
	last := events[len(events)-1]
	var got openai.ErrorBody
	if err := json.Unmarshal([]byte(last.data), &got); err != nil || got.Error.Code == nil {
		t.Fatalf("%+v: %v", last, err)
	}
	if *got.Error.Code != schemas.CodeEngineFailed || got.Error.Message != "the engine broke" || last.id == "" {
		t.Errorf("got %+v with id %q", got.Error, last.id)
	}
	if !strings.Contains(events[len(events)-2].data, `"completion_tokens":1`) {
		t.Errorf("no usage before the error: %+v", events)
	}
	b.wantMetric(t, `semantic_request_total{api="chat_completions",class="normal",code="engine_failed",model="m",status="500"} 1`)
}

// What a worker refuses without starting it has the status of its error.
func TestRefusedByTheWorkerHasItsStatus(t *testing.T) {
	b := startBench(t)
	b.work(func(_ context.Context, j *claimed) { j.fail(schemas.CodeContextLengthExceeded, "too long") })
	for _, stream := range []bool{true, false} {
		wantError(t, b.post(chatBody("", stream)), schemas.CodeContextLengthExceeded)
	}
}

// That a worker gave the job back does not say that it can be answered.
func TestStreamHeadWaitsOverRequeued(t *testing.T) {
	b := startBench(t, func(o *benchOptions) { o.Config.KeepAlive, o.Config.StatusHold = time.Hour, time.Hour })
	b.work(func(_ context.Context, j *claimed) {
		j.append(schemas.Event{Type: schemas.EventRequeued, Requeued: &schemas.Requeued{
			Worker: "w", Incarnation: "i", Reason: schemas.ReasonPreparing,
		}})
		j.fail(schemas.CodeContextLengthExceeded, "too long")
	})
	wantError(t, b.post(chatBody("", true)), schemas.CodeContextLengthExceeded)
}

// The head of a stream does not wait for a token or a keep-alive: a client that
// is cut off has the id of its job.
func TestStreamHeadComesEarly(t *testing.T) {
	silent := func(o *benchOptions) { o.Config.KeepAlive = time.Hour }
	head := func(t *testing.T, b *bench) reply {
		t.Helper()
		resp := b.post(chatBody("", true))
		id := resp.Header.Get(headerJob)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || id == "" {
			t.Fatalf("status %d, headers %v", resp.StatusCode, resp.Header)
		}
		if log, err := b.q.Log(b.context(), ownerLocal, id); err != nil || len(log) == 0 {
			t.Errorf("the job %s has no log: %v", id, err)
		}
		return resp
	}
	t.Run("waiting", func(t *testing.T) {
		for _, hold := range []time.Duration{0, time.Millisecond} {
			head(t, startBench(t, expectM, silent, func(o *benchOptions) { o.Config.StatusHold = hold }))
		}
	})
	t.Run("taken up", func(t *testing.T) {
		b := startBench(t, silent, func(o *benchOptions) { o.Config.StatusHold = time.Hour })
		failing := make(chan struct{})
		b.work(func(ctx context.Context, j *claimed) {
			j.start()
			select {
			case <-failing:
			case <-ctx.Done():
				return
			}
			j.fail(schemas.CodeEngineFailed, "the engine broke")
		})
		resp := head(t, b)
		close(failing)
		events := newSSEReader(t, resp.Body).rest()
		if len(events) != 1 || !strings.Contains(events[0].data, `"engine_failed"`) || events[0].id == "" {
			t.Errorf("got %+v, want one error event", events)
		}
		b.wantMetric(t, `semantic_request_total{api="chat_completions",class="normal",code="engine_failed",model="m",status="500"} 1`)
	})
}

func TestDeadline(t *testing.T) {
	t.Run("waiting", func(t *testing.T) {
		b := startBench(t, expectM)
		resp := b.post(chatBody("", true), headerDeadline, "0.05")
		wantError(t, resp, schemas.CodeDeadlineExceeded)
		if resp.Header.Get(headerShouldRetry) != "false" {
			t.Error("SDKs would send an expired request again")
		}
		log, err := b.q.Log(b.context(), ownerLocal, resp.Header.Get(headerJob))
		if err != nil || log[len(log)-1].Type != schemas.EventExpired {
			t.Fatalf("log %+v: %v", log, err)
		}
		eventually(t, "the stored job is gone", func() bool { return b.stored() == 0 })
	})
	t.Run("waiting with keep-alives", func(t *testing.T) {
		b := startBench(t, expectM, func(o *benchOptions) { o.Config.KeepAlive = 10 * time.Millisecond })
		events := newSSEReader(t, b.begun(chatBody("", true)).Body).rest()
		last := events[len(events)-1]
		if events[0].comment == "" || !strings.Contains(last.data, string(schemas.CodeDeadlineExceeded)) {
			t.Errorf("got %+v", events)
		}
	})
	t.Run("running, ended by the worker in its grace", func(t *testing.T) {
		b := startBench(t)
		b.work(func(ctx context.Context, j *claimed) {
			j.start()
			deadline := time.NewTimer(time.Until(j.d.StoredAt.Add(time.Duration(j.job.DeadlineMS) * time.Millisecond)))
			defer deadline.Stop()
			select {
			case <-deadline.C:
			case <-ctx.Done():
				return
			}
			u := schemas.Usage{PromptTokens: 7}
			j.append(schemas.Event{Type: schemas.EventExpired, Expired: &schemas.Expired{
				DeadlineMS: j.job.DeadlineMS, Started: true, Usage: &u,
			}})
		})
		// Its grace is for a worker that the gateway knows of when the deadline comes:
		// on a busy machine the job may not have begun by then.
		for deadline := 100 * time.Millisecond; ; deadline *= 3 {
			resp := b.post(chatBody("", false), headerDeadline, deadline.String())
			wantError(t, resp, schemas.CodeDeadlineExceeded)
			log, err := b.q.Log(b.context(), ownerLocal, resp.Header.Get(headerJob))
			if err != nil {
				t.Fatal(err)
			}
			end := log[len(log)-1]
			if end.Expired != nil && end.Expired.Usage != nil && end.Expired.Usage.PromptTokens == 7 {
				return
			}
			if deadline > patience/2 {
				t.Fatalf("the end is not the worker's: %+v", end)
			}
		}
	})
	t.Run("running, worker silent", func(t *testing.T) {
		b := startBench(t, func(o *benchOptions) { o.Config.DeadlineGrace = 50 * time.Millisecond })
		b.work(func(ctx context.Context, j *claimed) {
			j.start()
			j.delta("half")
			<-ctx.Done()
		})
		events := newSSEReader(t, b.begun(chatBody("", true)).Body).rest()
		if last := events[len(events)-1]; !strings.Contains(last.data, string(schemas.CodeDeadlineExceeded)) {
			t.Errorf("got %+v", events)
		}
	})
}

// begun posts a request whose deadline passes when its stream has begun: a longer one,
// where the machine was too busy for that.
func (b *bench) begun(body string) reply {
	b.t.Helper()
	for deadline := 100 * time.Millisecond; ; deadline *= 3 {
		resp := b.post(body, headerDeadline, deadline.String())
		if resp.StatusCode == http.StatusOK {
			return resp
		}
		wantError(b.t, resp, schemas.CodeDeadlineExceeded)
		if deadline > patience/2 {
			b.t.Fatal("no stream begins")
		}
	}
}

func TestRequestHeadersReachTheJob(t *testing.T) {
	b := startBench(t)
	type seen struct {
		job   schemas.Job
		class schemas.Class
		id    string
		owner string
	}
	jobs := make(chan seen, 1)
	b.work(func(ctx context.Context, j *claimed) {
		jobs <- seen{j.job, j.d.Class, j.d.RequestID, j.d.Owner}
		echo(ctx, j)
	})
	for _, c := range []struct {
		name    string
		body    string
		headers []string
		want    seen
	}{
		{"defaults", "", nil, seen{schemas.Job{DeadlineMS: 600_000}, schemas.ClassNormal, "", "local"}},
		{"class", "", []string{headerClass, "Interactive"}, seen{schemas.Job{DeadlineMS: 600_000}, schemas.ClassInteractive, "", "local"}},
		{"service tier", `"service_tier":"flex",`, nil, seen{schemas.Job{DeadlineMS: 86_400_000}, schemas.ClassBatch, "", "local"}},
		{"header over tier", `"service_tier":"flex",`, []string{headerClass, "normal"},
			seen{schemas.Job{DeadlineMS: 600_000}, schemas.ClassNormal, "", "local"}},
		{"deadline", "", []string{headerDeadline, "1m30s"}, seen{schemas.Job{DeadlineMS: 90_000}, schemas.ClassNormal, "", "local"}},
		{"deadline in seconds", "", []string{headerDeadline, "90.5"}, seen{schemas.Job{DeadlineMS: 90_500}, schemas.ClassNormal, "", "local"}},
		{"user", `"user":"ann",`, nil, seen{schemas.Job{DeadlineMS: 600_000, Agent: "ann"}, schemas.ClassNormal, "", "local"}},
		{"agent", `"user":"ann",`, []string{headerAgent, "bob"},
			seen{schemas.Job{DeadlineMS: 600_000, Agent: "bob"}, schemas.ClassNormal, "", "local"}},
		{"session", `"prompt_cache_key":"ann",`, []string{"X-Session-Id", "ses_1"},
			seen{schemas.Job{DeadlineMS: 600_000, Agent: "ses_1"}, schemas.ClassNormal, "", "local"}},
		{"request id", "", []string{headerRequestID, "mine-1"}, seen{schemas.Job{DeadlineMS: 600_000}, schemas.ClassNormal, "mine-1", "local"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := b.post(strings.Replace(chatBody("x", false), "{", "{"+c.body, 1), c.headers...)
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			got := <-jobs
			if got.job.DeadlineMS != c.want.job.DeadlineMS || got.job.Agent != c.want.job.Agent ||
				got.class != c.want.class || got.owner != c.want.owner {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if got.id != resp.Header.Get(headerRequestID) || c.want.id != "" && got.id != c.want.id {
				t.Errorf("request id %q in the job, %q in the response", got.id, resp.Header.Get(headerRequestID))
			}
		})
	}
}

func TestBadHeadersAreRefusedByName(t *testing.T) {
	b := startBench(t, expectM)
	for header, values := range map[string][]string{
		headerClass:    {"urgent", "interactive,batch"},
		headerDeadline: {"soon", "-5", "0", "25h", "1e99", "9223372036854775807", "0.0001"},
	} {
		for _, value := range values {
			got := wantError(t, b.post(chatBody("x", false), header, value), schemas.CodeInvalidRequest)
			if got.Param == nil || *got.Param != header {
				t.Errorf("%s %q: param %v", header, value, got.Param)
			}
		}
	}
	for _, agent := range []string{strings.Repeat("x", 300), "\xff"} {
		got := wantError(t, b.post(chatBody("x", false), headerAgent, agent), schemas.CodeInvalidRequest)
		if got.Param == nil || *got.Param != headerAgent {
			t.Errorf("param %v", got.Param)
		}
	}
}

// A deadline that the queue refuses is the client's fault, and named.
func TestDeadlineBeyondTheLog(t *testing.T) {
	b := startBench(t, expectM, func(o *benchOptions) {
		o.queue = append(o.queue, func(q *queue.Options) {
			q.Config.EventsMaxAge = 3 * time.Hour
			for class := range q.Config.DefaultDeadline {
				q.Config.DefaultDeadline[class] = time.Hour
			}
		})
	})
	got := wantError(t, b.post(chatBody("x", false), headerDeadline, "5h"), schemas.CodeInvalidRequest)
	if got.Param == nil || *got.Param != headerDeadline {
		t.Errorf("param %v: %s", got.Param, got.Message)
	}
}

func TestUnknownFieldsWarn(t *testing.T) {
	b := startBench(t, func(o *benchOptions) { o.Config.UnknownFields = UnknownFieldsWarn })
	b.work(echo)
	resp := b.post(strings.Replace(chatBody("x", false), "{", `{"new_thing":1,"b\nöse":2,`, 1), headerRequestID, "warned")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	if got := resp.Header.Get(headerWarning); !strings.Contains(got, "new_thing") || strings.ContainsAny(got, "ö\n") {
		t.Errorf("warning %q", got)
	}
	line := b.endLine(t, "warned")
	if got := line[schemas.LogWarnings]; got == nil || !strings.Contains(got.([]any)[0].(string), "new_thing") {
		t.Errorf("logged %v", got)
	}
	if got := warningHeader([]string{strings.Repeat("x", 5000)}); len(got) > 1100 {
		t.Errorf("a header of %d bytes", len(got))
	}
}

func TestAPIKeys(t *testing.T) {
	b := startBench(t, withKeys("alpha", "beta"))
	owners := make(chan string, 1)
	b.work(func(ctx context.Context, j *claimed) {
		owners <- j.d.Owner
		echo(ctx, j)
	})
	seen := map[string]bool{}
	for _, key := range []string{"alpha", "beta"} {
		resp := b.post(chatBody("x", false), "Authorization", "Bearer "+key)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", key, resp.StatusCode)
		}
		seen[<-owners] = true
	}
	if len(seen) != 2 || seen[ownerLocal] {
		t.Errorf("owners %v", seen)
	}
	for _, path := range []string{"/v1/models", "/v1/models/m", "/metrics"} {
		resp := b.do(http.MethodGet, path, "")
		wantError(t, resp, schemas.CodeUnauthorized)
		if resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", path)
		}
	}
	if resp := b.do(http.MethodGet, "/health/live", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("a probe needs a key: %d", resp.StatusCode)
	}
}
