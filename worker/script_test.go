package worker_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/schemas"
)

// assistant is where an answer begins in a prompt of chatTemplate.
const assistant = "<|im_start|>assistant\n"

// scripted is a simulated backend whose model says what it is told, byte by
// byte, and then ends its turn: families' formats of calls and reasoning need a
// model that writes them.
type scripted struct {
	engine.Backend
	script string
	tokens map[engine.SeqID][]engine.Token
	rows   []engine.Row
	row    []float32
}

// says makes a worker's model say text.
func says(text string) func(*setup) {
	return func(s *setup) {
		s.backend = func(b engine.Backend) engine.Backend {
			return &scripted{Backend: b, script: text, tokens: make(map[engine.SeqID][]engine.Token)}
		}
	}
}

func (s *scripted) Step(rows []engine.Row) error {
	if err := s.Backend.Step(rows); err != nil {
		return err
	}
	s.rows = append(s.rows[:0], rows...)
	for _, row := range rows {
		s.tokens[row.Seq] = append(s.tokens[row.Seq][:row.Pos], row.Token)
	}
	return nil
}

func (s *scripted) Remove(seq engine.SeqID, from int32) error {
	if len(s.tokens[seq]) > int(from) {
		s.tokens[seq] = s.tokens[seq][:from]
	}
	return s.Backend.Remove(seq, from)
}

func (s *scripted) Share(dst, src engine.SeqID, n int32) error {
	s.tokens[dst] = slices.Clone(s.tokens[src][:n])
	return s.Backend.Share(dst, src, n)
}

// Logits are those of a model that knows what it wants to say.
func (s *scripted) Logits(i int) ([]float32, error) {
	v := s.Vocabulary()
	if s.row == nil {
		s.row = make([]float32, v.Size())
	}
	var text []byte
	row := s.rows[i]
	for _, token := range s.tokens[row.Seq][:row.Pos+1] {
		text = v.AppendPiece(text, token, true)
	}
	said := text[bytes.LastIndex(text, []byte(assistant))+len(assistant):]
	for token := range s.row {
		s.row[token] = -10
	}
	next := engine.Token(257) // the end of the turn
	if rest, ok := strings.CutPrefix(s.script, string(said)); ok && rest != "" {
		next = engine.Token(rest[0])
	}
	s.row[next] = 10
	return s.row, nil
}

// thinks makes a worker's template open the model's reasoning.
func thinks(s *setup) { s.template = chatTemplate + "{# <think> </think> #}" }

// answer is a choice as a reader of its log has it.
type answer struct {
	reasoning, text string
	calls           []schemas.ToolCall
	tokens          []int32
	logprobs        []schemas.TokenLogprob
	finish          schemas.FinishReason
}

// answers joins the outputs of a log, and checks their form.
func (r record) answers() []answer {
	r.t.Helper()
	var all []answer
	add := func(out schemas.Output, finish schemas.FinishReason) {
		for len(all) <= out.Choice {
			all = append(all, answer{})
		}
		a := &all[out.Choice]
		if a.finish != "" {
			r.t.Errorf("choice %d goes on after its end: %+v", out.Choice, out)
		}
		if n := len(out.Logprobs); n > 0 && n != len(out.Tokens) {
			r.t.Errorf("%d log probabilities of %d tokens", n, len(out.Tokens))
		}
		a.reasoning += out.Reasoning
		a.text += out.Text
		a.tokens = append(a.tokens, out.Tokens...)
		a.logprobs = append(a.logprobs, out.Logprobs...)
		a.finish = finish
		for _, call := range out.ToolCalls {
			if (call.ID == "") != (call.Name == "") || (call.Index == len(a.calls)) != (call.Name != "") {
				r.t.Fatalf("choice %d has %d calls, and then %+v", out.Choice, len(a.calls), call)
			}
			if call.Name != "" {
				a.calls = append(a.calls, schemas.ToolCall{ID: call.ID, Name: call.Name})
			}
			a.calls[call.Index].Arguments += call.Arguments
		}
	}
	for _, event := range r.events {
		if event.Delta != nil {
			add(event.Delta.Output, event.Delta.FinishReason)
		}
		if event.Done != nil {
			add(event.Done.Output, event.Done.FinishReason)
		}
	}
	return all
}

// without drops the ids of calls, which are of a job.
func without(answers []answer) []answer {
	out := slices.Clone(answers)
	for i := range out {
		out[i].calls = slices.Clone(out[i].calls)
		for k := range out[i].calls {
			out[i].calls[k].ID = ""
		}
	}
	return out
}

// only is the one answer of a job.
func (r record) only() answer {
	r.t.Helper()
	r.done()
	all := r.answers()
	if len(all) != 1 {
		r.t.Fatalf("%d choices, want one", len(all))
	}
	return all[0]
}

func ptr[T any](v T) *T { return &v }

// tool is a function without arguments but a choice of two, so that every
// grammar of its calls has an end.
func tool(name string) schemas.Tool {
	return schemas.Tool{Name: name, Description: "turns", Strict: true, Parameters: []byte(
		`{"type":"object","properties":{"way":{"enum":["left","right"]}},"required":["way"],"additionalProperties":false}`)}
}

// Reasoning, text and calls of one answer, in the order that the model wrote
// them, and the finish reason of calls.
func TestCallsAndReasoning(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(thinks, says("<think>\nwhich way?\n</think>\n\nI turn.\n"+
		`<tool_call>{"name": "turn", "arguments": {"way": "left"}}</tool_call>`+"\n"+
		`<tool_call>{"name": "turn", "arguments": {"way":"right"}}</tool_call>`))
	r := h.result(h.submit(prompt("go", func(j *schemas.Job) { j.Tools = []schemas.Tool{tool("turn")} })))
	a := r.only()
	if a.reasoning != "which way?" || a.text != "I turn." || a.finish != schemas.FinishToolCalls {
		t.Errorf("%+v", a)
	}
	if len(a.calls) != 2 || a.calls[0].Arguments != `{"way": "left"}` || a.calls[1].Arguments != `{"way":"right"}` ||
		a.calls[0].Name != "turn" || a.calls[0].ID == a.calls[1].ID {
		t.Fatalf("calls %+v", a.calls)
	}
	for _, call := range a.calls {
		if id, ok := strings.CutPrefix(call.ID, "call_"); !ok || len(id) != 24 ||
			strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("id %q", call.ID)
		}
	}
	// The answer to a call is rendered, and without a call the end is a stop.
	again := prompt("go", func(j *schemas.Job) {
		j.Messages = append(j.Messages,
			schemas.Message{Role: schemas.RoleAssistant, ToolCalls: a.calls[:1], Reasoning: a.reasoning},
			schemas.Message{Role: schemas.RoleTool, ToolCallID: a.calls[0].ID, Content: "done"})
		j.Tools, j.ToolChoice = []schemas.Tool{tool("turn")}, &schemas.ToolChoice{Mode: schemas.ToolNone}
	})
	if a := h.result(h.submit(again)).only(); a.finish != schemas.FinishStop || len(a.calls) != 0 {
		t.Errorf("with no choice of tools: %+v", a)
	}
}
