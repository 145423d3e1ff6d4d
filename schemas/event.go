package schemas

import "time"

// EventType names what happened to a job.
type EventType string

// The event types. See the package comment for their order.
const (
	EventSubmitted EventType = "submitted"
	EventStarted   EventType = "started"
	EventDelta     EventType = "delta"
	EventRequeued  EventType = "requeued"
	EventDone      EventType = "done"
	EventFailed    EventType = "failed"
	EventCancelled EventType = "cancelled"
	EventExpired   EventType = "expired"
)

// EventTypes lists every event type, in the order of a job's life.
func EventTypes() []EventType {
	return []EventType{
		EventSubmitted, EventStarted, EventDelta, EventRequeued,
		EventDone, EventFailed, EventCancelled, EventExpired,
	}
}

// Terminal reports whether no event may follow one of this type.
func (t EventType) Terminal() bool {
	switch t {
	case EventDone, EventFailed, EventCancelled, EventExpired:
		return true
	case EventSubmitted, EventStarted, EventDelta, EventRequeued:
		return false
	}
	return false
}

// Event is one entry of a job's log. Exactly the payload that belongs to Type
// is set.
type Event struct {
	// Version is the schema version that the document was written in.
	Version int `json:"v"`
	// Job is the job's id.
	Job string `json:"job" jsonschema:"minLength=1,maxLength=128,pattern=^[A-Za-z0-9_-]*$"`
	// N numbers the events of a job from 1 without gaps.
	N int64 `json:"n" jsonschema:"minimum=1"`
	// Type says which payload is set.
	Type EventType `json:"type"`
	// Time is the writer's clock, UTC.
	Time time.Time `json:"time"`

	Submitted *Submitted `json:"submitted,omitempty"`
	Started   *Started   `json:"started,omitempty"`
	Delta     *Delta     `json:"delta,omitempty"`
	Requeued  *Requeued  `json:"requeued,omitempty"`
	Done      *Done      `json:"done,omitempty"`
	Failed    *Failed    `json:"failed,omitempty"`
	Cancelled *Cancelled `json:"cancelled,omitempty"`
	Expired   *Expired   `json:"expired,omitempty"`
}

// Submitted is a gateway's claim on the job id, written before the job itself.
type Submitted struct {
	// BodyHash is the hex SHA-256 of the job's message: of the job, or of what
	// stands for a large one.
	BodyHash string `json:"body_hash" jsonschema:"pattern=^[0-9a-f]{64}$"`
	// RequestHash is the hex SHA-256 of what the client asked for, where repeats of
	// a request are told by that.
	RequestHash string `json:"request_hash,omitempty" jsonschema:"pattern=^([0-9a-f]{64})?$"`
	// Subject is the job subject that the body is published to.
	Subject string `json:"subject" jsonschema:"minLength=1"`
	// API is a copy of the job's API, so that the log alone can be rendered.
	API *API `json:"api,omitempty"`
	// Model is the plain name of the model.
	Model string `json:"model" jsonschema:"minLength=1,maxLength=200"`
	// ReplayOf is the id of the dead job that is tried again.
	ReplayOf string `json:"replay_of,omitempty" jsonschema:"maxLength=128,pattern=^[A-Za-z0-9_-]*$"`
	// DeadlineMS is the job's deadline, that of its class included, in milliseconds
	// from the time the server stored the job.
	DeadlineMS int64 `json:"deadline_ms,omitempty" jsonschema:"minimum=0"`
}

// Started says that a worker took the job.
type Started struct {
	// Attempt counts the job's starts from 1, handovers included.
	Attempt int `json:"attempt" jsonschema:"minimum=1"`
	// Worker is the worker's id, kept over its restarts.
	Worker string `json:"worker" jsonschema:"minLength=1"`
	// Incarnation is drawn anew at each start of the worker process.
	Incarnation string `json:"incarnation" jsonschema:"minLength=1"`
	// Fingerprint identifies weights, runtime and template. Only a worker with
	// the fingerprint of the first start may continue a stream.
	Fingerprint string `json:"fingerprint" jsonschema:"minLength=1"`
	// Seed is the sampling seed in use: the job's, or the one drawn by the
	// first attempt, which later attempts take over.
	Seed int64 `json:"seed" jsonschema:"minimum=-9223372036854775808,maximum=9223372036854775807"`
	// PromptTokens is the length of the rendered prompt, of all prompts of a
	// completion together.
	PromptTokens int `json:"prompt_tokens" jsonschema:"minimum=0"`
	// Alone is whether the worker computed nothing else beside it, and took no other
	// job, until this one brought its log forward: a worker may have died on it
	// before.
	Alone bool `json:"alone,omitempty"`
}

// Output is newly generated output of one choice. What is in it beside Tokens
// may lag behind them, while the worker holds back what could be the start of a
// stop string, of a tool call or of a character; it is a pure function of all
// token ids of the choice so far. A reader joins Reasoning, then Text, then
// ToolCalls.
type Output struct {
	// Choice counts the choices from 0.
	Choice int `json:"choice,omitempty" jsonschema:"minimum=0,maximum=15"`
	// Tokens are the ids that were generated, without the model's end of turn.
	Tokens []int32 `json:"tokens,omitempty"`
	// Text is what the model says.
	Text string `json:"text,omitempty"`
	// Reasoning is what the model thinks before it speaks.
	Reasoning string `json:"reasoning,omitempty"`
	// ToolCalls are new calls and new arguments of calls.
	ToolCalls []ToolCallDelta `json:"tool_calls,omitempty"`
	// Logprobs has one entry for each of Tokens, if the job asked for them.
	Logprobs []TokenLogprob `json:"logprobs,omitempty"`
}

// ToolCallDelta begins a call or continues its arguments.
type ToolCallDelta struct {
	// Index counts the calls of the choice from 0.
	Index int `json:"index" jsonschema:"minimum=0,maximum=127"`
	// ID is there where the call begins, and names it.
	ID string `json:"id,omitempty"`
	// Name is there where the call begins: the tool that is called.
	Name string `json:"name,omitempty"`
	// Arguments is the next piece of a JSON object as text.
	Arguments string `json:"arguments,omitempty"`
}

// TokenLogprob is the log probability of a token, and of those that were
// likeliest in its place, in the model's own distribution (before sampling
// parameters change it).
type TokenLogprob struct {
	// Bytes is the token's own text, which may be a part of a character.
	Bytes []byte `json:"bytes,omitempty"`
	// Logprob is its natural logarithm; what is below -9999 is written as that.
	Logprob float64 `json:"logprob" jsonschema:"maximum=0"`
	// Top are the likeliest tokens, the likeliest first.
	Top []TopLogprob `json:"top,omitempty" jsonschema:"maxItems=20"`
}

// TopLogprob is a token that could have been chosen.
type TopLogprob struct {
	// Token is its id.
	Token int32 `json:"token" jsonschema:"minimum=0"`
	// Bytes is its text, which may be a part of a character.
	Bytes []byte `json:"bytes,omitempty"`
	// Logprob is its natural logarithm; what is below -9999 is written as that.
	Logprob float64 `json:"logprob" jsonschema:"maximum=0"`
}

// Delta is newly generated output of one choice.
type Delta struct {
	Output
	// FinishReason is set where the choice ends and others go on; the end of the
	// last one is in [Done].
	FinishReason FinishReason `json:"finish_reason,omitempty" jsonschema:"enum=stop,enum=length,enum=tool_calls"`
}

// ReasonPreparing is the reason of a [Requeued] that gives nothing back.
const ReasonPreparing = "preparing"

// Requeued says that a worker gave the job back unharmed; it costs no attempt.
// With the reason "preparing" a worker says that it begins with a job that had
// been offered before: if it dies before it can say more, that is counted.
type Requeued struct {
	// Worker is the worker's id, kept over its restarts.
	Worker string `json:"worker" jsonschema:"minLength=1"`
	// Incarnation is drawn anew at each start of the worker process.
	Incarnation string `json:"incarnation" jsonschema:"minLength=1"`
	// Reason is "shutdown", "paused", "unsupported", "context" (it is too long for
	// that worker), "busy", "slow_consumer" or "preparing".
	Reason string `json:"reason" jsonschema:"minLength=1"`
	// Alone is said with "preparing" only: that of [Started].
	Alone bool `json:"alone,omitempty"`
}

// FinishReason says why generation ended.
type FinishReason string

// The finish reasons.
const (
	// FinishStop: the model ended its turn, or a stop string matched.
	FinishStop FinishReason = "stop"
	// FinishLength: max_tokens, or the context, was reached.
	FinishLength FinishReason = "length"
	// FinishToolCalls: the model ended its turn with calls of tools.
	FinishToolCalls FinishReason = "tool_calls"
)

// Usage counts tokens over the whole stream, all attempts together.
type Usage struct {
	// PromptTokens is the length of the rendered prompt, of all prompts of a
	// completion together.
	PromptTokens int `json:"prompt_tokens" jsonschema:"minimum=0"`
	// CompletionTokens is how many tokens were generated, of all choices together.
	CompletionTokens int `json:"completion_tokens" jsonschema:"minimum=0"`
	// CachedTokens is how many prompt tokens were not computed for this job.
	CachedTokens int `json:"cached_tokens" jsonschema:"minimum=0"`
}

// Timings are of the last attempt, in milliseconds.
type Timings struct {
	// QueuedMS is from the store time of the job to its (last) claim.
	QueuedMS float64 `json:"queued_ms" jsonschema:"minimum=0"`
	// PrefillMS is from the claim to the first new token.
	PrefillMS float64 `json:"prefill_ms" jsonschema:"minimum=0"`
	// DecodeMS is from the first new token to the end.
	DecodeMS float64 `json:"decode_ms" jsonschema:"minimum=0"`
}

// Done ends a stream that was answered in full. Output is the last output of the
// choice that ended last, in the same event as the end so that no crash can fall
// between them.
type Done struct {
	Output
	// FinishReason is "stop" where the model ended its turn or a stop string
	// matched, "length" where max_tokens or the context was reached,
	// "tool_calls" where it ended its turn with calls of tools.
	FinishReason FinishReason `json:"finish_reason" jsonschema:"enum=stop,enum=length,enum=tool_calls"`
	// Usage is what the whole stream took.
	Usage Usage `json:"usage"`
	// Timings are those of the last attempt.
	Timings Timings `json:"timings"`
}

// Failed ends a job that cannot be answered.
type Failed struct {
	// Code is the stable error code; a newer release may write one that is not in
	// the table.
	Code Code `json:"code" jsonschema:"minLength=1"`
	// Message is a sentence for people.
	Message string `json:"message" jsonschema:"minLength=1"`
	// Param is the JSON path of the field at fault, if one is.
	Param string `json:"param,omitempty"`
	// Usage is what the job took until then, if a worker had begun.
	Usage *Usage `json:"usage,omitempty"`
}

// Cancelled ends a job that its owner gave up.
type Cancelled struct {
	// Reason is "client_disconnected" or "requested".
	Reason string `json:"reason" jsonschema:"minLength=1"`
	// Usage is what the job took until then, if a worker had begun.
	Usage *Usage `json:"usage,omitempty"`
}

// Expired ends a job whose deadline passed.
type Expired struct {
	// DeadlineMS is the deadline that applied, in milliseconds.
	DeadlineMS int64 `json:"deadline_ms" jsonschema:"minimum=0"`
	// Started tells whether a worker had begun.
	Started bool `json:"started"`
	// Usage is what the job took until then, if a worker had begun.
	Usage *Usage `json:"usage,omitempty"`
}
