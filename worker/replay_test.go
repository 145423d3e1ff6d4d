package worker_test

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// cutsOf are some lengths to which a log of n events is cut, all of them if it is
// short: from the started event to the last before the end.
func cutsOf(n, some int) []int {
	var cuts []int
	for cut := 2; cut < n-1; cut += max(1, n/some) {
		cuts = append(cuts, cut)
	}
	return append(cuts, n-1)
}

// Whatever a job asks for, and after whichever event of its log the worker died:
// the next one continues to the same answer, says nothing twice and leaves
// nothing out. The logs are those of a worker that logs each token by itself, and
// of one that logs all that was generated during an append.
func TestDeathAfterEveryEvent(t *testing.T) {
	t.Parallel()
	hot := func(j *schemas.Job) { j.Temperature, j.Seed = ptr(1.0), ptr(int64(7)) }
	const thought = "<think>\nleft or right?\n</think>\n\n"
	const calls = `<tool_call>{"name": "turn", "arguments": {"way": "left"}}</tool_call>` + "\n" +
		`<tool_call>{"name": "turn", "arguments": {"way": "right"}}</tool_call>`
	for name, c := range map[string]struct {
		job    func(*schemas.Job)
		worker []func(*setup)
	}{
		"plain": {job: hot},
		"three": {job: func(j *schemas.Job) { hot(j); j.N = ptr(3) }},
		"stop": {job: func(j *schemas.Job) {
			hot(j)
			j.Stop = []string{"e of", " t"}
		}},
		"logprobs": {job: func(j *schemas.Job) {
			hot(j)
			j.Logprobs, j.TopLogprobs, j.N = true, 3, ptr(2)
		}},
		"penalties": {job: func(j *schemas.Job) {
			hot(j)
			j.PresencePenalty, j.RepeatPenalty, j.MinTokens = ptr(1.5), ptr(1.3), ptr(12)
			j.MaxTokens = ptr(30)
		}},
		"schema": {job: func(j *schemas.Job) {
			hot(j)
			j.N = ptr(2)
			j.ResponseFormat = &schemas.ResponseFormat{Type: schemas.FormatJSONSchema, Schema: []byte(
				`{"type":"object","properties":{"a":{"enum":["one","two"]},"b":{"type":"boolean"}},"required":["a","b"],"additionalProperties":false}`)}
		}},
		"enforced": {job: func(j *schemas.Job) {
			hot(j)
			j.Tools, j.ToolChoice = []schemas.Tool{tool("turn"), tool("go")}, &schemas.ToolChoice{Mode: schemas.ToolRequired}
			j.ParallelToolCalls = ptr(false)
		}},
		"tools": {
			job:    func(j *schemas.Job) { j.Tools = []schemas.Tool{tool("turn")} },
			worker: []func(*setup){says("I turn.\n" + calls)},
		},
		"reasoning": {job: func(*schemas.Job) {}, worker: []func(*setup){thinks, says(thought + "To the left.")}},
		"all": {
			job: func(j *schemas.Job) {
				j.Tools, j.N, j.Stop = []schemas.Tool{tool("turn")}, ptr(2), []string{"</tool_call>\n\n"}
			},
			worker: []func(*setup){thinks, says(thought + "I turn.\n" + calls)},
		},
		"completion": {job: func(j *schemas.Job) {
			hot(j)
			j.Kind, j.Messages, j.Echo, j.N = schemas.KindCompletion, nil, true, ptr(2)
			j.Prompts = []schemas.Prompt{{Text: "one words=9"}, {Tokens: []int32{104, 105, 256}}}
			j.MaxTokens = ptr(12)
		}},
	} {
		for speed, step := range map[string]time.Duration{"token by token": time.Millisecond, "together": 0} {
			t.Run(name+" "+speed, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t)
				job := prompt("a story words=20", c.job)
				first := h.start(append(c.worker, named("first"), func(s *setup) { s.sim.DecodeStep = step })...)
				whole := h.result(h.submit(job))
				whole.done()
				requireNoError(t, first.drained())
				h.emptied()
				h.dieAfter(whole, job, 24, c.worker...)
			})
		}
	}
}

// dieAfter cuts a log at about so many of its events, and wants every job whose worker died there
// to be answered as the log is.
func (h *house) dieAfter(whole record, job schemas.Job, cuts int, setup ...func(*setup)) {
	h.t.Helper()
	body, err := schemas.EncodeJob(job)
	requireNoError(h.t, err)
	tickets, cutAt := make(map[int]queue.Ticket), make(map[string]int)
	for _, cut := range cutsOf(len(whole.events), cuts) {
		tickets[cut] = h.publish(fmt.Sprintf("cut-%d", cut), string(body), func(m *nats.Msg) {
			m.Header.Set(schemas.HeaderRequestID, "r")
		})
		cutAt[tickets[cut].JobID] = cut
	}
	dead := h.mortal("dead")
	beating, die := context.WithCancel(h.t.Context())
	var hearts sync.WaitGroup
	held := make(map[string]*queue.Delivery)
	for len(held) < len(tickets) {
		d := dead.claim()
		if mine, ok := held[d.JobID]; ok { // a late heartbeat
			requireNoError(h.t, mine.Adopt(d))
			continue
		}
		held[d.JobID] = d
		hearts.Go(func() { _ = d.KeepAlive(beating) })
		for _, event := range whole.events[1:cutAt[d.JobID]] {
			dead.append(d, event)
		}
	}
	die()
	hearts.Wait()
	for _, d := range held { // as the server does by itself, but now
		requireNoError(h.t, d.HandBack(h.t.Context()))
	}
	h.start(append(setup, named("second"))...)
	want := whole.answers()
	for cut, ticket := range tickets {
		r := h.result(ticket)
		done := r.done()
		got := r.answers()
		if !reflect.DeepEqual(without(got), without(want)) {
			h.t.Errorf("cut after %d of %d events (%s): %+v\nwant %+v", cut, len(whole.events), r.types(), got, want)
		}
		if done.Usage.PromptTokens != whole.done().Usage.PromptTokens ||
			done.Usage.CompletionTokens != whole.done().Usage.CompletionTokens {
			h.t.Errorf("cut after %d events: usage %+v, want %+v", cut, done.Usage, whole.done().Usage)
		}
	}
	h.emptied()
}
