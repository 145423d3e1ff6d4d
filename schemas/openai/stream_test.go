package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

var began = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// logOf numbers the events of a job; each comes a second after the other.
func logOf(events ...schemas.Event) []schemas.Event {
	for i := range events {
		events[i].Version, events[i].Job, events[i].N = schemas.Version, "job-1", int64(i+1)
		events[i].Time = began.Add(time.Duration(i) * time.Second)
	}
	return events
}

func submitted(api schemas.API) schemas.Event {
	api.Format, api.Stream = schemas.FormatOpenAIChat, true
	return schemas.Event{Type: schemas.EventSubmitted, Submitted: &schemas.Submitted{
		BodyHash: strings.Repeat("0", 64), Subject: "s", Model: "tiny", API: &api,
	}}
}

func started() schemas.Event {
	return schemas.Event{Type: schemas.EventStarted, Started: &schemas.Started{
		Attempt: 1, Worker: "w", Incarnation: "i", Fingerprint: "sha256:0123456789abcdef", Seed: 1, PromptTokens: 5,
	}}
}

func requeued() schemas.Event {
	return schemas.Event{Type: schemas.EventRequeued, Requeued: &schemas.Requeued{Worker: "w", Incarnation: "i", Reason: "draining"}}
}

func delta(text string, tokens ...int32) schemas.Event {
	return schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: schemas.Output{Tokens: tokens, Text: text}}}
}

func done(text string, completion int, tokens ...int32) schemas.Event {
	return schemas.Event{Type: schemas.EventDone, Done: &schemas.Done{
		Output: schemas.Output{Tokens: tokens, Text: text}, FinishReason: schemas.FinishStop,
		Usage:   schemas.Usage{PromptTokens: 5, CompletionTokens: completion, CachedTokens: 2},
		Timings: schemas.Timings{QueuedMS: 1, PrefillMS: 2, DecodeMS: 3},
	}}
}

// lines are the ids and data that a log makes.
func lines(events []schemas.Event, o openai.StreamOptions) []string {
	var out []string
	s := openai.NewStream(o)
	for _, e := range events {
		for _, c := range s.Event(e) {
			out = append(out, c.ID.String()+" "+string(c.Data))
		}
	}
	return out
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("line %d:\ngot  %s\nwant %s", i, g, w)
		}
	}
}

// What every chunk has in common, the first choice, and what follows a finish.
const (
	head = `{"id":"chatcmpl-job-1","object":"chat.completion.chunk","created":1782907200,"model":"tiny",` +
		`"system_fingerprint":"fp_0123456789ab","choices":`
	role    = `[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]`
	finish  = `[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]`
	timings = `"timings":{"queued_ms":1,"prefill_ms":2,"decode_ms":3}`
)

// says is the choices of a chunk with text.
func says(text string) string {
	return `[{"index":0,"delta":{"content":"` + text + `"},"logprobs":null,"finish_reason":null}]`
}

// counts is the usage of a chunk in the middle of a stream.
func counts(completion int) string {
	return fmt.Sprintf(`"usage":{"prompt_tokens":5,"completion_tokens":%d,"total_tokens":%d}`, completion, 5+completion)
}

func TestStream(t *testing.T) {
	got := lines(logOf(
		submitted(schemas.API{}), started(), delta("Hel", 1), requeued(), started(), delta("", 2), delta("lo <&>", 3, 4), done("!", 5, 6),
	), openai.StreamOptions{})
	wantLines(t, got,
		`job-1:3.0 `+head+role+`}`,
		`job-1:3.1 `+head+says("Hel")+`}`,
		`job-1:7.0 `+head+says("lo <&>")+`}`,
		`job-1:8.0 `+head+says("!")+`}`,
		`job-1:8.1 `+head+finish+`,`+timings+`}`,
	)
}

func TestStreamWithUsage(t *testing.T) {
	got := lines(logOf(submitted(schemas.API{IncludeUsage: true}), started(), delta("Hi", 1), done("", 1)), openai.StreamOptions{})
	wantLines(t, got,
		`job-1:3.0 `+head+role+`,"usage":null}`,
		`job-1:3.1 `+head+says("Hi")+`,"usage":null}`,
		`job-1:4.0 `+head+finish+`,`+timings+`,"usage":null}`,
		`job-1:4.1 `+head+`[],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":2}}}`,
	)
}

func TestStreamWithContinuousUsage(t *testing.T) {
	got := lines(logOf(started(), delta("Hi", 1, 2), done("", 2)), openai.StreamOptions{
		Model: "tiny", API: &schemas.API{Format: schemas.FormatOpenAIChat, ContinuousUsage: true},
	})
	wantLines(t, got,
		`job-1:2.0 `+head+role+`,`+counts(0)+`}`,
		`job-1:2.1 `+head+says("Hi")+`,`+counts(2)+`}`,
		`job-1:3.0 `+head+finish+`,`+counts(2)+`,`+timings+`}`,
	)
}

func TestStreamThatBreaks(t *testing.T) {
	const late = `"type":"server_error","param":null,"code":"deadline_exceeded"}}`
	usage := &schemas.Usage{PromptTokens: 5, CompletionTokens: 1}
	for _, c := range []struct {
		name string
		end  schemas.Event
		want string
	}{
		{
			"failed",
			schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{
				Code: schemas.CodeContextLengthExceeded, Message: "Too long.", Param: "messages", Usage: usage,
			}},
			`{"error":{"message":"Too long.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
		},
		{
			"cancelled",
			schemas.Event{Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{Reason: "requested", Usage: usage}},
			`{"error":{"message":"The request was cancelled: requested.","type":"invalid_request_error","param":null,"code":"cancelled"}}`,
		},
		{
			"expired",
			schemas.Event{Type: schemas.EventExpired, Expired: &schemas.Expired{DeadlineMS: 90_000, Started: true, Usage: usage}},
			`{"error":{"message":"The deadline of 1m30s passed while the request was being answered.",` + late,
		},
		{
			"expired while waiting",
			schemas.Event{Type: schemas.EventExpired, Expired: &schemas.Expired{DeadlineMS: 90_000, Usage: usage}},
			`{"error":{"message":"The deadline of 1m30s passed while the request was waiting for a worker.",` + late,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := lines(logOf(submitted(schemas.API{IncludeUsage: true}), started(), delta("Hi", 1), c.end), openai.StreamOptions{})
			wantLines(t, got[2:],
				`job-1:4.0 `+head+`[],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":0}}}`,
				`job-1:4.1 `+c.want,
			)
			// Without output there is only the error, which can then be a status.
			s := openai.NewStream(openai.StreamOptions{})
			events := logOf(submitted(schemas.API{IncludeUsage: true}), c.end)
			if chunks := s.Event(events[0]); len(chunks) > 0 || s.Ended() {
				t.Errorf("submitted alone made %d chunks", len(chunks))
			}
			chunks := s.Event(events[1])
			if len(chunks) != 1 || chunks[0].Error == nil || !s.Ended() {
				t.Errorf("got %+v", chunks)
			}
			if s.Event(events[1]) != nil {
				t.Error("something came after the end")
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	events := logOf(submitted(schemas.API{}), started(), delta("Hel", 1), delta("lo", 2), done("!", 3, 3))
	got, err := openai.Completion(events, openai.StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, []string{string(data)}, `{"id":"chatcmpl-job-1","object":"chat.completion","created":1782907200,"model":"tiny",`+
		`"system_fingerprint":"fp_0123456789ab","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!","refusal":null},`+
		`"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,`+
		`"prompt_tokens_details":{"cached_tokens":2}},`+timings+`}`)

	if _, err := openai.Completion(events[:4], openai.StreamOptions{}); !errors.Is(err, openai.ErrUnfinished) {
		t.Errorf("an unfinished log: %v", err)
	}
	failed := logOf(schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{Code: schemas.CodeEngineFailed, Message: "Broken."}})
	var e *openai.Error
	_, err = openai.Completion(failed, openai.StreamOptions{})
	if !errors.As(err, &e) || *e.Code != schemas.CodeEngineFailed || e.Error() != "Broken." {
		t.Errorf("a failed log: %v", err)
	}
}

// randomLog is a log as workers write it, over several attempts, with an end or
// without one yet, and the text of its events.
func randomLog(t *rapid.T) ([]schemas.Event, string) {
	var events []schemas.Event
	var text strings.Builder
	if rapid.Bool().Draw(t, "gateway") {
		events = append(events, submitted(schemas.API{
			IncludeUsage: rapid.Bool().Draw(t, "usage"), ContinuousUsage: rapid.Bool().Draw(t, "continuous"),
		}))
	}
	tokens := 0
	for range rapid.IntRange(1, 3).Draw(t, "attempts") {
		events = append(events, started())
		for range rapid.IntRange(0, 6).Draw(t, "deltas") {
			word := rapid.StringN(0, 5, -1).Draw(t, "text")
			ids := rapid.SliceOfN(rapid.Int32Range(0, 9), 1, 3).Draw(t, "tokens")
			tokens += len(ids)
			text.WriteString(word)
			events = append(events, delta(word, ids...))
		}
		events = append(events, requeued())
	}
	switch rapid.SampledFrom([]string{"done", "expired", "none"}).Draw(t, "end") {
	case "done":
		word := rapid.StringN(0, 5, -1).Draw(t, "text")
		text.WriteString(word)
		events = append(events, done(word, tokens))
	case "expired":
		events = append(events, schemas.Event{Type: schemas.EventExpired, Expired: &schemas.Expired{DeadlineMS: 5}})
	}
	return logOf(events...), text.String()
}

func TestStreamIsAPureFunctionOfTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, text := randomLog(t)

		var all []openai.Chunk
		var content strings.Builder
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
			var chunk openai.ChatCompletionChunk
			if err := json.Unmarshal(c.Data, &chunk); err != nil {
				t.Fatal(err)
			}
			for _, choice := range chunk.Choices {
				if choice.Delta.Content != nil {
					content.WriteString(*choice.Delta.Content)
				}
			}
		}
		if content.String() != text {
			t.Fatalf("the chunks say %q, the events %q", content.String(), text)
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

		completion, err := openai.Completion(events, openai.StreamOptions{})
		if ended := events[len(events)-1].Type == schemas.EventDone; ended != (err == nil) {
			t.Fatalf("completion: %v", err)
		}
		if err == nil && completion.Choices[0].Message.Content != text {
			t.Fatalf("the completion says %q, the events %q", completion.Choices[0].Message.Content, text)
		}
	})
}

func TestSystemFingerprint(t *testing.T) {
	of := func(fingerprint string) string {
		begin := started()
		begin.Started.Fingerprint = fingerprint
		completion, err := openai.Completion(logOf(begin, done("", 0)), openai.StreamOptions{Model: "tiny"})
		if err != nil {
			t.Fatal(err)
		}
		return completion.SystemFingerprint
	}
	for fingerprint, want := range map[string]string{
		"0123456789abcdef0123456789abcdef": "fp_0123456789ab",
		"sha256:0123456789abcdef":          "fp_0123456789ab",
	} {
		if got := of(fingerprint); got != want {
			t.Errorf("%s is shown as %s", fingerprint, got)
		}
	}
	if a, b := of("sim:a:64"), of("sim:b:64"); a == b || len(a) != len("fp_")+12 {
		t.Errorf("two models are shown as %s and %s", a, b)
	}
}
