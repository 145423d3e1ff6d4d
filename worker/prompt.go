package worker

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/schemas"
)

// errContradiction: the log does not say what this worker would have said. The
// fingerprints are equal, so one of the two is wrong, and going on would join
// two different texts.
var errContradiction = errors.New("the job's log contradicts the model's text of its tokens")

// errOtherPrompt: the log is of a job with another prompt. Two jobs were
// published under one id, and this message is not the one that was begun.
var errOtherPrompt = errors.New("the job's log began with another prompt")

// request makes the sequence of a job: the rendered prompt, the tokens that
// earlier attempts logged, and the job's parameters.
func (r *run) request() (engine.Request, error) {
	// The time that a template may print is the job's, so that every attempt has
	// the same prompt.
	text, err := r.w.template.RenderAt(r.delivery.StoredAt.UTC(), messages(r.job.Messages))
	if err != nil {
		return engine.Request{}, err
	}
	prompt, err := r.w.engine.Vocabulary().Tokenize(text, true)
	if err != nil {
		return engine.Request{}, fmt.Errorf("tokenize the prompt: %w", err)
	}
	if first := r.history.first; first != nil && first.PromptTokens != len(prompt) {
		return engine.Request{}, fmt.Errorf("%w: of %d tokens, this one has %d", errOtherPrompt, first.PromptTokens, len(prompt))
	}
	if err := r.checkLog(); err != nil {
		return engine.Request{}, err
	}
	request := engine.Request{
		ID:      r.sequenceID(),
		Prompt:  prompt,
		Emitted: r.history.tokens,
		Sampling: engine.Sampling{
			Temperature: value(r.job.Temperature, 1),
			TopK:        value(r.job.TopK, 0),
			TopP:        topP(r.job),
			MinP:        value(r.job.MinP, 0),
			Seed:        r.seed(),
		},
		MaxTokens: value(r.job.MaxTokens, 0),
		Stop:      r.job.Stop,
		Logger:    r.log,
	}
	return request, nil
}

// checkLog compares the logged text with the engine's text of the logged tokens.
// What the end of a stream releases is in its last event only, which this log
// does not have.
func (r *run) checkLog() error {
	replayed, _ := engine.ReplayText(r.w.engine.Vocabulary(), r.job.Stop, false, r.history.tokens)
	if r.history.text != replayed {
		return fmt.Errorf("%w: %d tokens give %d bytes, the log has %d bytes",
			errContradiction, len(r.history.tokens), len(replayed), len(r.history.text))
	}
	return nil
}

// sequenceID is the engine's name of this claim: the same job may be claimed
// again before the engine has let go of a dropped sequence.
func (r *run) sequenceID() string {
	return r.delivery.JobID + "#" + strconv.FormatUint(r.number, 10)
}

// topP is the job's: 0, the smallest set, which is one token, is not the
// engine's 0, which is off.
func topP(job schemas.Job) float64 {
	return max(value(job.TopP, 1), math.SmallestNonzeroFloat64)
}

func messages(in []schemas.Message) []chat.Message {
	out := make([]chat.Message, len(in))
	for i, m := range in {
		out[i] = chat.Message{Role: string(m.Role), Content: m.Content, Name: m.Name, ToolCallID: m.ToolCallID}
	}
	return out
}

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// lengthMessage tells the client the numbers of a prompt that cannot fit.
func lengthMessage(e *engine.ContextLengthError) string {
	if e.MaxTokens == 0 {
		return fmt.Sprintf("This model's context is %d tokens, and the messages have %d. Shorten the messages.", e.Context, e.Prompt)
	}
	return fmt.Sprintf("This model's context is %d tokens. The messages have %d and max_tokens asks for %d more, %d together. "+
		"Shorten the messages or lower max_tokens.", e.Context, e.Prompt, e.MaxTokens, e.Prompt+e.MaxTokens)
}
