package schemas_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
)

func TestRoundTrips(t *testing.T) {
	t.Run("job", func(t *testing.T) { roundTrip(t, job(), schemas.EncodeJob, schemas.DecodeJob) })
	t.Run("event", func(t *testing.T) { roundTrip(t, event(), schemas.EncodeEvent, schemas.DecodeEvent) })
	t.Run("worker", func(t *testing.T) { roundTrip(t, worker(), schemas.EncodeWorkerStatus, schemas.DecodeWorkerStatus) })
	t.Run("input", func(t *testing.T) { roundTrip(t, input(), schemas.EncodeInput, schemas.DecodeInput) })
	t.Run("parked", func(t *testing.T) { roundTrip(t, parked(), schemas.EncodeParked, schemas.DecodeParked) })
	t.Run("exit", func(t *testing.T) { roundTrip(t, exit(), schemas.EncodeExit, schemas.DecodeExit) })
}

func roundTrip[T any](t *testing.T, g *rapid.Generator[T], encode func(T) ([]byte, error), decode func([]byte) (T, error)) {
	rapid.Check(t, func(t *rapid.T) {
		want := g.Draw(t, "document")
		data, err := encode(want)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		got, err := decode(data)
		if err != nil {
			t.Fatalf("decode %s: %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v\nfrom %s", got, want, data)
		}
	})
}

const goodJob = `{"v":1,"model":"m","messages":[{"role":"user","content":"hi"}]}`

// (What concerns several fields is in refusals_test.go.)
func TestDecodeJobRefusals(t *testing.T) {
	saying := func(messages string) string { return `{"v":1,"model":"m","messages":[` + messages + `]}` }
	with := func(field string) string { return strings.TrimSuffix(goodJob, "}") + "," + field + "}" }
	for _, c := range []struct {
		doc   string
		field string
		code  schemas.Code
	}{
		{``, "", schemas.CodeInvalidRequest},
		{`[]`, "", schemas.CodeInvalidRequest},
		{goodJob + `{}`, "", schemas.CodeInvalidRequest},
		{`{"v":1,"model":"m"}`, "messages", schemas.CodeInvalidRequest},
		{`{"model":"m","messages":[]}`, "v", schemas.CodeInvalidRequest},
		{`{"v":1,"model":"m","messages":[]}`, "messages", schemas.CodeInvalidRequest},
		{`{"v":0,"model":"m","messages":[{"role":"user","content":"hi"}]}`, "v", schemas.CodeInvalidRequest},
		{`{"v":1,"model":"","messages":[{"role":"user","content":"hi"}]}`, "model", schemas.CodeInvalidRequest},
		{`{"v":1,"Model":"m","messages":[{"role":"user","content":"hi"}]}`, "Model", schemas.CodeUnknownParameter},
		{saying(`{"role":"user","content":"a"},{"role":"robot","content":"b"}`), "messages[1].role", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":["a"]}`), "messages[0].content", schemas.CodeInvalidRequest},
		{saying(`{"role":"user"}`), "messages[0].content", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":"a","text":1}`), "messages[0].text", schemas.CodeUnknownParameter},
		{saying(`{"role":"user","content":"a","content":"b"}`), "messages[0].content", schemas.CodeInvalidRequest},
		{saying("{\"role\":\"user\",\"content\":\"\xff\"}"), "messages[0].content", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":"\ud800"}`), "messages[0].content", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":"a","tool_call_id":"x"}`), "messages[0].tool_call_id", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":"a","name":"` + strings.Repeat("x", 201) + `"}`), "messages[0].name", schemas.CodeInvalidRequest},
		{with(`"kind":"image"`), "kind", schemas.CodeInvalidRequest},
		{with(`"temperature":2.1`), "temperature", schemas.CodeInvalidRequest},
		{with(`"temperature":-0.1`), "temperature", schemas.CodeInvalidRequest},
		{with(`"temperature":"1"`), "temperature", schemas.CodeInvalidRequest},
		{with(`"temperature":null`), "temperature", schemas.CodeInvalidRequest},
		{with(`"top_p":1.5`), "top_p", schemas.CodeInvalidRequest},
		{with(`"min_p":1.5`), "min_p", schemas.CodeInvalidRequest},
		{with(`"top_k":-1`), "top_k", schemas.CodeInvalidRequest},
		{with(`"top_k":1.5`), "top_k", schemas.CodeInvalidRequest},
		{with(`"seed":9223372036854775808`), "seed", schemas.CodeInvalidRequest},
		{with(`"max_tokens":0`), "max_tokens", schemas.CodeInvalidRequest},
		{with(`"stop":"x"`), "stop", schemas.CodeInvalidRequest},
		{with(`"stop":["a",""]`), "stop[1]", schemas.CodeInvalidRequest},
		{with(`"stop":["a","b","c","d","e"]`), "stop", schemas.CodeInvalidRequest},
		{with(`"deadline_ms":-1`), "deadline_ms", schemas.CodeInvalidRequest},
		{with(`"deadline_ms":604800001`), "deadline_ms", schemas.CodeInvalidRequest},
		{with(`"agent":"` + strings.Repeat("x", 201) + `"`), "agent", schemas.CodeInvalidRequest},
		{with(`"api":{}`), "api.format", schemas.CodeInvalidRequest},
		{with(`"api":{"format":"fax"}`), "api.format", schemas.CodeInvalidRequest},
		{with(`"api":{"format":"openai.chat","stream":1}`), "api.stream", schemas.CodeInvalidRequest},
		{
			with(`"api":` + strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 71)),
			"api" + strings.Repeat(".a", 63), schemas.CodeInvalidRequest,
		},
		{with(`"owner":"me"`), "owner", schemas.CodeUnknownParameter},
	} {
		_, err := schemas.DecodeJob([]byte(c.doc))
		wantField(t, c.doc, err, c.field, c.code)
	}
}

func TestJobBoundsAreNamed(t *testing.T) {
	for doc, reason := range map[string]string{
		`"max_tokens":3000000000`: "must be 1 … 2147483647, not 3000000000",
		`"top_k":3000000000`:      "must be 0 (all) … 2147483647, not 3000000000",
		`"temperature":3`:         "must be 0 … 2, not 3",
	} {
		_, err := schemas.DecodeJob([]byte(strings.Replace(goodJob, "{", "{"+doc+",", 1)))
		var fe *schemas.FieldError
		if !errors.As(err, &fe) || fe.Reason != reason {
			t.Errorf("%s: got %v, want %q", doc, err, reason)
		}
	}
}

func wantField(t *testing.T, doc string, err error, field string, code schemas.Code) {
	t.Helper()
	var fe *schemas.FieldError
	switch {
	case !errors.As(err, &fe):
		t.Errorf("%s\n\tgot %v, want a *FieldError for %q", doc, err, field)
	case fe.Field != field || fe.Code != code:
		t.Errorf("%s\n\tgot field %q code %s (%v), want %q %s", doc, fe.Field, fe.Code, err, field, code)
	case fe.Reason == "" || !strings.HasPrefix(fe.Error(), field):
		t.Errorf("%s\n\terror %q does not say what is wrong where", doc, fe)
	}
}

func TestDecodeEventRefusals(t *testing.T) {
	const (
		head    = `{"v":1,"job":"j","n":1,"time":"2026-01-02T03:04:05Z",`
		nothing = `"prompt_tokens":0,"completion_tokens":0,"cached_tokens":0`
		instant = `"queued_ms":0,"prefill_ms":0,"decode_ms":0`
	)
	hash := strings.Repeat("0a", 32)
	submitted := func(hash, subject, model, rest string) string {
		return fmt.Sprintf(`%s"type":"submitted","submitted":{"body_hash":%q,"subject":%q,"model":%q%s}}`, head, hash, subject, model, rest)
	}
	started := func(attempt int, worker string, prompt int) string {
		const payload = `"attempt":%d,"worker":%q,"incarnation":"i","fingerprint":"f","seed":0,"prompt_tokens":%d`
		return fmt.Sprintf(`%s"type":"started","started":{`+payload+`}}`, head, attempt, worker, prompt)
	}
	done := func(before, reason, usage, timings string) string {
		return fmt.Sprintf(`%s"type":"done","done":{%s"finish_reason":%q,"usage":{%s},"timings":{%s}}}`, head, before, reason, usage, timings)
	}
	for _, c := range []struct{ doc, field string }{
		{head + `"type":"delta"}`, "delta"},
		{head + `"type":"nap"}`, "type"},
		{head + `"type":"nap","delta":{"tokens":[],"text":""}}`, "delta"},
		{head + `"type":"delta","delta":{"tokens":[1],"text":"a"},"failed":{"code":"x","message":"y"}}`, "failed"},
		{head + `"type":"delta","delta":{"tokens":[1,-1],"text":"a"}}`, "delta.tokens[1]"},
		{head + `"type":"delta","delta":{"tokens":[4294967296],"text":"a"}}`, "delta.tokens[0]"},
		{head + `"type":"delta","delta":{"tokens":null,"text":"a"}}`, "delta.tokens"},
		{submitted("0", "s", "m", ""), "submitted.body_hash"},
		{submitted(strings.ToUpper(hash), "s", "m", ""), "submitted.body_hash"},
		{submitted(hash, "", "m", ""), "submitted.subject"},
		{submitted(hash, "s", "", ""), "submitted.model"},
		{submitted(hash, "s", "m", `,"api":{"format":"x"}`), "submitted.api.format"},
		{started(0, "w", 1), "started.attempt"},
		{started(1, "", 1), "started.worker"},
		{started(1, "w", -1), "started.prompt_tokens"},
		{head + `"type":"requeued","requeued":{"worker":"w","incarnation":"i","reason":""}}`, "requeued.reason"},
		{done("", "tired", nothing, instant), "done.finish_reason"},
		{done("", "stop", strings.Replace(nothing, `completion_tokens":0`, `completion_tokens":-1`, 1), instant), "done.usage.completion_tokens"},
		{done("", "stop", nothing, strings.Replace(instant, `prefill_ms":0`, `prefill_ms":-1`, 1)), "done.timings.prefill_ms"},
		{done(`"tokens":[-1],`, "stop", nothing, instant), "done.tokens[0]"},
		{head + `"type":"failed","failed":{"code":"","message":"y"}}`, "failed.code"},
		{
			head + `"type":"failed","failed":{"code":"x","message":"y","usage":{"prompt_tokens":-1,"completion_tokens":0,"cached_tokens":0}}}`,
			"failed.usage.prompt_tokens",
		},
		{head + `"type":"cancelled","cancelled":{"reason":""}}`, "cancelled.reason"},
		{head + `"type":"expired","expired":{"deadline_ms":-1,"started":false}}`, "expired.deadline_ms"},
		{`{"v":1,"job":"a.b","n":1,"time":"2026-01-02T03:04:05Z","type":"delta","delta":{"tokens":[],"text":""}}`, "job"},
		{`{"v":1,"job":"j","n":0,"time":"2026-01-02T03:04:05Z","type":"delta","delta":{"tokens":[],"text":""}}`, "n"},
		{`{"v":1,"job":"j","n":1,"time":"yesterday","type":"delta","delta":{"tokens":[],"text":""}}`, "time"},
		{`{"v":1,"job":"j","n":1,"time":7,"type":"delta","delta":{"tokens":[],"text":""}}`, "time"},
		{`{"v":0,"job":"j","n":1,"time":"2026-01-02T03:04:05Z","type":"delta","delta":{"tokens":[],"text":""}}`, "v"},
	} {
		_, err := schemas.DecodeEvent([]byte(c.doc))
		wantField(t, c.doc, err, c.field, schemas.CodeInvalidRequest)
	}
}

func TestNewerVersionComesFirst(t *testing.T) {
	for _, doc := range []string{
		`{"v":2}`,
		`{"anything":{"else":[1]},"v":99}`,
		strings.Replace(goodJob, `"v":1`, `"v":2,"brand_new":true`, 1),
	} {
		if _, err := schemas.DecodeJob([]byte(doc)); !errors.Is(err, schemas.ErrNewerVersion) {
			t.Errorf("job %s: got %v", doc, err)
		}
		if _, err := schemas.DecodeEvent([]byte(doc)); !errors.Is(err, schemas.ErrNewerVersion) {
			t.Errorf("event %s: got %v", doc, err)
		}
		doc = strings.Replace(doc, `"v":2`, `"v":3`, 1)
		if _, err := schemas.DecodeWorkerStatus([]byte(doc)); !errors.Is(err, schemas.ErrNewerVersion) {
			t.Errorf("worker %s: got %v", doc, err)
		}
	}
	if _, err := schemas.DecodeJob([]byte(`{"v":2`)); errors.Is(err, schemas.ErrNewerVersion) {
		t.Error("half a document was taken for a newer one")
	}
}

// The registry entry of a newer release is read as far as it is known.
func TestNewerWorkerIsThere(t *testing.T) {
	doc := `{"v":99,"id":"w","incarnation":"i","host":"h","release":"r","model":"m","fingerprint":"f","backend":"npu","cells":5,
		"novelty":{"a":1},"started_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","draining":true}`
	w, err := schemas.ReadWorkerStatus([]byte(doc))
	if err != nil || w.ID != "w" || w.Incarnation != "i" || w.Model != "m" || w.Backend != "npu" || w.Cells != 5 || !w.Draining {
		t.Errorf("%+v, %v", w, err)
	}
	for _, bad := range []string{strings.Replace(doc, `"id":"w"`, `"id":7`, 1), strings.Replace(doc, `"cells":5`, `"cells":-5`, 1)} {
		if _, err := schemas.ReadWorkerStatus([]byte(bad)); !errors.Is(err, schemas.ErrNewerVersion) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	broken := []schemas.Message{{Role: schemas.RoleUser, Content: "\xff"}}
	_, err := schemas.EncodeJob(schemas.Job{Model: "m", Messages: broken})
	wantField(t, "job", err, "messages[0].content", schemas.CodeInvalidRequest)
	_, err = schemas.EncodeEvent(schemas.Event{Job: "j", N: 1, Type: schemas.EventDelta})
	wantField(t, "event", err, "delta", schemas.CodeInvalidRequest)
	_, err = schemas.EncodeWorkerStatus(schemas.WorkerStatus{
		ID: "w", Incarnation: "i", Fingerprint: "f", Backend: "sim", Model: "m", Cells: -1,
	})
	wantField(t, "worker", err, "cells", schemas.CodeInvalidRequest)
}

func FuzzDecodeJob(f *testing.F) {
	f.Add([]byte(goodJob))
	f.Add([]byte(`{"v":1,"model":"m","messages":[{"role":"tool","content":"\ud83d\ude00","tool_call_id":"c"}],
		"stop":["\n"],"seed":-1,"api":{"format":"openai.chat"}}`))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzCodec(t, data, schemas.DecodeJob, schemas.EncodeJob) })
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(`{"v":1,"job":"j","n":1,"type":"delta","time":"2026-01-02T03:04:05Z","delta":{"tokens":[1,2],"text":"a"}}`))
	f.Add([]byte(`{"v":1,"job":"j","n":9,"type":"failed","time":"2026-01-02T03:04:05+02:00","failed":{"code":"x","message":"y"}}`))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzCodec(t, data, schemas.DecodeEvent, schemas.EncodeEvent) })
}

// fuzzCodec wants every refusal to be one of the two documented ones, and
// every accepted document to survive being written and read again.
func fuzzCodec[T any](t *testing.T, data []byte, decode func([]byte) (T, error), encode func(T) ([]byte, error)) {
	first, err := decode(data)
	if err != nil {
		var fe *schemas.FieldError
		if !errors.Is(err, schemas.ErrNewerVersion) && !errors.As(err, &fe) {
			t.Fatalf("%q: an error of type %T: %v", data, err, err)
		}
		return
	}
	written, err := encode(first)
	if err != nil {
		t.Fatalf("%q was read, but cannot be written: %v", data, err)
	}
	second, err := decode(written)
	if err != nil {
		t.Fatalf("%q was written, but cannot be read: %v", written, err)
	}
	if !reflect.DeepEqual(first, second) {
		t.Fatalf("%+v became %+v", first, second)
	}
}
