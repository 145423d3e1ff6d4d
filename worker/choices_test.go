package worker_test

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
	"github.com/semantic-worker/semantic/schemas"
)

// Choice k of a job is the answer to the same job with its seed + k, the prompt
// counts once, and its cells are shared.
func TestChoices(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g)) // none is over before the others have come
	job := prompt("three of them words=20", func(j *schemas.Job) {
		j.Temperature, j.Seed, j.N = ptr(1.0), ptr(int64(40)), ptr(3)
	})
	ticket := h.submit(job)
	eventually(t, "all are in the engine", func() bool { return len(w.engine.Snapshot().Requests) == 3 })
	g.open()
	r := h.result(ticket)
	done, all := r.done(), r.answers()
	if len(all) != 3 || len(r.started()) != 1 {
		t.Fatalf("%d choices, %s", len(all), r.types())
	}
	tokens := 0
	for k, a := range all {
		one := job
		one.N, one.Seed = nil, ptr(int64(40+k))
		text, want := reference(t, one)
		if a.text != text || !slices.Equal(a.tokens, want) || a.finish != schemas.FinishStop {
			t.Errorf("choice %d: %+v, want %q", k, a, text)
		}
		tokens += len(want)
	}
	if all[0].text == all[1].text {
		t.Error("two choices are the same")
	}
	if u := done.Usage; u.PromptTokens != r.started()[0].PromptTokens || u.CompletionTokens != tokens || u.CachedTokens != 0 {
		t.Errorf("usage %+v, want %d tokens", u, tokens)
	}
	if rows := w.engine.Snapshot().PrefillRows; rows >= 2*int64(done.Usage.PromptTokens) {
		t.Errorf("%d rows were computed of a prompt of %d tokens", rows, done.Usage.PromptTokens)
	}
	w.freed()
}

// A job with more choices than the engine has places runs, and nothing is
// claimed beside it.
func TestMoreChoicesThanPlaces(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g), func(s *setup) { s.sim.Sequences = 2 })
	big := h.submit(prompt("words=9", func(j *schemas.Job) { j.N = ptr(5) }))
	eventually(t, "its choices are in the engine", func() bool { return len(w.engine.Snapshot().Requests) == 5 })
	small := h.submit(prompt("words=3"))
	g.step(t, 3)
	if n := len(w.engine.Snapshot().Requests); n != 5 {
		t.Errorf("%d requests in the engine, want those of one job", n)
	}
	g.open()
	r := h.result(big)
	if r.done(); len(r.answers()) != 5 {
		t.Errorf("%d choices", len(r.answers()))
	}
	h.result(small).done()
	h.emptied()
}

// A stop hands all choices of a job over, and cancelling ends them all.
func TestChoicesStopTogether(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	first := h.start(gated(g), named("w1"), func(s *setup) { s.config.DrainTimeout = 0 })
	job := prompt("words=30", func(j *schemas.Job) { j.N, j.Temperature, j.Seed = ptr(3), ptr(1.0), ptr(int64(1)) })
	ticket := h.submit(job)
	follower := h.follow(ticket)
	g.step(t, 9)
	begun := h.until(follower, 6)
	first.stop()
	requireNoError(t, first.join())
	second := h.start(named("w2"))
	r := h.rest(follower, begun)
	r.done()
	whole := h.result(h.submit(job))
	if whole.done(); !reflect.DeepEqual(r.answers(), whole.answers()) || len(r.started()) != 2 {
		t.Errorf("%s: %+v, want %+v", r.types(), r.answers(), whole.answers())
	}
	requireNoError(t, second.drained())

	third := h.start(named("w3"), endless)
	ticket = h.submit(prompt(endlessly, func(j *schemas.Job) { j.N = ptr(3) }))
	follower = h.follow(ticket)
	begun = h.until(follower, 6)
	requireNoError(t, h.queue.Cancel(t.Context(), ticket.Owner, ticket.JobID, "requested"))
	r = h.rest(follower, begun)
	if c := r.last().Cancelled; c == nil || c.Usage == nil || c.Usage.CompletionTokens != len(r.tokens()) {
		t.Errorf("ended as %+v with %d tokens", r.last(), len(r.tokens()))
	}
	third.freed()
}

// The classes have their order in the engine, too.
func TestClassReachesTheEngine(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g))
	urgent := h.publish("urgent", `{"v":1,"model":"sim","messages":[{"role":"user","content":"x words=3"}]}`, asInteractive)
	patient := h.publish("patient", `{"v":1,"model":"sim","messages":[{"role":"user","content":"x words=3"}]}`, asBatch)
	classes := func() map[string]int {
		out := make(map[string]int)
		for _, r := range w.engine.Snapshot().Requests {
			out[strings.Split(r.ID, "#")[0]] = r.Class
		}
		return out
	}
	eventually(t, "both are in the engine", func() bool { return len(classes()) == 2 })
	if got := classes(); got["urgent"] != 0 || got["patient"] != 2 {
		t.Errorf("classes %v", got)
	}
	g.open()
	h.result(urgent).done()
	h.result(patient).done()
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	backend, err := sim.New(sim.Options{Name: modelName})
	requireNoError(t, err)
	v := backend.Vocabulary()
	const text = "the river words=5"
	tokens, err := v.Tokenize(text, true)
	requireNoError(t, err)
	// An echo of tokens is their text, control tokens included.
	given := append([]engine.Token{256}, tokens...)
	job := prompt("", func(j *schemas.Job) {
		j.Kind, j.Messages = schemas.KindCompletion, nil
		j.Prompts = []schemas.Prompt{{Text: text}, {Tokens: tokens}, {Tokens: given}}
	})
	r := h.result(h.submit(job))
	if r.done().Usage.PromptTokens != 3*len(tokens)+1 {
		t.Errorf("usage %+v of prompts of %d tokens", r.done().Usage, len(tokens))
	}
	plain := r.answers()
	if want := sim.Text(tokens, 5); plain[0].text != want || plain[1].text != want || plain[2].text == want {
		t.Errorf("%+v, want %q", plain, want)
	}
	job.Echo, job.N = true, ptr(2)
	r = h.result(h.submit(job))
	r.done()
	for i, a := range r.answers() {
		echo := []string{text, text, "<|im_start|>" + text}[i/2]
		if a.text != echo+plain[i/2].text {
			t.Errorf("choice %d: %q, want it behind %q", i, a.text, echo)
		}
	}
}

// A model that wants a beginning gets it in front of text, once, and not in
// front of tokens.
func TestCompletionsBeginAsTheModelWants(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(func(s *setup) {
		s.backend = func(b engine.Backend) engine.Backend { return beginning{b} }
	})
	started := func(p schemas.Prompt) int {
		r := h.result(h.submit(prompt("", func(j *schemas.Job) {
			j.Kind, j.Messages, j.Prompts, j.MaxTokens = schemas.KindCompletion, nil, []schemas.Prompt{p}, ptr(1)
		})))
		r.done()
		return r.started()[0].PromptTokens
	}
	if bare, with, ids := started(schemas.Prompt{Text: "??"}), started(schemas.Prompt{Text: "<|im_start|>??"}),
		started(schemas.Prompt{Tokens: []int32{'?', '?'}}); bare != 3 || with != 3 || ids != 2 {
		t.Errorf("%d, %d and %d tokens, want 3, 3 and 2", bare, with, ids)
	}
}

// beginning is a model that wants its BOS.
type beginning struct{ engine.Backend }

func (b beginning) Info() engine.ModelInfo {
	info := b.Backend.Info()
	info.AddBOS = true
	return info
}

// vocabularySize is the simulation's.
func vocabularySize(t *testing.T) int {
	t.Helper()
	b, err := sim.New(sim.Options{})
	requireNoError(t, err)
	defer func() { requireNoError(t, b.Close()) }()
	return b.Vocabulary().Size()
}

// What a job asks for in vain is refused by name.
func TestRefusedByName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start(func(s *setup) { s.sim.Context, s.sim.Cells = 200, 800 })
	const chat = `{"v":1,"model":"sim","messages":[{"role":"user","content":"x"}],`
	const completion = `{"v":1,"model":"sim","kind":"completion",`
	const broken = `{"type":"object","properties":{"a b":{"anyOf":[{"type":"string"},{"not":{"type":"null"}}]}}}`
	var all []string
	for id := range vocabularySize(t) {
		all = append(all, fmt.Sprintf(`"%d":-100`, id))
	}
	banned := strings.Join(all, ",")
	for param, c := range map[string]struct {
		body string
		code schemas.Code
		says string
	}{
		`response_format.schema.properties["a b"].anyOf[1].not`: {
			body: chat + `"response_format":{"type":"json_schema","schema":` + broken + `}}`, code: schemas.CodeInvalidRequest,
		},
		`tools[1].parameters.properties["a b"].anyOf[1].not`: {
			body: chat + `"tools":[{"name":"a"},{"name":"b","strict":true,"parameters":` + broken + `}]}`, code: schemas.CodeInvalidRequest,
		},
		"grammar": {
			body: chat + `"grammar":"root ::= \"a\"\nother ::= ]"}`, code: schemas.CodeInvalidRequest, says: "line 2, column 11",
		},
		"logit_bias.99999999": {body: chat + `"logit_bias":{"99999999":1}}`, code: schemas.CodeInvalidRequest},
		"logit_bias": {
			body: chat + `"logit_bias":{` + banned + `}}`, code: schemas.CodeInvalidRequest, says: "is banned",
		},
		"stop_token_ids[1]": {body: chat + `"stop_token_ids":[5,99999999]}`, code: schemas.CodeInvalidRequest},
		"reasoning_effort":  {body: chat + `"reasoning_effort":"high"}`, code: schemas.CodeUnsupportedParameter},
		"chat_template_kwargs.enable_thinking": {
			body: chat + `"chat_template_kwargs":{"enable_thinking":false}}`, code: schemas.CodeUnsupportedParameter,
		},
		"prompts[1].tokens[2]": {
			body: completion + `"prompts":[{"text":"x"},{"tokens":[1,2,99999999]}]}`, code: schemas.CodeInvalidRequest,
			says: "99999999 is not a token",
		},
		"prompts[1]": {
			body: completion + `"prompts":[{"text":"x"},{"text":"` + strings.Repeat("word ", 300) + `"}]}`,
			code: schemas.CodeContextLengthExceeded, says: "200 tokens",
		},
	} {
		failed := h.result(h.publish(fmt.Sprintf("job-%x", param), c.body)).failed(c.code)
		if failed.Param != param || !strings.Contains(failed.Message, c.says) {
			t.Errorf("%s: %+v", param, failed)
		}
	}
	h.emptied()
	w.freed()
}

// The parameters of a job change what is generated, as their names say.
func TestParametersReachTheSampler(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	run := func(change func(*schemas.Job)) record {
		r := h.result(h.submit(prompt("words=12", change)))
		r.done()
		return r
	}
	plain := run(func(*schemas.Job) {})
	first := plain.only().tokens[0]
	banned := run(func(j *schemas.Job) { j.LogitBias = map[string]float64{strconv.Itoa(int(first)): -100} })
	if slices.Contains(banned.only().tokens, first) {
		t.Error("a banned token was generated")
	}
	forced := run(func(j *schemas.Job) { j.LogitBias, j.MaxTokens = map[string]float64{"!": 100}, ptr(3) })
	if forced.only().text != "!!!" {
		t.Errorf("a forced token gives %q", forced.only().text)
	}
	stopped := run(func(j *schemas.Job) { j.StopTokens = []int32{plain.only().tokens[4]} })
	if !slices.Equal(stopped.only().tokens, plain.only().tokens[:4]) || stopped.only().finish != schemas.FinishStop {
		t.Errorf("stopped at %v", stopped.only().tokens)
	}
	longer := run(func(j *schemas.Job) { j.MinTokens, j.MaxTokens = ptr(40), ptr(60) })
	if n := len(longer.only().tokens); n < 40 {
		t.Errorf("%d tokens, want 40 at least", n)
	}
	endless := run(func(j *schemas.Job) { j.IgnoreEOS, j.MaxTokens = true, ptr(50) })
	if len(endless.only().tokens) != 50 || endless.only().finish != schemas.FinishLength {
		t.Errorf("%d tokens with ignore_eos", len(endless.only().tokens))
	}
	schema := run(func(j *schemas.Job) { j.Grammar = `root ::= "yes" | "no"` })
	if text := schema.only().text; text != "yes" && text != "no" {
		t.Errorf("the grammar gives %q", text)
	}
	probable := run(func(j *schemas.Job) { j.Logprobs, j.TopLogprobs = true, 2 })
	for i, l := range probable.only().logprobs {
		if len(l.Top) != 2 || l.Logprob > 0 || l.Top[0].Logprob < l.Top[1].Logprob || l.Top[0].Token != probable.only().tokens[i] ||
			string(l.Top[0].Bytes) != string(l.Bytes) {
			t.Errorf("token %d: %+v", i, l)
		}
	}
	if len(probable.only().logprobs) != len(plain.only().tokens) {
		t.Errorf("%d log probabilities", len(probable.only().logprobs))
	}
}
