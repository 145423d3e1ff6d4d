package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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
	if api.Format == "" {
		api.Format = schemas.FormatOpenAIChat
	}
	api.Stream = true
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
		`job-1:4.0 `+head+finish+`,"usage":null,`+timings+`}`,
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
	data, err := openai.Answer(events, openai.StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, []string{string(data)}, `{"id":"chatcmpl-job-1","object":"chat.completion","created":1782907200,"model":"tiny",`+
		`"system_fingerprint":"fp_0123456789ab","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!","refusal":null},`+
		`"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,`+
		`"prompt_tokens_details":{"cached_tokens":2}},`+timings+`}`)

	if _, err := openai.Answer(events[:4], openai.StreamOptions{}); !errors.Is(err, openai.ErrUnfinished) {
		t.Errorf("an unfinished log: %v", err)
	}
	failed := logOf(schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{Code: schemas.CodeEngineFailed, Message: "Broken."}})
	var e *openai.Error
	_, err = openai.Answer(failed, openai.StreamOptions{})
	if !errors.As(err, &e) || *e.Code != schemas.CodeEngineFailed || e.Error() != "Broken." {
		t.Errorf("a failed log: %v", err)
	}
}

func TestSystemFingerprint(t *testing.T) {
	of := func(fingerprint string) string {
		begin := started()
		begin.Started.Fingerprint = fingerprint
		data, err := openai.Answer(logOf(begin, done("", 0)), openai.StreamOptions{Model: "tiny"})
		var completion openai.ChatCompletion
		if err == nil {
			err = json.Unmarshal(data, &completion)
		}
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
