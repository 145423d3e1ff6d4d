package gateway

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// events asks for a job's stream.
func (b *bench) events(job, token, after string, headers ...string) reply {
	b.t.Helper()
	headers = append(headers, headerOwnerToken, token)
	if after != "" {
		headers = append(headers, headerLastEventID, after)
	}
	return b.do(http.MethodGet, "/v1/jobs/"+job+"/events", "", headers...)
}

// token is the owner token of a job of the owner "local".
func (b *bench) token(job string) string {
	b.t.Helper()
	state, err := b.q.State(b.context(), ownerLocal, job)
	if errors.Is(err, queue.ErrNoJob) {
		return "of no job"
	}
	if err != nil {
		b.t.Fatal(err)
	}
	token, err := b.g.ownerToken(b.context(), ownerLocal, job, state.SubmittedAt())
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// randomEnd is a terminal event.
func randomEnd(t *rapid.T, output schemas.Output) schemas.Event {
	usage := &schemas.Usage{PromptTokens: 3, CompletionTokens: 5}
	switch rapid.IntRange(0, 5).Draw(t, "end") {
	case 0:
		return schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{Code: schemas.CodeEngineFailed, Message: "no", Usage: usage}}
	case 1:
		return schemas.Event{Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{Reason: reasonRequested, Usage: usage}}
	case 2:
		return schemas.Event{Type: schemas.EventExpired, Expired: &schemas.Expired{DeadlineMS: 5, Started: true, Usage: usage}}
	}
	return schemas.Event{Type: schemas.EventDone, Done: &schemas.Done{Output: output, FinishReason: schemas.FinishStop, Usage: *usage}}
}

// randomLog is what a worker writes about one job.
func randomLog(t *rapid.T, choices int) []schemas.Event {
	output := rapid.Custom(func(t *rapid.T) schemas.Output {
		o := schemas.Output{Choice: rapid.IntRange(0, choices-1).Draw(t, "choice"), Tokens: []int32{1}}
		o.Text = rapid.SampledFrom([]string{"", "a", "wörd\n", "data: x\n\n"}).Draw(t, "text")
		o.Reasoning = rapid.SampledFrom([]string{"", "", "hm"}).Draw(t, "reasoning")
		if rapid.IntRange(0, 3).Draw(t, "calls") == 0 {
			o.ToolCalls = []schemas.ToolCallDelta{{Index: 0, ID: "c", Name: "f", Arguments: "{"}, {Index: 0, Arguments: "}"}}
		}
		return o
	})
	attempt := 1
	start := func() schemas.Event {
		return schemas.Event{Type: schemas.EventStarted, Started: &schemas.Started{
			Attempt: attempt, Worker: "w", Incarnation: "i", Fingerprint: "f", PromptTokens: 3,
		}}
	}
	log := []schemas.Event{start()}
	for range rapid.IntRange(0, 6).Draw(t, "deltas") {
		if rapid.IntRange(0, 5).Draw(t, "handover") == 0 {
			attempt++
			log = append(log, schemas.Event{Type: schemas.EventRequeued, Requeued: &schemas.Requeued{
				Worker: "w", Incarnation: "i", Reason: "shutdown",
			}}, start())
		}
		log = append(log, schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: output.Draw(t, "output")}})
	}
	return append(log, randomEnd(t, output.Draw(t, "last")))
}

// TestResumeIsExact: for any log, and wherever a stream of it is cut, what one
// gateway sent before and another sends after is the whole.
func TestResumeIsExact(t *testing.T) {
	one := startBench(t)
	two := startBeside(t, one.srv)
	claimer, err := one.q.NewClaimer(one.context(), queue.ClaimOptions{Model: "m", WorkerID: "w", Incarnation: "i"})
	if err != nil {
		t.Fatal(err)
	}
	defer claimer.Close()
	rapid.Check(t, func(rt *rapid.T) {
		choices := rapid.IntRange(1, 2).Draw(rt, "n")
		job := schemas.Job{
			Version: schemas.Version, Model: "m", N: &choices,
			API: &schemas.API{
				Format: schemas.FormatOpenAIChat, Stream: rapid.Bool().Draw(rt, "stream"),
				IncludeUsage: rapid.Bool().Draw(rt, "usage"), ContinuousUsage: rapid.Bool().Draw(rt, "continuous"),
			},
			Messages: []schemas.Message{{Role: schemas.RoleUser, Content: "x"}},
		}
		if rapid.Bool().Draw(rt, "completion") {
			job.Kind, job.API.Format, job.Messages = schemas.KindCompletion, schemas.FormatOpenAICompletions, nil
			job.Prompts = []schemas.Prompt{{Text: "x"}}
		}
		ticket, err := one.q.Submit(t.Context(), queue.Submission{Job: job})
		if err != nil {
			rt.Fatal(err)
		}
		d, err := claimer.Next(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		for _, e := range randomLog(rt, choices) {
			if err := d.Append(t.Context(), e); err != nil {
				rt.Fatal(err)
			}
		}
		if err := d.Ack(t.Context()); err != nil {
			rt.Fatal(err)
		}

		token := one.token(ticket.JobID)
		read := func(b *bench, after string) []sseEvent {
			resp := b.events(ticket.JobID, token, after)
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK {
				return nil // the error of a job that said nothing has its own status
			}
			return newSSEReader(t, resp.Body).rest()
		}
		whole := read(one, "")
		if again := read(two, ""); !slices.Equal(whole, again) {
			rt.Fatalf("one gateway says\n%+v\nthe other\n%+v", whole, again)
		}
		for i, e := range whole {
			if (e.id == "") != (e.data == openai.DoneData) {
				rt.Fatalf("event %d is %+v", i, e)
			}
			if e.id == "" {
				continue
			}
			if joined := append(slices.Clone(whole[:i+1]), read(two, e.id)...); !slices.Equal(joined, whole) {
				rt.Fatalf("cut behind %s: got\n%+v\nwant\n%+v", e.id, joined, whole)
			}
		}
	})
}

// TestResumeAtAnotherGateway: a gateway stops in mid-stream; its client goes on
// where it was, at another one, and then at a third while the second is there.
func TestResumeAtAnotherGateway(t *testing.T) {
	one := startBench(t)
	two := startBeside(t, one.srv)
	words := make(chan string)
	one.work(func(ctx context.Context, j *claimed) {
		j.start()
		for {
			select {
			case word, more := <-words:
				if !more {
					j.done()
					return
				}
				j.delta(word)
			case <-ctx.Done():
				return
			}
		}
	})
	resp := one.post(chatBody("", true))
	words <- "one "
	stream := newSSEReader(t, resp.Body)
	job, token := resp.Header.Get(headerJob), resp.Header.Get(headerOwnerToken)
	if job == "" || token != one.token(job) {
		t.Fatalf("job %q, token %q", job, token)
	}
	role, _ := stream.next()
	first, _ := stream.next()
	one.g.Cut(one.context())
	cut := stream.rest()
	if len(cut) != 1 || cut[0].id != "" || !strings.Contains(cut[0].data, string(schemas.CodeServerRestarting)) ||
		!strings.Contains(cut[0].data, job) {
		t.Fatalf("the stream ends with %+v", cut)
	}

	// The head of a resumed stream comes at once.
	second := two.events(job, token, first.id)
	if second.StatusCode != http.StatusOK || second.Header.Get("Content-Type") != "text/event-stream" || second.Header.Get(headerJob) != job {
		t.Fatalf("status %d, header %v", second.StatusCode, second.Header)
	}
	words <- "two "
	reader := newSSEReader(t, second.Body)
	next, _ := reader.next()
	query := two.do(http.MethodGet, "/v1/jobs/"+job+"/events?last_event_id="+url.QueryEscape(next.id), "", headerOwnerToken, token)
	words <- "three"
	close(words)
	rest := reader.rest()
	if got := text(t, append([]sseEvent{role, first, next}, rest...)); got != "one two three" {
		t.Errorf("text %q", got)
	}
	if third := newSSEReader(t, query.Body).rest(); !slices.Equal(third, rest) {
		t.Errorf("two readers of the same place: %+v and %+v", third, rest)
	}
	if last := rest[len(rest)-1]; last.data != openai.DoneData {
		t.Errorf("the last event is %+v", last)
	}
}

// TestResumeRefusals: what cannot be gone on from is refused by name, and never
// answered with tokens.
func TestResumeRefusals(t *testing.T) {
	b := startBench(t)
	b.work(echo)
	resp := b.post(chatBody("one two", true))
	events := newSSEReader(t, resp.Body).rest()
	job, token := resp.Header.Get(headerJob), resp.Header.Get(headerOwnerToken)
	other := b.post(chatBody("other", false)).Header.Get(headerJob)
	last := events[len(events)-2].id

	refused := func(after string, code schemas.Code, param string) {
		t.Helper()
		got := wantError(t, b.events(job, token, after), code)
		if param != "" && (got.Param == nil || *got.Param != param) {
			t.Errorf("%q: param %v, want %s", after, got.Param, param)
		}
	}
	for _, id := range []string{
		"x", ":", job, job + ":", job + ":1", job + ":1.", job + ":.1", job + ":0.0", job + ":-1.0", job + ":1.-1", job + ":01.0", job + ":1.0 ,",
		job + ":+1.0", job + ":1.0.0", job + ":9223372036854775808.0", job + ":1.9223372036854775808", last + "x", other + ":3.0", "\xff\xfe",
	} {
		refused(id, schemas.CodeInvalidRequest, headerLastEventID)
	}
	for _, id := range []string{
		job + ":1.0", job + ":3.99", job + ":1000000.0", job + ":9223372036854775807.0", job + ":3.9223372036854775807",
	} {
		refused(id, schemas.CodeLogRewound, "")
	}
	ask := func(query string, headers ...string) reply {
		return b.do(http.MethodGet, "/v1/jobs/"+job+"/events?"+query, "", append(headers, headerOwnerToken, token)...)
	}
	for query, param := range map[string]string{
		"last_event_id=x": queryLastEventID, "last_event_id=" + last + "&last_event_id=" + last: queryLastEventID, "a=%zz": "",
	} {
		if got := wantError(t, ask(query), schemas.CodeInvalidRequest); param != "" && (got.Param == nil || *got.Param != param) {
			t.Errorf("%s: param %v", query, got.Param)
		}
	}
	wantError(t, ask("last_event_id="+last, headerLastEventID, events[0].id), schemas.CodeInvalidRequest)
	wantError(t, ask("from=1"), schemas.CodeUnknownParameter)
	// The same id twice is no contradiction.
	got := newSSEReader(t, ask("last_event_id="+last, headerLastEventID, last).Body).rest()
	if len(got) != 1 || got[0].data != openai.DoneData {
		t.Errorf("behind the last chunk comes %+v", got)
	}

	// Ids at random: a place that was shown goes on with what came after it,
	// and nothing else goes on at all.
	shown := map[string]int{}
	for i, e := range events {
		shown[e.id] = i
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		id := job + ":" + strconv.Itoa(random.IntN(9)) + "." + strconv.Itoa(random.IntN(4))
		resp := b.events(job, token, id)
		i, known := shown[id]
		if !known {
			if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusConflict {
				t.Fatalf("%s: status %d", id, resp.StatusCode)
			}
		} else if got := newSSEReader(t, resp.Body).rest(); !slices.Equal(got, events[i+1:]) {
			t.Fatalf("behind %s comes %+v", id, got)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

// TestOthersJobsDoNotExist: who does not show that a job is his hears what he would
// hear of one that never was.
func TestOthersJobsDoNotExist(t *testing.T) {
	b := startBench(t)
	b.work(echo)
	one, two := b.post(chatBody("one", false)), b.post(chatBody("two", false))
	job, right := one.Header.Get(headerJob), one.Header.Get(headerOwnerToken)
	if len(right) != 64 {
		t.Fatalf("token %q", right)
	}
	never := queue.NewJobID()
	for _, token := range []string{"", "x", two.Header.Get(headerOwnerToken), strings.ToUpper(right), right[:63], right + "0", job} {
		for _, ask := range []struct{ method, path string }{
			{http.MethodGet, ""}, {http.MethodGet, "/events"}, {http.MethodDelete, ""},
		} {
			got := wantError(t, b.do(ask.method, "/v1/jobs/"+job+ask.path, "", headerOwnerToken, token), schemas.CodeJobNotFound)
			want := wantError(t, b.do(ask.method, "/v1/jobs/"+never+ask.path, "", headerOwnerToken, token), schemas.CodeJobNotFound)
			if strings.ReplaceAll(got.Message, job, never) != want.Message {
				t.Errorf("they differ:\n%s\n%s", got.Message, want.Message)
			}
		}
	}
	wantError(t, b.do(http.MethodGet, "/v1/jobs/"+never, "", headerOwnerToken, b.token(never)), schemas.CodeJobNotFound)
	wantError(t, b.do(http.MethodGet, "/v1/jobs/a%2Fb%00", "", headerOwnerToken, right), schemas.CodeJobNotFound)
	wantError(t, b.do(http.MethodGet, "/v1/jobs/"+strings.Repeat("a", 200), ""), schemas.CodeJobNotFound)
}

// TestJobsOfKeys: with API keys a job is its key's, and no token is asked for.
func TestJobsOfKeys(t *testing.T) {
	b := startBench(t, withKeys("ann", "bob"))
	b.work(echo)
	resp := b.post(chatBody("one", false), "Authorization", "Bearer ann")
	job := resp.Header.Get(headerJob)
	if token, there := resp.Header[headerOwnerToken]; there {
		t.Errorf("a token beside a key: %q", token)
	}
	if got := b.do(http.MethodGet, "/v1/jobs/"+job, "", "Authorization", "Bearer ann"); got.StatusCode != http.StatusOK {
		t.Errorf("its own key: %d", got.StatusCode)
	}
	for _, path := range []string{"", "/events"} {
		wantError(t, b.do(http.MethodGet, "/v1/jobs/"+job+path, "", "Authorization", "Bearer bob"), schemas.CodeJobNotFound)
		wantError(t, b.do(http.MethodGet, "/v1/jobs/"+job+path, "", headerOwnerToken, b.token(job)), schemas.CodeUnauthorized)
	}
	wantError(t, b.do(http.MethodDelete, "/v1/jobs/"+job, "", "Authorization", "Bearer bob"), schemas.CodeJobNotFound)
}
