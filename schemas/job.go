package schemas

import "encoding/json"

// JobKind says what a job asks of the model.
type JobKind string

// The kinds of jobs.
const (
	// KindChat renders Messages through the model's own chat template; it is
	// what an empty kind means.
	KindChat JobKind = "chat"
	// KindCompletion continues Prompts as they are.
	KindCompletion JobKind = "completion"
)

// Class is a job's priority class; each class has a stream and bounds of its own.
type Class string

// The classes, from the most to the least urgent. Of 16 claims with all
// classes waiting, 12 are interactive, 3 normal and 1 batch.
const (
	ClassInteractive Class = "interactive"
	ClassNormal      Class = "normal"
	ClassBatch       Class = "batch"
)

func (c Class) known() bool { return c == ClassInteractive || c == ClassNormal || c == ClassBatch }

// Classes lists every class, most urgent first.
func Classes() []Class { return []Class{ClassInteractive, ClassNormal, ClassBatch} }

// Role is the author of a message.
type Role string

// The roles a message can have. "developer" is what newer OpenAI clients send
// for "system"; chat templates see it as "system".
const (
	RoleSystem    Role = "system"
	RoleDeveloper Role = "developer"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

// Message is one turn of a conversation. Content is plain text: parts that a
// client sent as a list of text parts have been joined in order, without a
// separator.
type Message struct {
	// Role is the author.
	Role Role `json:"role" jsonschema:"enum=system,enum=developer,enum=user,enum=assistant,enum=tool"`
	// Content is the text; it may be empty.
	Content string `json:"content"`
	// Name distinguishes participants of the same role. Templates that do not
	// know it ignore it.
	Name string `json:"name,omitempty" jsonschema:"maxLength=200"`
	// ToolCallID names the call that a message of role tool answers; no other
	// message has one.
	ToolCallID string `json:"tool_call_id,omitempty"`
	// ToolCalls are the calls that a message of role assistant made, no other; at
	// most 128. Its Content may be empty then.
	ToolCalls []ToolCall `json:"tool_calls,omitempty" jsonschema:"maxItems=128"`
	// Reasoning is what a message of role assistant, and no other, thought before
	// it spoke; templates that do not know it ignore it.
	Reasoning string `json:"reasoning_content,omitempty"`
}

// ToolCall is a call that the model made.
type ToolCall struct {
	// ID is repeated by the message that answers the call.
	ID string `json:"id" jsonschema:"minLength=1,maxLength=200"`
	// Name is the tool that was called.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=200"`
	// Arguments is a JSON object as text.
	Arguments string `json:"arguments"`
}

// Tool is a function that the model may call.
type Tool struct {
	// Name is what the model calls; no two tools of a job share one.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=64,pattern=^[A-Za-z0-9_-]*$"`
	// Description tells the model what it does and when to call it.
	Description string `json:"description,omitempty"`
	// Parameters is the JSON Schema of the arguments, an object; left out, there
	// are none.
	Parameters json.RawMessage `json:"parameters,omitempty"`
	// Strict makes the arguments keep to Parameters by grammar wherever the
	// model calls the tool by itself; a call that ToolChoice enforces always
	// keeps to them.
	Strict bool `json:"strict,omitempty"`
}

// ToolChoice says whether the model calls a tool.
type ToolChoice struct {
	// Mode is "auto" (the model decides), "none", "required" (at least one
	// call) or "function" (a call of Name).
	Mode string `json:"mode" jsonschema:"enum=auto,enum=none,enum=required,enum=function"`
	// Name is the tool of mode "function", and belongs to no other.
	Name string `json:"name,omitempty" jsonschema:"maxLength=64"`
}

// The modes of [ToolChoice].
const (
	ToolAuto     = "auto"
	ToolNone     = "none"
	ToolRequired = "required"
	ToolFunction = "function"
)

// ResponseFormat is what the answer must keep to.
type ResponseFormat struct {
	// Type is "text", "json_object" or "json_schema".
	Type string `json:"type" jsonschema:"enum=text,enum=json_object,enum=json_schema"`
	// Schema is the JSON Schema of type json_schema, an object; no other type has
	// one. What of it cannot be kept is refused with its path.
	Schema json.RawMessage `json:"schema,omitempty"`
	// Name is what the client calls the schema. It changes nothing.
	Name string `json:"name,omitempty" jsonschema:"maxLength=64"`
}

// The types of [ResponseFormat].
const (
	FormatText       = "text"
	FormatJSONObject = "json_object"
	FormatJSONSchema = "json_schema"
)

// Prompt is text or tokens to continue: exactly one of the two.
type Prompt struct {
	// Text is tokenized as it is: no chat template is applied.
	Text string `json:"text,omitempty"`
	// Tokens are ids of the model's vocabulary, taken as they are.
	Tokens []int32 `json:"tokens,omitempty"`
}

// API says in which dialect a gateway answers a job, so that any gateway can
// render (or resume) its stream from the log alone. Workers do not read it.
type API struct {
	// Format is the dialect: "openai.completions" of a completion, "openai.chat" of
	// a chat.
	Format string `json:"format" jsonschema:"enum=openai.chat,enum=openai.completions"`
	// Stream is whether the client asked for server-sent events.
	Stream bool `json:"stream,omitempty"`
	// IncludeUsage asks for a last chunk with usage (stream_options.include_usage).
	IncludeUsage bool `json:"include_usage,omitempty"`
	// ContinuousUsage asks for usage on every chunk
	// (stream_options.continuous_usage_stats).
	ContinuousUsage bool `json:"continuous_usage,omitempty"`
	// OnDisconnect says what becomes of the job once nobody reads its answer at a
	// gateway any more. Default "cancel".
	OnDisconnect OnDisconnect `json:"on_disconnect,omitempty" jsonschema:"enum=cancel,enum=grace,enum=keep,enum="`
}

// OnDisconnect says what becomes of a job whose last reader left a gateway that
// goes on serving.
type OnDisconnect string

// What can become of such a job.
const (
	// DisconnectCancel: it is cancelled at once. The empty value means the same.
	DisconnectCancel OnDisconnect = "cancel"
	// DisconnectGrace: it is cancelled unless somebody comes to read it within the
	// gateway's grace.
	DisconnectGrace OnDisconnect = "grace"
	// DisconnectKeep: it runs to its end or deadline.
	DisconnectKeep OnDisconnect = "keep"
)

// The [API] formats of POST /v1/chat/completions and POST /v1/completions.
const (
	FormatOpenAIChat        = "openai.chat"
	FormatOpenAICompletions = "openai.completions"
)

// Job is one request. Where an optional field is left out (nil in Go), the
// default named in its comment applies.
type Job struct {
	// Version is the schema version that the document was written in.
	Version int `json:"v"`
	// Kind is what is asked; empty means "chat".
	Kind JobKind `json:"kind,omitempty" jsonschema:"enum=chat,enum=completion,enum="`
	// Model is the model's plain name (not its slug). It must be the model of
	// the subject that the job was published to.
	Model string `json:"model" jsonschema:"minLength=1,maxLength=200"`
	// Messages is the conversation of a chat, oldest first: at least one; a
	// completion has none.
	Messages []Message `json:"messages,omitempty"`
	// Prompts are what a completion continues, each with N choices: choice
	// p × N + k is the k-th of prompt p. At least one for a completion, none for
	// a chat.
	Prompts []Prompt `json:"prompts,omitempty" jsonschema:"maxItems=16"`
	// Echo puts the prompt's text in front of each choice of a completion, as the
	// beginning of its first output. Not together with Logprobs.
	Echo bool `json:"echo,omitempty"`
	// N is how many choices each prompt gets: 1 … 16, of all prompts together at
	// most 16. Choice k of a prompt draws with Seed + k. Default 1.
	N *int `json:"n,omitempty" jsonschema:"minimum=1,maximum=16"`

	// Temperature scales the logits: 0 … 2; 0 is greedy. Default 1.
	Temperature *float64 `json:"temperature,omitempty" jsonschema:"minimum=0,maximum=2"`
	// TopP keeps the smallest set of tokens whose probability reaches it: 0 … 1.
	// Default 1 (off).
	TopP *float64 `json:"top_p,omitempty" jsonschema:"minimum=0,maximum=1"`
	// TopK keeps the K likeliest tokens; 0 keeps all. Default 0.
	TopK *int `json:"top_k,omitempty" jsonschema:"minimum=0,maximum=2147483647"`
	// MinP drops tokens less likely than MinP × the likeliest: 0 … 1. Default 0.
	MinP *float64 `json:"min_p,omitempty" jsonschema:"minimum=0,maximum=1"`
	// Seed makes sampling repeatable: the randomness of a token is a function
	// of (seed, position). The logits are not: requests that run beside it may
	// change the wording. Default: drawn by the first worker and recorded in its
	// started event.
	Seed *int64 `json:"seed,omitempty" jsonschema:"minimum=-9223372036854775808,maximum=9223372036854775807"`
	// MaxTokens bounds the generated tokens of the whole stream, over all
	// attempts; ≥ 1. Default: what the context has room for.
	MaxTokens *int `json:"max_tokens,omitempty" jsonschema:"minimum=1,maximum=2147483647"`
	// Stop ends the stream before any of these strings, which are never shown;
	// at most 4, none empty.
	Stop []string `json:"stop,omitempty" jsonschema:"maxItems=4"`

	// StopTokens end the stream like the model's own end of turn.
	StopTokens []int32 `json:"stop_token_ids,omitempty" jsonschema:"maxItems=64"`

	// TypicalP is locally typical sampling: 0 … 1. Default 1 (off).
	TypicalP *float64 `json:"typical_p,omitempty" jsonschema:"minimum=0,maximum=1"`
	// RepeatPenalty divides the logits of tokens among the last RepeatLastN of
	// prompt and answer: above 0, at most 10. Default 1 (off).
	RepeatPenalty *float64 `json:"repeat_penalty,omitempty" jsonschema:"exclusiveMinimum=0,maximum=10"`
	// RepeatLastN is how far the penalties look back, in tokens; -1 over
	// everything, 0 means the default: 64 for RepeatPenalty, all that was generated for the
	// other two.
	RepeatLastN *int `json:"repeat_last_n,omitempty" jsonschema:"minimum=-1,maximum=2147483647"`
	// PresencePenalty lowers the logits of tokens that were generated:
	// -2 … 2. Default 0.
	PresencePenalty *float64 `json:"presence_penalty,omitempty" jsonschema:"minimum=-2,maximum=2"`
	// FrequencyPenalty does so once for each time: -2 … 2. Default 0.
	FrequencyPenalty *float64 `json:"frequency_penalty,omitempty" jsonschema:"minimum=-2,maximum=2"`
	// LogitBias is added to the logits: -100 … 100, where -100 bans and 100
	// forces. Its keys are token ids in decimal, or texts, each of which means
	// the tokens it is made of; at most 1,024.
	LogitBias map[string]float64 `json:"logit_bias,omitempty"`
	// MinTokens is how many tokens are generated before the model's end of turn
	// or a stop token can come; at most MaxTokens. A grammar or schema that is
	// complete ends the answer all the same. Default 0.
	MinTokens *int `json:"min_tokens,omitempty" jsonschema:"minimum=0,maximum=2147483647"`
	// IgnoreEOS goes on behind the model's end of turn, unless a grammar or schema
	// is complete.
	IgnoreEOS bool `json:"ignore_eos,omitempty"`
	// Logprobs asks for the log probability of each token.
	Logprobs bool `json:"logprobs,omitempty"`
	// TopLogprobs asks, beside Logprobs, for the log probabilities of as many
	// tokens that were likeliest in its place. Default 0.
	TopLogprobs int `json:"top_logprobs,omitempty" jsonschema:"minimum=0,maximum=20"`

	// ResponseFormat is what the answer must keep to: what comes behind the
	// reasoning, where no tool is called.
	ResponseFormat *ResponseFormat `json:"response_format,omitempty"`
	// Grammar is the same in GBNF. Not together with a ResponseFormat other than
	// "text"; neither of them with a ToolChoice that enforces a call.
	Grammar string `json:"grammar,omitempty"`
	// Tools are what the model of a chat may call; at most 128.
	Tools []Tool `json:"tools,omitempty" jsonschema:"maxItems=128"`
	// ToolChoice says whether it does. Default: auto with tools.
	ToolChoice *ToolChoice `json:"tool_choice,omitempty"`
	// ParallelToolCalls allows several calls in one answer. Default true.
	ParallelToolCalls *bool `json:"parallel_tool_calls,omitempty"`
	// ReasoningEffort reaches the model's chat template; refused where it does not
	// know it.
	ReasoningEffort string `json:"reasoning_effort,omitempty" jsonschema:"maxLength=40"`
	// TemplateVars are more variables of the model's chat template by their names;
	// refused where it does not know one, and where the server sets it.
	TemplateVars map[string]json.RawMessage `json:"chat_template_kwargs,omitempty"`

	// DeadlineMS is how long the job may wait and run, in milliseconds from the
	// time the server stored it. 0 means the class's default.
	DeadlineMS int64 `json:"deadline_ms,omitempty" jsonschema:"minimum=0,maximum=604800000"`
	// Agent names the agent that asks, for fairness and cache affinity. The
	// owner is never in the body: it is read from the subject.
	Agent string `json:"agent,omitempty" jsonschema:"maxLength=200"`
	// API is set by gateways only.
	API *API `json:"api,omitempty"`
}

// Header names on a job's message.
const (
	// HeaderJobID is the job's id, if it is a valid token ([ValidJobID]);
	// without it the id is s<class letter>-<stream sequence>.
	HeaderJobID = "Nats-Msg-Id"
	// HeaderReplyTo is where a worker also publishes every accepted event of
	// the job; only under the owner's inbox prefix.
	HeaderReplyTo = "Semantic-Reply-To"
	// HeaderRequestID goes on every log line of the request in every process.
	HeaderRequestID = "Semantic-Request-Id"
	// HeaderTraceParent carries the W3C trace context. Events but deltas have it
	// too, of the span that wrote them.
	HeaderTraceParent = "traceparent"
	// HeaderTraceState carries what tracing systems add to the trace context.
	HeaderTraceState = "tracestate"
)
