package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// said is one choice of an answer.
type said struct {
	text, reasoning string
	calls           []call
	finish          schemas.FinishReason
	tokens          []int32 // of a log only
}

// call is a tool's, without its id, which is the job's.
type call struct{ name, arguments string }

// answer is all choices, with what they took.
type answer struct {
	choices            map[int]*said
	prompt, completion int
}

func newAnswer() *answer { return &answer{choices: map[int]*said{}} }

func (a *answer) choice(i int) *said {
	if a.choices[i] == nil {
		a.choices[i] = &said{}
	}
	return a.choices[i]
}

func (s *said) call(index int) *call {
	for len(s.calls) <= index {
		s.calls = append(s.calls, call{})
	}
	return &s.calls[index]
}

// add takes an event of a log.
func (a *answer) add(e schemas.Event) {
	var o schemas.Output
	var finish schemas.FinishReason
	switch {
	case e.Delta != nil:
		o, finish = e.Delta.Output, e.Delta.FinishReason
	case e.Done != nil:
		o, finish = e.Done.Output, e.Done.FinishReason
		a.prompt, a.completion = e.Done.Usage.PromptTokens, e.Done.Usage.CompletionTokens
	default:
		return
	}
	s := a.choice(o.Choice)
	s.text, s.reasoning, s.tokens = s.text+o.Text, s.reasoning+o.Reasoning, append(s.tokens, o.Tokens...)
	for _, c := range o.ToolCalls {
		at := s.call(c.Index)
		at.name, at.arguments = at.name+c.Name, at.arguments+c.Arguments
	}
	s.finish = cmp.Or(s.finish, finish)
}

// begins says where a is not the beginning of right; empty if it is.
func (a *answer) begins(right *answer) string {
	for i, s := range a.choices {
		r := right.choices[i]
		if r == nil {
			return fmt.Sprintf("choice %d, of %d", i, len(right.choices))
		}
		switch {
		case !strings.HasPrefix(r.text, s.text):
			return differs(i, "text", s.text, r.text)
		case !strings.HasPrefix(r.reasoning, s.reasoning):
			return differs(i, "reasoning", s.reasoning, r.reasoning)
		case s.finish != "" && s.finish != r.finish:
			return differs(i, "finish", string(s.finish), string(r.finish))
		case len(s.calls) > len(r.calls):
			return fmt.Sprintf("choice %d has %d calls, want %d", i, len(s.calls), len(r.calls))
		case len(s.tokens) > len(r.tokens) && len(r.tokens) > 0 || !slices.Equal(s.tokens, r.tokens[:len(s.tokens)]):
			return fmt.Sprintf("choice %d has the tokens %v, want %v", i, s.tokens, r.tokens)
		}
		for k, c := range s.calls {
			if want := r.calls[k]; !strings.HasPrefix(want.name, c.name) || !strings.HasPrefix(want.arguments, c.arguments) {
				return differs(i, "call", c.name+c.arguments, want.name+want.arguments)
			}
		}
	}
	return ""
}

// differs shows two texts from shortly before they part.
func differs(choice int, what, got, want string) string {
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	from := max(0, at-40)
	cut := func(s string) string { return s[min(from, len(s)):min(at+60, len(s))] }
	return fmt.Sprintf("choice %d: %s differs at byte %d:\n     got …%q\n    want …%q", choice, what, at, cut(got), cut(want))
}

// equals says where a is not right; empty if it is. Tokens and usage are compared
// where both have them.
func (a *answer) equals(right *answer) string {
	if problem := a.begins(right); problem != "" {
		return problem
	}
	for _, i := range slices.Sorted(maps.Keys(right.choices)) {
		s, r := a.choices[i], right.choices[i]
		switch {
		case s == nil:
			return fmt.Sprintf("choice %d is missing", i)
		case len(s.text) != len(r.text), len(s.reasoning) != len(r.reasoning), len(s.calls) != len(r.calls), s.finish != r.finish:
			return differs(i, "end", s.text+"|"+s.reasoning+"|"+string(s.finish), r.text+"|"+r.reasoning+"|"+string(r.finish))
		case len(s.tokens) > 0 && len(s.tokens) != len(r.tokens):
			return fmt.Sprintf("choice %d has %d tokens, want %d", i, len(s.tokens), len(r.tokens))
		}
		for k, c := range s.calls {
			if c != r.calls[k] {
				return fmt.Sprintf("choice %d: call %d is %v, want %v", i, k, c, r.calls[k])
			}
		}
	}
	if a.prompt != right.prompt || a.completion != right.completion {
		return fmt.Sprintf("usage is %d and %d, want %d and %d", a.prompt, a.completion, right.prompt, right.completion)
	}
	return ""
}
