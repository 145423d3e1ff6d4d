package openai_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// said is what one choice said, as far as a client sees it.
type said struct {
	Text, Reasoning string
	Calls           []openai.ToolCall
	Logprobs        int
	Finish          schemas.FinishReason
}

// add takes what an event says.
func (s *said) add(o schemas.Output, finish schemas.FinishReason, legacy bool) {
	s.Text += o.Text
	s.Logprobs += len(o.Logprobs)
	s.Finish = finish
	if legacy {
		return
	}
	s.Reasoning += o.Reasoning
	for _, c := range o.ToolCalls {
		s.call(c.Index, c.ID, c.Name, c.Arguments)
	}
}

func (s *said) call(index int, id, name, arguments string) {
	for len(s.Calls) <= index {
		s.Calls = append(s.Calls, openai.ToolCall{Type: "function"})
	}
	c := &s.Calls[index]
	c.ID, c.Function.Name, c.Function.Arguments = c.ID+id, c.Function.Name+name, c.Function.Arguments+arguments
}

// randomOutput is output of a choice; calls counts its calls.
func randomOutput(t *rapid.T, choice int, calls *int) schemas.Output {
	word := rapid.StringN(0, 5, -1)
	o := schemas.Output{
		Choice: choice, Tokens: rapid.SliceOfN(rapid.Int32Range(0, 9), 0, 3).Draw(t, "tokens"),
		Text: word.Draw(t, "text"), Reasoning: word.Draw(t, "reasoning"),
	}
	if *calls > 0 && rapid.Bool().Draw(t, "continues a call") {
		o.ToolCalls = append(o.ToolCalls, schemas.ToolCallDelta{Index: *calls - 1, Arguments: word.Draw(t, "arguments")})
	}
	if rapid.Bool().Draw(t, "begins a call") {
		o.ToolCalls = append(o.ToolCalls, schemas.ToolCallDelta{Index: *calls, ID: "call_x", Name: "f", Arguments: word.Draw(t, "arguments")})
		*calls++
	}
	if rapid.Bool().Draw(t, "logprobs") {
		text := rapid.SliceOfN(rapid.Byte(), 0, 3)
		for range o.Tokens {
			l := schemas.TokenLogprob{Bytes: text.Draw(t, "bytes"), Logprob: -1.5}
			for range rapid.IntRange(0, 2).Draw(t, "top") {
				l.Top = append(l.Top, schemas.TopLogprob{Token: 1, Bytes: text.Draw(t, "bytes"), Logprob: -0.5})
			}
			o.Logprobs = append(o.Logprobs, l)
		}
	}
	return o
}

// randomLog is a log as workers write it, over several attempts, with an end or
// without one yet, and what its choices said.
func randomLog(t *rapid.T, format string) ([]schemas.Event, []said) {
	var events []schemas.Event
	if rapid.Bool().Draw(t, "gateway") || format != schemas.FormatOpenAIChat {
		events = append(events, submitted(schemas.API{
			Format: format, IncludeUsage: rapid.Bool().Draw(t, "usage"), ContinuousUsage: rapid.Bool().Draw(t, "continuous"),
		}))
	}
	count := rapid.IntRange(1, 3).Draw(t, "choices")
	choices, calls := make([]said, count), make([]int, count)
	running := make([]int, count)
	for i := range running {
		running[i] = i
	}
	say := func(i int, finish schemas.FinishReason) schemas.Output {
		o := randomOutput(t, i, &calls[i])
		choices[i].add(o, finish, format != schemas.FormatOpenAIChat)
		return o
	}
	for range rapid.IntRange(1, 3).Draw(t, "attempts") {
		events = append(events, started())
		for range rapid.IntRange(0, 6).Draw(t, "deltas") {
			k := rapid.IntRange(0, len(running)-1).Draw(t, "whose")
			d := schemas.Delta{}
			if len(running) > 1 && rapid.IntRange(0, 3).Draw(t, "ends") == 0 {
				d.FinishReason = schemas.FinishLength
			}
			d.Output = say(running[k], d.FinishReason)
			if d.FinishReason != "" {
				running = append(running[:k], running[k+1:]...)
			}
			events = append(events, schemas.Event{Type: schemas.EventDelta, Delta: &d})
		}
		events = append(events, requeued())
	}
	switch rapid.SampledFrom([]string{"done", "expired", "none"}).Draw(t, "end") {
	case "done":
		for _, i := range running[1:] {
			events = append(events, schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{
				Output: say(i, schemas.FinishStop), FinishReason: schemas.FinishStop,
			}})
		}
		e := done("", 0)
		e.Done.FinishReason = schemas.FinishToolCalls
		e.Done.Output = say(running[0], schemas.FinishToolCalls)
		events = append(events, e)
	case "expired":
		events = append(events, schemas.Event{Type: schemas.EventExpired, Expired: &schemas.Expired{DeadlineMS: 5}})
	}
	return logOf(events...), choices
}

// heard is what a client puts together from chunks.
func heard(t *rapid.T, chunks []openai.Chunk, format string, count int) []said {
	all := make([]said, count)
	for _, c := range chunks {
		var chat openai.ChatCompletionChunk
		var text openai.TextCompletion
		var err error
		if format == schemas.FormatOpenAIChat {
			err = json.Unmarshal(c.Data, &chat)
		} else {
			err = json.Unmarshal(c.Data, &text)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, choice := range chat.Choices {
			s := &all[choice.Index]
			if choice.Delta.Content != nil {
				s.Text += *choice.Delta.Content
			}
			s.Reasoning += choice.Delta.ReasoningContent
			for _, call := range choice.Delta.ToolCalls {
				s.call(call.Index, call.ID, call.Function.Name, call.Function.Arguments)
			}
			if choice.Logprobs != nil {
				s.Logprobs += len(choice.Logprobs.Content)
			}
			if choice.FinishReason != nil {
				s.Finish = *choice.FinishReason
			}
		}
		for _, choice := range text.Choices {
			s := &all[choice.Index]
			s.Text += choice.Text
			if choice.Logprobs != nil {
				s.Logprobs += len(choice.Logprobs.Tokens)
			}
			if choice.FinishReason != nil {
				s.Finish = *choice.FinishReason
			}
		}
	}
	return all
}

// whole is what an answer without stream says.
func whole(t *rapid.T, data []byte, format string) []said {
	var all []said
	if format == schemas.FormatOpenAIChat {
		var c openai.ChatCompletion
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(err)
		}
		for i, choice := range c.Choices {
			s := said{Reasoning: choice.Message.ReasoningContent, Calls: choice.Message.ToolCalls, Finish: choice.FinishReason}
			switch {
			case choice.Message.Content != nil:
				s.Text = *choice.Message.Content
			case len(s.Calls) == 0:
				t.Fatalf("no content and no calls: %s", data)
			}
			if choice.Logprobs != nil {
				s.Logprobs = len(choice.Logprobs.Content)
			}
			if choice.Index != i {
				t.Fatalf("choice %d has the index %d", i, choice.Index)
			}
			all = append(all, s)
		}
		return all
	}
	var c openai.TextCompletion
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	for _, choice := range c.Choices {
		s := said{Text: choice.Text, Finish: *choice.FinishReason}
		if l := choice.Logprobs; l != nil {
			s.Logprobs = len(l.Tokens)
			if len(l.TokenLogprobs) != len(l.Tokens) || len(l.TextOffset) != len(l.Tokens) ||
				l.TopLogprobs != nil && len(l.TopLogprobs) != len(l.Tokens) {
				t.Fatalf("lists of different lengths: %s", data)
			}
		}
		all = append(all, s)
	}
	return all
}

func TestStreamIsAPureFunctionOfTheLog(t *testing.T) {
	for _, format := range []string{schemas.FormatOpenAIChat, schemas.FormatOpenAICompletions} {
		t.Run(format, rapid.MakeCheck(func(t *rapid.T) { pure(t, format) }))
	}
}

func pure(t *rapid.T, format string) {
	events, want := randomLog(t, format)

	var all []openai.Chunk
	s := openai.NewStream(openai.StreamOptions{})
	for _, e := range events {
		all = append(all, s.Event(e)...)
	}
	for i, c := range all {
		if i > 0 && !c.ID.After(all[i-1].ID) {
			t.Fatalf("%s does not come after %s", c.ID, all[i-1].ID)
		}
		if parsed, err := schemas.ParseChunkID(c.ID.String()); err != nil || parsed != c.ID {
			t.Fatalf("%s is read as %v, %v", c.ID, parsed, err)
		}
		if strings.Contains(string(c.Data), "\n") {
			t.Fatalf("more than a line: %s", c.Data)
		}
	}
	if got := heard(t, all, format, len(want)); !reflect.DeepEqual(got, want) {
		t.Fatalf("the chunks say  %+v\nthe events said %+v", got, want)
	}

	// A client that has seen some chunks, and resumes on another gateway
	// while the log was still shorter, gets exactly the rest.
	seen := rapid.IntRange(0, len(all)).Draw(t, "seen")
	cut := rapid.IntRange(0, len(events)).Draw(t, "cut")
	var rest []openai.Chunk
	other := openai.NewStream(openai.StreamOptions{})
	for _, part := range [][]schemas.Event{events[:cut], events[cut:]} {
		for _, e := range part {
			for _, c := range other.Event(e) {
				if seen == 0 || c.ID.After(all[seen-1].ID) {
					rest = append(rest, c)
				}
			}
		}
	}
	if len(rest) != len(all)-seen || len(rest) > 0 && !reflect.DeepEqual(rest, all[seen:]) {
		t.Fatalf("after %d of %d chunks came %d others", seen, len(all), len(rest))
	}

	data, err := openai.Answer(events, openai.StreamOptions{})
	if ended := events[len(events)-1].Type == schemas.EventDone; ended != (err == nil) {
		t.Fatalf("answer: %v", err)
	}
	var e *openai.Error
	if err != nil && !errors.Is(err, openai.ErrUnfinished) && !errors.As(err, &e) {
		t.Fatalf("an error of type %T", err)
	}
	if err != nil {
		return
	}
	if got := whole(t, data, format); !reflect.DeepEqual(got, want) {
		t.Fatalf("the answer says %+v\nthe events said %+v", got, want)
	}
}
