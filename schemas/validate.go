package schemas

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Bounds that [Job.Validate] keeps.
const (
	// MaxName bounds the characters of a model's, agent's or participant's name.
	MaxName = 200
	// MaxStop bounds the number of stop strings.
	MaxStop = 4
	// MaxTemperature is the highest temperature.
	MaxTemperature = 2
	// MaxDeadlineMS is the longest deadline, in milliseconds: seven days.
	MaxDeadlineMS = 7 * 24 * 60 * 60 * 1000
)

// Validate reports the first field that cannot be accepted, as a
// [*FieldError].
func (j Job) Validate() error {
	switch {
	case j.Version != Version:
		return badVersion(j.Version)
	case j.Kind != "" && j.Kind != KindChat:
		return invalid("kind", "must be %q", KindChat)
	case len(j.Messages) == 0:
		return invalid("messages", "must hold at least one message")
	}
	if err := checkName("model", j.Model); err != nil {
		return err
	}
	for i, m := range j.Messages {
		if err := m.validate(fmt.Sprintf("messages[%d]", i)); err != nil {
			return err
		}
	}
	if err := j.validateSampling(); err != nil {
		return err
	}
	if j.DeadlineMS < 0 || j.DeadlineMS > MaxDeadlineMS {
		return invalid("deadline_ms", "must be 0 … %d, not %d", MaxDeadlineMS, j.DeadlineMS)
	}
	if j.Agent != "" {
		if err := checkName("agent", j.Agent); err != nil {
			return err
		}
	}
	return j.API.validate("api")
}

func (j Job) validateSampling() error {
	if err := checkRange("temperature", j.Temperature, MaxTemperature); err != nil {
		return err
	}
	if err := checkRange("top_p", j.TopP, 1); err != nil {
		return err
	}
	if err := checkRange("min_p", j.MinP, 1); err != nil {
		return err
	}
	if j.TopK != nil && (*j.TopK < 0 || *j.TopK > math.MaxInt32) {
		return invalid("top_k", "must be 0 (all) … %d, not %d", math.MaxInt32, *j.TopK)
	}
	if j.MaxTokens != nil && (*j.MaxTokens < 1 || *j.MaxTokens > math.MaxInt32) {
		return invalid("max_tokens", "must be 1 … %d, not %d", math.MaxInt32, *j.MaxTokens)
	}
	if len(j.Stop) > MaxStop {
		return invalid("stop", "must hold at most %d strings, not %d", MaxStop, len(j.Stop))
	}
	for i, s := range j.Stop {
		field := fmt.Sprintf("stop[%d]", i)
		if s == "" {
			return invalid(field, "must not be empty")
		}
		if err := checkText(field, s); err != nil {
			return err
		}
	}
	return nil
}

func (m Message) validate(field string) error {
	switch m.Role {
	case RoleSystem, RoleDeveloper, RoleUser, RoleAssistant, RoleTool:
	default:
		return invalid(field+".role", "must be system, developer, user, assistant or tool, not %s", quote(string(m.Role)))
	}
	if err := checkText(field+".content", m.Content); err != nil {
		return err
	}
	if m.Name != "" {
		if err := checkName(field+".name", m.Name); err != nil {
			return err
		}
	}
	if m.ToolCallID != "" && m.Role != RoleTool {
		return invalid(field+".tool_call_id", "belongs to messages of role tool only")
	}
	return checkText(field+".tool_call_id", m.ToolCallID)
}

// validate accepts a nil API: the job was not made by a gateway.
func (a *API) validate(field string) error {
	if a == nil {
		return nil
	}
	if a.Format != FormatOpenAIChat {
		return invalid(field+".format", "must be %q", FormatOpenAIChat)
	}
	return nil
}

// Validate reports the first field that cannot be accepted, as a
// [*FieldError]. An event has exactly the payload that belongs to its type.
func (e Event) Validate() error {
	switch {
	case e.Version != Version:
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
		return checkOutput("delta", e.Delta.Tokens, e.Delta.Text)
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
	if err := checkWords(word{"submitted.subject", s.Subject}); err != nil {
		return err
	}
	if err := checkName("submitted.model", s.Model); err != nil {
		return err
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

func (d *Done) validate() error {
	if err := checkOutput("done", d.Tokens, d.Text); err != nil {
		return err
	}
	if d.FinishReason != FinishStop && d.FinishReason != FinishLength {
		return invalid("done.finish_reason", "must be %q or %q, not %s", FinishStop, FinishLength, quote(string(d.FinishReason)))
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

// Validate reports the first field that cannot be accepted, as a
// [*FieldError].
func (w WorkerStatus) Validate() error {
	if w.Version != Version {
		return badVersion(w.Version)
	}
	if err := checkWords(
		word{"id", w.ID}, word{"incarnation", w.Incarnation}, word{"fingerprint", w.Fingerprint}, word{"backend", w.Backend},
	); err != nil {
		return err
	}
	if err := checkName("model", w.Model); err != nil {
		return err
	}
	for _, t := range []word{
		{"host", w.Host}, {"release", w.Release}, {"architecture", w.Architecture},
		{"quantisation", w.Quantisation}, {"context_reason", w.ContextReason},
	} {
		if err := checkText(t.field, t.text); err != nil {
			return err
		}
	}
	return checkCounts(
		count{"context", w.Context}, count{"context_trained", w.ContextTrained},
		count{"cells", w.Cells}, count{"cells_free", w.CellsFree},
		count{"capacity", w.Capacity}, count{"running", w.Running},
	)
}

// MaxJobID bounds the characters of a job id.
const MaxJobID = 128

// ValidJobID reports whether id can be a job's id: one token of a subject and
// one part of a [ChunkID].
func ValidJobID(id string) bool {
	if id == "" || len(id) > MaxJobID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func badVersion(v int) *FieldError {
	return invalid("v", "must be %d, not %d", Version, v)
}

// checkText refuses what JSON could not carry unchanged.
func checkText(field, text string) error {
	if !utf8.ValidString(text) {
		return invalid(field, "is not valid UTF-8")
	}
	return nil
}

func checkName(field, name string) error {
	if name == "" {
		return invalid(field, "must not be empty")
	}
	if n := utf8.RuneCountInString(name); n > MaxName {
		return invalid(field, "must have at most %d characters, not %d", MaxName, n)
	}
	return checkText(field, name)
}

type word struct{ field, text string }

// checkWords wants every text to be there.
func checkWords(words ...word) error {
	for _, w := range words {
		if w.text == "" {
			return invalid(w.field, "must not be empty")
		}
		if err := checkText(w.field, w.text); err != nil {
			return err
		}
	}
	return nil
}

type count struct {
	field string
	n     int
}

func checkCounts(counts ...count) error {
	for _, c := range counts {
		if c.n < 0 {
			return invalid(c.field, "must not be negative")
		}
	}
	return nil
}

func checkOutput(field string, tokens []int32, text string) error {
	for i, t := range tokens {
		if t < 0 {
			return invalid(fmt.Sprintf("%s.tokens[%d]", field, i), "must not be negative")
		}
	}
	return checkText(field+".text", text)
}

// checkRange wants a number between 0 and limit, or none.
func checkRange(field string, value *float64, limit float64) error {
	if value == nil || *value >= 0 && *value <= limit {
		return nil
	}
	return invalid(field, "must be 0 … %g, not %g", limit, *value)
}

func isSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// quote repeats a stranger's word in an error, at a bounded length.
func quote(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.QuoteToASCII(s)
}
