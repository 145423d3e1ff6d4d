package openai

import (
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// Answer renders a whole log as the body of the answer to a request without
// stream: a [ChatCompletion] or a [TextCompletion]. Where the job ended without
// an answer the error is an [*Error]; where it has not ended, [ErrUnfinished].
func Answer(events []schemas.Event, o StreamOptions) ([]byte, error) {
	w, err := read(events, o)
	if err != nil {
		return nil, err
	}
	if w.stream.legacy() {
		return encode(w.completion()), nil
	}
	return encode(w.chat()), nil
}

// answered is what a log says in all.
type answered struct {
	stream  *Stream
	done    *schemas.Done
	choices []*spoken
}

// spoken is what one choice said.
type spoken struct {
	text, reasoning strings.Builder
	calls           []ToolCall
	logprobs        []schemas.TokenLogprob
	finish          schemas.FinishReason
}

// read reads a log up to its end.
func read(events []schemas.Event, o StreamOptions) (*answered, error) {
	w := &answered{stream: NewStream(o)}
	for _, e := range events {
		w.stream.begin(e)
		switch {
		case e.Started != nil:
			w.stream.head.SystemFingerprint = shortFingerprint(e.Started.Fingerprint)
		case e.Delta != nil:
			w.choice(e.Delta.Choice).add(e.Delta.Output, e.Delta.FinishReason)
		case e.Done != nil:
			w.choice(e.Done.Choice).add(e.Done.Output, e.Done.FinishReason)
			w.done = e.Done
			return w, nil
		}
		if end := EndError(e, w.stream.api.Format); end != nil {
			return nil, end
		}
	}
	return nil, ErrUnfinished
}

// choice finds a choice, which may be a new one.
func (w *answered) choice(index int) *spoken {
	for len(w.choices) <= index {
		w.choices = append(w.choices, &spoken{})
	}
	return w.choices[index]
}

func (s *spoken) add(o schemas.Output, finish schemas.FinishReason) {
	s.text.WriteString(o.Text)
	s.reasoning.WriteString(o.Reasoning)
	s.logprobs = append(s.logprobs, o.Logprobs...)
	for _, piece := range o.ToolCalls {
		for len(s.calls) <= piece.Index {
			s.calls = append(s.calls, ToolCall{Type: typeFunction})
		}
		call := &s.calls[piece.Index]
		call.ID += piece.ID
		call.Function.Name += piece.Name
		call.Function.Arguments += piece.Arguments
	}
	if finish != "" {
		s.finish = finish
	}
}

func (w *answered) head(object string) Head {
	head := w.stream.head
	head.Object = object
	return head
}

func (w *answered) chat() *ChatCompletion {
	out := &ChatCompletion{Head: w.head(ObjectCompletion), Usage: *usageOf(w.done.Usage), Timings: &w.done.Timings}
	for i, c := range w.choices {
		text := c.text.String()
		m := Message{Role: schemas.RoleAssistant, Content: &text, ReasoningContent: c.reasoning.String(), ToolCalls: c.calls}
		if text == "" && len(c.calls) > 0 {
			m.Content = nil
		}
		out.Choices = append(out.Choices, Choice{Index: i, Message: m, Logprobs: chatLogprobs(c.logprobs), FinishReason: c.finish})
	}
	return out
}

func (w *answered) completion() *TextCompletion {
	out := &TextCompletion{Head: w.head(ObjectTextCompletion), Usage: usageOf(w.done.Usage), Timings: &w.done.Timings}
	for i, c := range w.choices {
		out.Choices = append(out.Choices, TextChoice{
			Text: c.text.String(), Index: i, Logprobs: textLogprobs(c.logprobs, &textPlace{}), FinishReason: &c.finish,
		})
	}
	return out
}
