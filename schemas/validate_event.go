package schemas

import (
	"fmt"
	"math"
)

// Validate reports the first field that cannot be accepted, as a
// [*FieldError]. An event has exactly the payload that belongs to its type.
func (e Event) Validate() error {
	switch {
	case !readable(e.Version):
		return badVersion(e.Version)
	case !ValidJobID(e.Job):
		return invalid("job", "must be 1 … %d characters of A-Z a-z 0-9 _ -", MaxJobID)
	case e.N < 1:
		return invalid("n", "must be at least 1, not %d", e.N)
	case e.Time.Year() < 0 || e.Time.Year() > 9999:
		return invalid("time", "must be between the years 0 and 9999")
	}
	payloads := []struct {
		belongs EventType
		there   bool
	}{
		{EventSubmitted, e.Submitted != nil},
		{EventStarted, e.Started != nil},
		{EventDelta, e.Delta != nil},
		{EventRequeued, e.Requeued != nil},
		{EventDone, e.Done != nil},
		{EventFailed, e.Failed != nil},
		{EventCancelled, e.Cancelled != nil},
		{EventExpired, e.Expired != nil},
	}
	known := false
	for _, p := range payloads {
		mine := p.belongs == e.Type
		known = known || mine
		if mine && !p.there {
			return invalid(string(p.belongs), "is required in an event of type %s", e.Type)
		}
		if !mine && p.there {
			return invalid(string(p.belongs), "does not belong to an event of type %s", quote(string(e.Type)))
		}
	}
	if !known {
		return invalid("type", "%s is not a type of event", quote(string(e.Type)))
	}
	return e.validatePayload()
}

// validatePayload relies on the payload of e.Type being there.
func (e Event) validatePayload() error {
	switch e.Type {
	case EventSubmitted:
		return e.Submitted.validate()
	case EventStarted:
		return e.Started.validate()
	case EventDelta:
		return e.Delta.validate()
	case EventRequeued:
		return checkWords(
			word{"requeued.worker", e.Requeued.Worker},
			word{"requeued.incarnation", e.Requeued.Incarnation},
			word{"requeued.reason", e.Requeued.Reason},
		)
	case EventDone:
		return e.Done.validate()
	case EventFailed:
		if err := checkWords(word{"failed.code", string(e.Failed.Code)}, word{"failed.message", e.Failed.Message}); err != nil {
			return err
		}
		if err := checkText("failed.param", e.Failed.Param); err != nil {
			return err
		}
		return e.Failed.Usage.validate("failed.usage")
	case EventCancelled:
		if err := checkWords(word{"cancelled.reason", e.Cancelled.Reason}); err != nil {
			return err
		}
		return e.Cancelled.Usage.validate("cancelled.usage")
	case EventExpired:
		if e.Expired.DeadlineMS < 0 {
			return invalid("expired.deadline_ms", "must not be negative")
		}
		return e.Expired.Usage.validate("expired.usage")
	}
	return nil
}

func (s *Submitted) validate() error {
	if !isSHA256(s.BodyHash) {
		return invalid("submitted.body_hash", "must be a SHA-256 as 64 hexadecimal digits in lower case")
	}
	if s.RequestHash != "" && !isSHA256(s.RequestHash) {
		return invalid("submitted.request_hash", "must be a SHA-256 as 64 hexadecimal digits in lower case")
	}
	if err := checkWords(word{"submitted.subject", s.Subject}); err != nil {
		return err
	}
	if err := checkName("submitted.model", s.Model); err != nil {
		return err
	}
	if s.ReplayOf != "" && !ValidJobID(s.ReplayOf) {
		return invalid("submitted.replay_of", "must be at most %d characters of A-Z a-z 0-9 _ -", MaxJobID)
	}
	if s.DeadlineMS < 0 {
		return invalid("submitted.deadline_ms", "must not be negative")
	}
	return s.API.validate("submitted.api")
}

func (s *Started) validate() error {
	if s.Attempt < 1 {
		return invalid("started.attempt", "must be at least 1, not %d", s.Attempt)
	}
	if s.PromptTokens < 0 {
		return invalid("started.prompt_tokens", "must not be negative")
	}
	return checkWords(
		word{"started.worker", s.Worker},
		word{"started.incarnation", s.Incarnation},
		word{"started.fingerprint", s.Fingerprint},
	)
}

func (d *Delta) validate() error {
	if err := d.Output.validate("delta"); err != nil || d.FinishReason == "" {
		return err
	}
	return d.FinishReason.validate("delta.finish_reason")
}

func (r FinishReason) validate(field string) error {
	switch r {
	case FinishStop, FinishLength, FinishToolCalls:
		return nil
	}
	return invalid(field, "must be %s, %s or %s, not %s", FinishStop, FinishLength, FinishToolCalls, quote(string(r)))
}

func (o *Output) validate(field string) error {
	if o.Choice < 0 || o.Choice >= MaxChoices {
		return invalid(field+".choice", "must be 0 … %d, not %d", MaxChoices-1, o.Choice)
	}
	if err := checkTokens(field+".tokens", o.Tokens); err != nil {
		return err
	}
	if err := checkText(field+".text", o.Text); err != nil {
		return err
	}
	if err := checkText(field+".reasoning", o.Reasoning); err != nil {
		return err
	}
	for i, c := range o.ToolCalls {
		if err := c.validate(fmt.Sprintf("%s.tool_calls[%d]", field, i)); err != nil {
			return err
		}
	}
	if n := len(o.Logprobs); n > 0 && n != len(o.Tokens) {
		return invalid(field+".logprobs", "must have an entry for each of the %d tokens, not %d", len(o.Tokens), n)
	}
	for i, l := range o.Logprobs {
		if err := l.validate(fmt.Sprintf("%s.logprobs[%d]", field, i)); err != nil {
			return err
		}
	}
	return nil
}

func (c ToolCallDelta) validate(field string) error {
	if c.Index < 0 || c.Index >= MaxTools {
		return invalid(field+".index", "must be 0 … %d, not %d", MaxTools-1, c.Index)
	}
	for _, t := range []word{{"id", c.ID}, {"name", c.Name}, {"arguments", c.Arguments}} {
		if err := checkText(field+"."+t.field, t.text); err != nil {
			return err
		}
	}
	return nil
}

func (l TokenLogprob) validate(field string) error {
	if err := checkLogprob(field, l.Logprob); err != nil {
		return err
	}
	if n := len(l.Top); n > MaxTopLogprobs {
		return invalid(field+".top", "must hold at most %d tokens, not %d", MaxTopLogprobs, n)
	}
	for i, t := range l.Top {
		at := fmt.Sprintf("%s.top[%d]", field, i)
		if t.Token < 0 {
			return invalid(at+".token", "must not be negative")
		}
		if err := checkLogprob(at, t.Logprob); err != nil {
			return err
		}
	}
	return nil
}

func checkLogprob(field string, logprob float64) error {
	if !(logprob <= 0 && logprob >= -math.MaxFloat64) {
		return invalid(field+".logprob", "must be a finite number not above 0")
	}
	return nil
}

func (d *Done) validate() error {
	if err := d.Output.validate("done"); err != nil {
		return err
	}
	if err := d.FinishReason.validate("done.finish_reason"); err != nil {
		return err
	}
	if err := d.Usage.validate("done.usage"); err != nil {
		return err
	}
	for _, t := range []struct {
		field string
		ms    float64
	}{
		{"done.timings.queued_ms", d.Timings.QueuedMS},
		{"done.timings.prefill_ms", d.Timings.PrefillMS},
		{"done.timings.decode_ms", d.Timings.DecodeMS},
	} {
		if !(t.ms >= 0 && t.ms <= math.MaxFloat64) {
			return invalid(t.field, "must not be negative")
		}
	}
	return nil
}

// validate accepts a nil Usage: nothing was counted.
func (u *Usage) validate(field string) error {
	if u == nil {
		return nil
	}
	return checkCounts(
		count{field + ".prompt_tokens", u.PromptTokens},
		count{field + ".completion_tokens", u.CompletionTokens},
		count{field + ".cached_tokens", u.CachedTokens},
	)
}
