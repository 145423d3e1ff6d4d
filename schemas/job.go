package schemas

// JobKind says what a job asks of the model.
type JobKind string

// KindChat renders Messages through the model's own chat template. It is the
// only kind so far, and what an empty kind means.
const KindChat JobKind = "chat"

// Class is a job's priority class; each class has a stream and bounds of its own.
type Class string

// The classes, from the most to the least urgent. Of 16 claims with all
// classes waiting, 12 are interactive, 3 normal and 1 batch.
const (
	ClassInteractive Class = "interactive"
	ClassNormal      Class = "normal"
	ClassBatch       Class = "batch"
)

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
}

// API says in which dialect a gateway answers a job, so that any gateway can
// render (or resume) its stream from the log alone. Workers do not read it.
type API struct {
	// Format is the dialect.
	Format string `json:"format" jsonschema:"enum=openai.chat"`
	// Stream is whether the client asked for server-sent events.
	Stream bool `json:"stream,omitempty"`
	// IncludeUsage asks for a last chunk with usage (stream_options.include_usage).
	IncludeUsage bool `json:"include_usage,omitempty"`
	// ContinuousUsage asks for usage on every chunk
	// (stream_options.continuous_usage_stats).
	ContinuousUsage bool `json:"continuous_usage,omitempty"`
}

// FormatOpenAIChat is the [API] format of POST /v1/chat/completions.
const FormatOpenAIChat = "openai.chat"

// Job is one request. Where an optional field is left out (nil in Go), the
// default named in its comment applies.
type Job struct {
	// Version is the schema version that the document was written in.
	Version int `json:"v"`
	// Kind is what is asked; empty means "chat".
	Kind JobKind `json:"kind,omitempty" jsonschema:"enum=chat,enum="`
	// Model is the model's plain name (not its slug). It must be the model of
	// the subject that the job was published to.
	Model string `json:"model" jsonschema:"minLength=1,maxLength=200"`
	// Messages is the conversation, oldest first; at least one.
	Messages []Message `json:"messages" jsonschema:"minItems=1"`

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
	// of (seed, position). Default: drawn by the first worker and recorded in
	// its started event.
	Seed *int64 `json:"seed,omitempty" jsonschema:"minimum=-9223372036854775808,maximum=9223372036854775807"`
	// MaxTokens bounds the generated tokens of the whole stream, over all
	// attempts; ≥ 1. Default: what the context has room for.
	MaxTokens *int `json:"max_tokens,omitempty" jsonschema:"minimum=1,maximum=2147483647"`
	// Stop ends the stream before any of these strings, which are never shown;
	// at most 4, none empty.
	Stop []string `json:"stop,omitempty" jsonschema:"maxItems=4"`

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
	// HeaderTraceParent carries the W3C trace context.
	HeaderTraceParent = "traceparent"
)
