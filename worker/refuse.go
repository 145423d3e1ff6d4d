package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// lengthError is a prompt that cannot fit, by its field in the job.
type lengthError struct {
	*engine.ContextLengthError
	field string
}

func (e *lengthError) Unwrap() error { return e.ContextLengthError }

// fieldOf says which prompt an error of the engine is about.
func fieldOf(err error, field string) error {
	var length *engine.ContextLengthError
	if errors.As(err, &length) {
		return &lengthError{length, field}
	}
	return err
}

// refuse ends a job that cannot be answered: the one table from errors to
// codes. Errors that are nobody's fault but ours are internal. What is said of a
// client's own words may quote them: the client is told, and the log's readers are
// not.
func (r *run) refuse(ctx context.Context, err error) outcome {
	r.notResumed(err)
	failed := &schemas.Failed{Code: schemas.CodeInternal, Message: err.Error(), Usage: r.partialUsage()}
	var (
		field       *schemas.FieldError
		template    *chat.TemplateError
		unsupported *chat.UnsupportedError
		length      *lengthError
		input       *queue.InputError
	)
	if errors.As(err, &unsupported) {
		err = unsupportedField(unsupported)
		failed.Message = err.Error()
	}
	switch {
	case errors.As(err, &field):
		failed.Code, failed.Param = field.Code, field.Field
	case errors.As(err, &input):
		failed.Code = schemas.CodeInputLost
	case errors.As(err, &template):
		failed.Code, failed.Param = schemas.CodeTemplateFailed, "messages"
	case errors.As(err, &length):
		failed.Code, failed.Message, failed.Param = schemas.CodeContextLengthExceeded, length.message(), length.field
	case errors.Is(err, engine.ErrDeadEnd):
		failed.Code, failed.Param = schemas.CodeInvalidRequest, grammarField(r.job)
	case errors.Is(err, engine.ErrBanned):
		failed.Code, failed.Param = schemas.CodeInvalidRequest, "logit_bias"
	case errors.Is(err, engine.ErrBackend):
		failed.Code = schemas.CodeEngineFailed
	}
	r.code = failed.Code
	log := r.log
	if quotes := field != nil || template != nil; !quotes || r.w.content {
		log = log.With(schemas.LogError, err)
	}
	log.Warn("job failed", schemas.LogCode, string(failed.Code), schemas.LogParam, failed.Param)
	return r.end(ctx, outcomeFailed, schemas.Event{Type: schemas.EventFailed, Failed: failed})
}

// unsupportedField is what a conversation asks for in vain: a schema that cannot
// be kept to, by the keyword's path, or a parameter that this model does not know.
func unsupportedField(e *chat.UnsupportedError) *schemas.FieldError {
	if e.Cause != nil {
		return schemaFault(e.Param, e.Cause)
	}
	return &schemas.FieldError{Field: e.Param, Reason: e.Reason, Code: schemas.CodeUnsupportedParameter}
}

// message tells the client the numbers.
func (e *lengthError) message() string {
	what := "the prompt"
	if e.field == "messages" {
		what = "the messages"
	}
	if e.MaxTokens == 0 {
		return fmt.Sprintf("This model's context is %d tokens, which %s, of %d tokens, would fill. Shorten %s.", e.Context, what, e.Prompt, what)
	}
	return fmt.Sprintf("This model's context is %d tokens. There are %d in %s, and max_tokens asks for %d more, %d together. "+
		"Shorten %s or lower max_tokens.", e.Context, e.Prompt, what, e.MaxTokens, e.Prompt+e.MaxTokens, what)
}
