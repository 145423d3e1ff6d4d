package openai

import (
	"unicode/utf8"

	"github.com/semantic-worker/semantic/schemas"
)

// Request is a body of POST /v1/chat/completions or POST /v1/completions that
// can be honoured in full.
type Request struct {
	job schemas.Job
	api schemas.API
	// Class follows service_tier: flex is batch, priority and fast are
	// interactive, everything else is normal.
	Class schemas.Class
	// PromptCacheKey and User name the agent that asks, the first one first.
	PromptCacheKey string
	User           string
}

// Job is the request as a job. Its Model is the name that the client used; the
// gateway resolves aliases.
func (r *Request) Job() schemas.Job {
	job, api := r.job, r.api
	job.Agent, job.API = r.agent(), &api
	return job
}

// agent cuts what the client calls itself to what a job holds: two agents with
// the same first 200 characters share a flow, nothing worse.
func (r *Request) agent() string {
	name := r.PromptCacheKey
	if name == "" {
		name = r.User
	}
	for i := range name {
		if utf8.RuneCountInString(name[:i]) == schemas.MaxName {
			return name[:i]
		}
	}
	return name
}

// UnknownFields says what becomes of a field that is in no table.
type UnknownFields string

// What can become of unknown fields. The zero value refuses.
const (
	// RefuseUnknown refuses the request, as OpenAI does.
	RefuseUnknown UnknownFields = "refuse"
	// WarnUnknown ignores the field and names it in the warnings.
	WarnUnknown UnknownFields = "warn"
)

// DecodeOptions are options of [DecodeChatRequest] and [DecodeCompletionRequest].
type DecodeOptions struct {
	UnknownFields UnknownFields
}
