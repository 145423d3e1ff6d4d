package schemas

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
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
	// MaxChoices bounds the choices of all prompts together.
	MaxChoices = 16
	// MaxStopTokens bounds the number of stop token ids.
	MaxStopTokens = 64
	// MaxRepeatPenalty is the highest repeat penalty.
	MaxRepeatPenalty = 10
	// MaxPenalty is the highest presence or frequency penalty, and with a minus
	// the lowest.
	MaxPenalty = 2
	// MaxLogitBias bounds the entries of a logit bias.
	MaxLogitBias = 1024
	// MaxBias is the highest value of a logit bias, and with a minus the lowest.
	MaxBias = 100
	// MaxTopLogprobs bounds the alternatives of a token.
	MaxTopLogprobs = 20
	// MaxTools bounds the tools of a job, and the calls of a message.
	MaxTools = 128
	// MaxToolName bounds the characters of a tool's, and of a schema's, name.
	MaxToolName = 64
	// MaxReasoningEffort bounds the characters of a reasoning effort.
	MaxReasoningEffort = 40
)

// ReservedTemplateVars are the variables of a chat template that a request
// cannot set, because the server does, or the template language.
func ReservedTemplateVars() []string {
	return []string{
		"messages", "tools", "add_generation_prompt", "bos_token", "eos_token",
		"raise_exception", "strftime_now", "namespace", "range", "dict", "loop",
	}
}

// Validate reports the first field that cannot be accepted, as a
// [*FieldError].
func (j Job) Validate() error {
	if !readable(j.Version) {
		return badVersion(j.Version)
	}
	if err := checkName("model", j.Model); err != nil {
		return err
	}
	for _, check := range []func() error{
		j.validateInput, j.validateSampling, j.validateEnds, j.validateChoices, j.validateTools, j.validateFormat,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	if j.DeadlineMS < 0 || j.DeadlineMS > MaxDeadlineMS {
		return invalid("deadline_ms", "must be 0 … %d, not %d", MaxDeadlineMS, j.DeadlineMS)
	}
	if j.Agent != "" {
		if err := checkName("agent", j.Agent); err != nil {
			return err
		}
	}
	return j.validateAPI()
}

// Choices is how many answers the job asks for, of all prompts together.
func (j Job) Choices() int {
	n := max(1, len(j.Prompts))
	if j.N != nil {
		n *= *j.N
	}
	return n
}

// validateInput checks that there is what the kind of job needs, and nothing
// that belongs to the other one.
func (j Job) validateInput() error {
	switch j.Kind {
	case "", KindChat:
		return j.validateChat()
	case KindCompletion:
		return j.validateCompletion()
	}
	return invalid("kind", "must be %q or %q, not %s", KindChat, KindCompletion, quote(string(j.Kind)))
}

func (j Job) validateChat() error {
	switch {
	case len(j.Messages) == 0:
		return invalid("messages", "must hold at least one message")
	case len(j.Prompts) > 0:
		return invalid("prompts", "belongs to jobs of kind %q only", KindCompletion)
	case j.Echo:
		return invalid("echo", "belongs to jobs of kind %q only", KindCompletion)
	}
	for i, m := range j.Messages {
		if err := m.validate(fmt.Sprintf("messages[%d]", i)); err != nil {
			return err
		}
	}
	if n := utf8.RuneCountInString(j.ReasoningEffort); n > MaxReasoningEffort {
		return invalid("reasoning_effort", "must have at most %d characters, not %d", MaxReasoningEffort, n)
	}
	if err := checkText("reasoning_effort", j.ReasoningEffort); err != nil {
		return err
	}
	for name, value := range sorted(j.TemplateVars) {
		field := member("chat_template_kwargs", name)
		switch {
		case name == "":
			return invalid(field, "has no name")
		case slices.Contains(ReservedTemplateVars(), name):
			return unsupported(field, "is set by the server")
		}
		if err := checkText(field, name); err != nil {
			return err
		}
		if _, err := strictjson.Parse(value); err != nil {
			return invalid(field, "is not valid JSON: %v", err)
		}
	}
	return nil
}

func (j Job) validateCompletion() error {
	if len(j.Prompts) == 0 {
		return invalid("prompts", "must hold at least one prompt")
	}
	for _, f := range []struct {
		name  string
		there bool
	}{
		{"messages", len(j.Messages) > 0},
		{"tools", len(j.Tools) > 0},
		{"tool_choice", j.ToolChoice != nil},
		{"parallel_tool_calls", j.ParallelToolCalls != nil},
		{"reasoning_effort", j.ReasoningEffort != ""},
		{"chat_template_kwargs", len(j.TemplateVars) > 0},
	} {
		if f.there {
			return invalid(f.name, "belongs to jobs of kind %q only", KindChat)
		}
	}
	if j.Echo && j.Logprobs {
		return unsupported("echo", "is not supported together with logprobs: those of the prompt are not known")
	}
	for i, p := range j.Prompts {
		if err := p.validate(fmt.Sprintf("prompts[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func (p Prompt) validate(field string) error {
	if (p.Text == "") == (len(p.Tokens) == 0) {
		return invalid(field, "must have either text or tokens")
	}
	if err := checkTokens(field+".tokens", p.Tokens); err != nil {
		return err
	}
	return checkText(field+".text", p.Text)
}

func (j Job) validateSampling() error {
	for _, r := range []struct {
		field       string
		value       *float64
		least, most float64
	}{
		{"temperature", j.Temperature, 0, MaxTemperature},
		{"top_p", j.TopP, 0, 1},
		{"min_p", j.MinP, 0, 1},
		{"typical_p", j.TypicalP, 0, 1},
		{"presence_penalty", j.PresencePenalty, -MaxPenalty, MaxPenalty},
		{"frequency_penalty", j.FrequencyPenalty, -MaxPenalty, MaxPenalty},
	} {
		if r.value != nil && !(*r.value >= r.least && *r.value <= r.most) {
			return invalid(r.field, "must be %g … %g, not %g", r.least, r.most, *r.value)
		}
	}
	if p := j.RepeatPenalty; p != nil && !(*p > 0 && *p <= MaxRepeatPenalty) {
		return invalid("repeat_penalty", "must be above 0 and at most %d, not %g", MaxRepeatPenalty, *p)
	}
	if j.TopK != nil && (*j.TopK < 0 || *j.TopK > math.MaxInt32) {
		return invalid("top_k", "must be 0 (all) … %d, not %d", math.MaxInt32, *j.TopK)
	}
	if err := checkInteger("repeat_last_n", j.RepeatLastN, -1, math.MaxInt32); err != nil {
		return err
	}
	if n := len(j.LogitBias); n > MaxLogitBias {
		return invalid("logit_bias", "must have at most %d entries, not %d", MaxLogitBias, n)
	}
	for token, bias := range sorted(j.LogitBias) {
		field := member("logit_bias", token)
		if token == "" {
			return invalid(field, "names no token")
		}
		if err := checkText(field, token); err != nil {
			return err
		}
		if !(bias >= -MaxBias && bias <= MaxBias) {
			return invalid(field, "must be %d … %d, not %g", -MaxBias, MaxBias, bias)
		}
	}
	return nil
}

// validateEnds checks what ends an answer.
func (j Job) validateEnds() error {
	if err := checkInteger("max_tokens", j.MaxTokens, 1, math.MaxInt32); err != nil {
		return err
	}
	if err := checkInteger("min_tokens", j.MinTokens, 0, math.MaxInt32); err != nil {
		return err
	}
	if j.MinTokens != nil && j.MaxTokens != nil && *j.MinTokens > *j.MaxTokens {
		return invalid("min_tokens", "is %d, more than max_tokens (%d)", *j.MinTokens, *j.MaxTokens)
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
	if len(j.StopTokens) > MaxStopTokens {
		return invalid("stop_token_ids", "must hold at most %d ids, not %d", MaxStopTokens, len(j.StopTokens))
	}
	return checkTokens("stop_token_ids", j.StopTokens)
}

// validateChoices checks how many answers there are, and what is told of them.
func (j Job) validateChoices() error {
	if err := checkInteger("n", j.N, 1, MaxChoices); err != nil {
		return err
	}
	if n := len(j.Prompts); n > MaxChoices {
		return invalid("prompts", "must hold at most %d prompts, not %d", MaxChoices, n)
	}
	switch all := j.Choices(); {
	case all > MaxChoices:
		return invalid("n", "makes %d choices of %d prompts; at most %d are made in all", all, len(j.Prompts), MaxChoices)
	case j.TopLogprobs < 0 || j.TopLogprobs > MaxTopLogprobs:
		return invalid("top_logprobs", "must be 0 … %d, not %d", MaxTopLogprobs, j.TopLogprobs)
	case j.TopLogprobs > 0 && !j.Logprobs:
		return invalid("top_logprobs", "needs logprobs to be true")
	}
	return nil
}

func (j Job) validateTools() error {
	if n := len(j.Tools); n > MaxTools {
		return invalid("tools", "must hold at most %d tools, not %d", MaxTools, n)
	}
	names := make(map[string]bool, len(j.Tools))
	for i, tool := range j.Tools {
		field := fmt.Sprintf("tools[%d]", i)
		if err := tool.validate(field); err != nil {
			return err
		}
		if names[tool.Name] {
			return invalid(field+".name", "is the name of another tool already")
		}
		names[tool.Name] = true
	}
	c := j.ToolChoice
	if c == nil {
		return nil
	}
	switch c.Mode {
	case ToolAuto, ToolNone, ToolRequired, ToolFunction:
	default:
		return invalid("tool_choice.mode", "must be auto, none, required or function, not %s", quote(c.Mode))
	}
	switch {
	case c.Mode != ToolFunction && c.Name != "":
		return invalid("tool_choice.name", "belongs to the mode %q only", ToolFunction)
	case c.Mode == ToolFunction && !names[c.Name]:
		return invalid("tool_choice.name", "must be the name of one of the tools, not %s", quote(c.Name))
	case c.Mode == ToolRequired && len(j.Tools) == 0:
		return invalid("tool_choice", "requires a call, but there are no tools")
	}
	return nil
}

func (t Tool) validate(field string) error {
	if !validToolName(t.Name) {
		return invalid(field+".name", "must be 1 … %d characters of A-Z a-z 0-9 _ -, not %s", MaxToolName, quote(t.Name))
	}
	if err := checkText(field+".description", t.Description); err != nil {
		return err
	}
	if t.Parameters == nil {
		return nil
	}
	return checkObject(field+".parameters", t.Parameters)
}

func validToolName(name string) bool { return len(name) <= MaxToolName && ValidJobID(name) }

// validateFormat checks what the answer must keep to.
func (j Job) validateFormat() error {
	if err := checkText("grammar", j.Grammar); err != nil {
		return err
	}
	format := j.ResponseFormat
	if err := format.validate("response_format"); err != nil {
		return err
	}
	bound := format != nil && format.Type != FormatText
	enforced := j.ToolChoice != nil && (j.ToolChoice.Mode == ToolRequired || j.ToolChoice.Mode == ToolFunction)
	const excluded = "is not supported together with a tool_choice that enforces a call"
	switch {
	case bound && j.Grammar != "":
		return unsupported("grammar", "is not supported together with a response_format")
	case bound && enforced:
		return unsupported("response_format", excluded)
	case j.Grammar != "" && enforced:
		return unsupported("grammar", excluded)
	}
	return nil
}

// validate accepts a nil ResponseFormat: anything may be said.
func (f *ResponseFormat) validate(field string) error {
	if f == nil {
		return nil
	}
	switch f.Type {
	case FormatText, FormatJSONObject, FormatJSONSchema:
	default:
		return invalid(field+".type", "must be text, json_object or json_schema, not %s", quote(f.Type))
	}
	if f.Type != FormatJSONSchema {
		switch {
		case f.Schema != nil:
			return invalid(field+".schema", "belongs to the type %s only", FormatJSONSchema)
		case f.Name != "":
			return invalid(field+".name", "belongs to the type %s only", FormatJSONSchema)
		}
		return nil
	}
	if n := utf8.RuneCountInString(f.Name); n > MaxToolName {
		return invalid(field+".name", "must have at most %d characters, not %d", MaxToolName, n)
	}
	if err := checkText(field+".name", f.Name); err != nil {
		return err
	}
	if f.Schema == nil {
		return invalid(field+".schema", "is required for the type %s", FormatJSONSchema)
	}
	return checkObject(field+".schema", f.Schema)
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
	switch {
	case m.ToolCallID != "" && m.Role != RoleTool:
		return invalid(field+".tool_call_id", "belongs to messages of role tool only")
	case len(m.ToolCalls) > 0 && m.Role != RoleAssistant:
		return invalid(field+".tool_calls", "belongs to messages of role assistant only")
	case m.Reasoning != "" && m.Role != RoleAssistant:
		return invalid(field+".reasoning_content", "belongs to messages of role assistant only")
	case len(m.ToolCalls) > MaxTools:
		return invalid(field+".tool_calls", "must hold at most %d calls, not %d", MaxTools, len(m.ToolCalls))
	}
	for i, c := range m.ToolCalls {
		if err := c.validate(fmt.Sprintf("%s.tool_calls[%d]", field, i)); err != nil {
			return err
		}
	}
	if err := checkText(field+".reasoning_content", m.Reasoning); err != nil {
		return err
	}
	return checkText(field+".tool_call_id", m.ToolCallID)
}

func (c ToolCall) validate(field string) error {
	if err := checkName(field+".id", c.ID); err != nil {
		return err
	}
	if err := checkName(field+".name", c.Name); err != nil {
		return err
	}
	return checkObject(field+".arguments", []byte(c.Arguments))
}

// validateAPI accepts a nil API: the job was not made by a gateway.
func (j Job) validateAPI() error {
	if err := j.API.validate("api"); err != nil || j.API == nil {
		return err
	}
	want := FormatOpenAIChat
	if j.Kind == KindCompletion {
		want = FormatOpenAICompletions
	}
	if j.API.Format != want {
		return invalid("api.format", "must be %q for this kind of job", want)
	}
	return nil
}

func (a *API) validate(field string) error {
	if a == nil {
		return nil
	}
	if a.Format != FormatOpenAIChat && a.Format != FormatOpenAICompletions {
		return invalid(field+".format", "must be %q or %q", FormatOpenAIChat, FormatOpenAICompletions)
	}
	switch a.OnDisconnect {
	case "", DisconnectCancel, DisconnectGrace, DisconnectKeep:
		return nil
	}
	return invalid(field+".on_disconnect", "must be %q, %q or %q", DisconnectCancel, DisconnectGrace, DisconnectKeep)
}
