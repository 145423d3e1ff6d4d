package gateway

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

func body(t *testing.T, resp reply) string {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %s, error %v", resp.StatusCode, data, err)
	}
	return string(data)
}

// TestIdempotencyKey: a repeat gets the same job from its start, in mid-stream and
// after its end, streamed or not, at any gateway, also at one with other defaults.
func TestIdempotencyKey(t *testing.T) {
	for _, keys := range [][]string{nil, {"ann"}} {
		b := startBench(t, withKeys(keys...))
		two := startBeside(t, b.srv, withKeys(keys...), func(o *benchOptions) {
			o.Config.DefaultDeadline *= 2
			o.Config.Aliases = []Alias{{Pattern: "other", Model: "m"}}
		})
		h := b.hold()
		for _, stream := range []bool{true, false} {
			name := map[bool]string{true: "streamed", false: "whole"}[stream]
			headers := []string{headerIdempotencyKey, name, "Authorization", "Bearer ann"}
			var first reply
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				first = b.post(chatBody("x", stream), headers...)
			}()
			job := <-h.started
			if keys == nil {
				headers = append(headers, headerOwnerToken, b.token(job))
			}
			var repeat reply
			running := make(chan struct{})
			go func() {
				defer close(running)
				repeat = two.post(chatBody("x", stream), headers...)
			}()
			if stream {
				<-running
			}
			h.goOn <- struct{}{}
			<-answered
			<-running
			want := body(t, first)
			for _, again := range []reply{repeat, b.post(chatBody("x", stream), headers...), two.post(chatBody("x", stream), headers...)} {
				if again.Header.Get(headerJob) != job || again.Header.Get(headerOwnerToken) != first.Header.Get(headerOwnerToken) {
					t.Errorf("%s: header %v", name, again.Header)
				}
				if got := body(t, again); got != want {
					t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
				}
			}
			if stream && (!strings.Contains(want, "id: "+job+":3.0\n") || !strings.Contains(want, openai.DoneData)) {
				t.Errorf("the stream is\n%s", want)
			}
		}
		if len(h.started) > 0 {
			t.Error("a repeat ran")
		}
	}
}

// TestIdempotencyMismatch: whatever else the client says under the same key is
// another request.
func TestIdempotencyMismatch(t *testing.T) {
	b := startBench(t, withKeys("ann", "bob"))
	b.work(echo)
	post := func(body string, headers ...string) reply {
		return b.post(body, append([]string{headerIdempotencyKey, "1", "Authorization", "Bearer ann"}, headers...)...)
	}
	job := post(chatBody("x", false)).Header.Get(headerJob)
	otherRoute := b.do(http.MethodPost, "/v1/completions", `{"model":"m","prompt":"x"}`,
		headerIdempotencyKey, "1", "Authorization", "Bearer ann")
	for what, again := range map[string]reply{
		"other text":    post(chatBody("y", false)),
		"streamed":      post(chatBody("x", true)),
		"a parameter":   post(strings.Replace(chatBody("x", false), "{", `{"seed":1,`, 1)),
		"durable":       post(chatBody("x", false), headerDurable, "true"),
		"class":         post(chatBody("x", false), headerClass, "batch"),
		"deadline":      post(chatBody("x", false), headerDeadline, "10m"),
		"other route":   otherRoute,
		"another agent": post(chatBody("x", false), headerAgent, "a"),
	} {
		got := wantError(t, again, schemas.CodeIdempotencyMismatch)
		if got.Param == nil || *got.Param != headerIdempotencyKey || again.Header.Get(headerJob) != "" {
			t.Errorf("%s: %+v, header %v", what, got, again.Header)
		}
	}
	// The same JSON, written otherwise, is the same request.
	same := `{"messages":[{"content":"\u0078","role":"user"}], "stream":false, "model":"m"}`
	if got := post(same).Header.Get(headerJob); got != job {
		t.Errorf("the same request made job %s, not %s", got, job)
	}
	// And another owner's key is another key.
	bobs := b.post(chatBody("y", false), headerIdempotencyKey, "1", "Authorization", "Bearer bob")
	if got := bobs.Header.Get(headerJob); bobs.StatusCode != http.StatusOK || got == job || got == "" {
		t.Errorf("bob's: status %d, job %s", bobs.StatusCode, got)
	}
}

// TestIdempotencyWithoutKeys: who does not bring the token learns nothing of the
// job, not even whether his request is the same.
func TestIdempotencyWithoutKeys(t *testing.T) {
	b := startBench(t)
	b.work(echo)
	first := b.post(chatBody("x", false), headerIdempotencyKey, "1")
	token := first.Header.Get(headerOwnerToken)
	if token == "" {
		t.Fatalf("no token: %v", first.Header)
	}
	other := b.post(chatBody("x", false), headerIdempotencyKey, "2").Header.Get(headerOwnerToken)
	for _, wrong := range []string{"", "x", other} {
		var told []string
		for _, text := range []string{"x", "y"} {
			again := b.post(chatBody(text, true), headerIdempotencyKey, "1", headerOwnerToken, wrong)
			told = append(told, wantError(t, again, schemas.CodeIdempotencyConflict).Message)
			if again.Header.Get(headerJob)+again.Header.Get(headerOwnerToken) != "" {
				t.Errorf("the answer gives away %v", again.Header)
			}
		}
		if told[0] != told[1] {
			t.Errorf("the answers differ: %q", told)
		}
	}
	wantError(t, b.post(chatBody("y", false), headerIdempotencyKey, "1", headerOwnerToken, token), schemas.CodeIdempotencyMismatch)
}

// TestIdempotentCrowd: equal requests at once, at two gateways, make one job.
func TestIdempotentCrowd(t *testing.T) {
	b := startBench(t, withKeys("ann"))
	two := startBeside(t, b.srv, withKeys("ann"))
	var ran sync.Map
	b.work(func(ctx context.Context, j *claimed) {
		if _, again := ran.LoadOrStore(j.d.JobID, true); again {
			t.Error("ran twice")
		}
		echo(ctx, j)
	})
	jobs := make([]string, 20)
	var crowd sync.WaitGroup
	for i := range jobs {
		crowd.Go(func() {
			at := []*bench{b, two}[i%2]
			resp := at.post(chatBody("one two", i%4 < 2), headerIdempotencyKey, "k"+map[bool]string{true: "s", false: "w"}[i%4 < 2],
				"Authorization", "Bearer ann")
			_ = body(t, resp)
			jobs[i] = resp.Header.Get(headerJob)
		})
	}
	crowd.Wait()
	for i, job := range jobs {
		if job == "" || job != jobs[i%4/2*2] {
			t.Errorf("request %d is job %s", i, job)
		}
	}
	eventually(t, "no job is left", func() bool { return b.stored() == 0 })
}

// TestIdempotencyAfterRefusal: a request that was refused is submitted anew, and
// one whose gateway died before the job was stored is stored by its repeat.
func TestIdempotencyAfterRefusal(t *testing.T) {
	t.Run("queue full", func(t *testing.T) {
		b := startBench(t, expectM, bounds(queue.Bounds{MaxJobs: 1, MaxBytes: 64 << 20, MaxJobsPerFlow: 1}))
		leave := b.inBackground(chatBody("first", false))
		eventually(t, "the job is stored", func() bool { return b.stored() > 0 })
		// Also without the token: there is no job whose it could be.
		wantError(t, b.post(chatBody("second", false), headerIdempotencyKey, "1"), schemas.CodeQueueFull)
		leave()
		eventually(t, "there is room", func() bool { return b.stored() == 0 })
		b.work(echo)
		if got := body(t, b.post(chatBody("second", false), headerIdempotencyKey, "1")); !strings.Contains(got, "second") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("announced and not stored", func(t *testing.T) {
		b := startBench(t, expectM, withKeys("ann"))
		h := []string{headerIdempotencyKey, "1", headerDurable, "true", "Authorization", "Bearer ann"}
		leave := b.inBackground(chatBody("x", false), append(h, headerRequestID, "gone")...)
		eventually(t, "the job is stored", func() bool { return b.stored() == 1 })
		leave()
		b.endLine(t, "gone")
		// What is left when a gateway dies between the two: the log's first event.
		b.forgetStream("JOBS_NORMAL")
		if b.stored() != 0 {
			t.Fatal("the job is still there")
		}
		two := startBeside(t, b.srv, expectM, withKeys("ann"), func(o *benchOptions) {
			o.Config.DefaultDeadline *= 2
			o.Config.Aliases = []Alias{{Pattern: "other", Model: "m"}}
		})
		two.work(echo)
		if got := body(t, two.post(chatBody("x", false), h...)); !strings.Contains(got, `"x"`) {
			t.Errorf("got %s", got)
		}
	})
}

// TestIdempotencyWithoutBroker: a request of which nobody can say whether it is
// stored ends no other job under its key, and keeps the key for its repeat.
func TestIdempotencyWithoutBroker(t *testing.T) {
	b := startBench(t, resumeGrace(50*time.Millisecond))
	h := b.hold()
	leave := b.inBackground(chatBody("", true), headerIdempotencyKey, "1", headerDurable, "true", headerRequestID, "gone")
	job := <-h.started
	leave()
	b.endLine(t, "gone")
	_ = b.do(http.MethodGet, "/v1/models", "") // so that the models are known in the outage
	b.g.models.keepFor(time.Hour)
	b.srv.Stop()
	b.g.config.QueueTimeout = outageTimeout // no request is open
	for _, key := range []string{"1", "2"} {
		wantError(t, b.post(chatBody("", true), headerIdempotencyKey, key, headerRequestID, "away-"+key), schemas.CodeQueueUnavailable)
		b.endLine(t, "away-"+key) // what it left behind is on its way
	}
	b.srv.Resume(t)
	b.g.graces.Wait()
	b.g.config.QueueTimeout = patience
	select {
	case h.goOn <- struct{}{}:
		b.wantEnd(job, schemas.EventDone)
	case <-h.cancelled:
		t.Error("another's request has cancelled the job")
	}
	ctx := b.context()
	go func() {
		select {
		case <-h.started:
			h.goOn <- struct{}{}
		case <-ctx.Done():
		}
	}()
	if got := text(t, newSSEReader(t, b.post(chatBody("", true), headerIdempotencyKey, "2").Body).rest()); got != "half whole" {
		t.Errorf("text %q", got)
	}
}

// keepFor lets the known models be as fresh for a while as when they were read.
func (c *catalogue) keepFor(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readAt = c.readAt.Add(d)
}

// forgetStream makes a stream anew, empty.
func (b *bench) forgetStream(name string) {
	b.t.Helper()
	nc, err := nats.Connect(b.srv.ClientURL())
	if err != nil {
		b.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		err = js.DeleteStream(b.context(), name)
	}
	if err == nil {
		err = b.q.Ensure(b.context())
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestIdempotencyKeyIsChecked(t *testing.T) {
	b := startBench(t)
	b.work(echo)
	for _, key := range []string{"", strings.Repeat("k", 256), "ü", "a\tb"} {
		got := wantError(t, b.post(chatBody("x", false), headerIdempotencyKey, key), schemas.CodeInvalidRequest)
		if got.Param == nil || *got.Param != headerIdempotencyKey {
			t.Errorf("%q: %+v", key, got)
		}
	}
	for _, key := range []string{"x", strings.Repeat("k", 255), `!"§$`[:2] + "~ a"} {
		if resp := b.post(chatBody("x", false), headerIdempotencyKey, key); resp.StatusCode != http.StatusOK {
			t.Errorf("%q: status %d", key, resp.StatusCode)
		}
	}
}

// TestTokenIsOfOneLog: a job is forgotten, and another client uses its key: the
// id is the same, and the first client's token worth nothing.
func TestTokenIsOfOneLog(t *testing.T) {
	b := startBench(t, expectM, func(o *benchOptions) { o.Config.StatusHold = 0 })
	ask := func() (job, token string, resp reply) {
		resp = b.post(chatBody("x", true), headerIdempotencyKey, "1")
		return resp.Header.Get(headerJob), resp.Header.Get(headerOwnerToken), resp
	}
	first, old, reading := ask()
	if code := b.do(http.MethodGet, "/v1/jobs/"+first, "", headerOwnerToken, old).StatusCode; code != http.StatusOK {
		t.Fatalf("its own client: %d", code)
	}
	if err := b.q.Cancel(b.context(), ownerLocal, first, "requested"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, reading.Body) // to its end: nobody reads the first one any more
	b.forget(first)
	// Long after: the broker has forgotten the id of the first one's message, too.
	b.srv.Stop()
	eventually(t, "the broker is missed", func() bool { return b.q.Healthy() != nil })
	b.srv.Resume(t)
	eventually(t, "the broker is back", func() bool { return b.q.Healthy() == nil })
	second, fresh, _ := ask()
	if second != first || fresh == old || fresh == "" {
		t.Fatalf("job %s with token %q after %s with %q", second, fresh, first, old)
	}
	wantError(t, b.do(http.MethodGet, "/v1/jobs/"+first, "", headerOwnerToken, old), schemas.CodeJobNotFound)
	wantError(t, b.do(http.MethodDelete, "/v1/jobs/"+first, "", headerOwnerToken, old), schemas.CodeJobNotFound)
	if code := b.do(http.MethodGet, "/v1/jobs/"+first, "", headerOwnerToken, fresh).StatusCode; code != http.StatusOK {
		t.Errorf("its own client: %d", code)
	}
}

// forget purges a job's log, as the retention does.
func (b *bench) forget(job string) {
	b.t.Helper()
	nc, err := nats.Connect(b.srv.ClientURL())
	if err != nil {
		b.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	events, err := js.Stream(b.context(), "EVENTS")
	if err == nil {
		err = events.Purge(b.context(), jetstream.WithPurgeSubject(queue.EventSubject(ownerLocal, job)))
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
