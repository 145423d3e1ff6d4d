package openai

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// ErrorBody is the body of every response that is not a success, and the data
// of the server-sent event that ends a broken stream.
type ErrorBody struct {
	Error Error `json:"error"`
}

// Error is OpenAI's error object. Param and Code are null where there is none.
type Error struct {
	Message string        `json:"message"`
	Type    string        `json:"type"`
	Param   *string       `json:"param"`
	Code    *schemas.Code `json:"code"`
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// The types of errors, as OpenAI's clients know them.
const (
	TypeInvalidRequest = "invalid_request_error"
	TypeAuthentication = "authentication_error"
	TypePermission     = "permission_error"
	TypeRateLimit      = "rate_limit_error"
	TypeServer         = "server_error"
)

// NewError makes an error object; param may be empty.
func NewError(code schemas.Code, param, message string) *Error {
	e := &Error{Message: message, Type: TypeOf(code), Code: &code}
	if param != "" {
		e.Param = &param
	}
	return e
}

// TypeOf is OpenAI's type of an error with this code. A code of a newer
// release is a server error.
func TypeOf(code schemas.Code) string {
	switch code {
	case schemas.CodeInvalidRequest, schemas.CodeUnsupportedParameter, schemas.CodeUnknownParameter,
		schemas.CodeModelNotFound, schemas.CodeContextLengthExceeded, schemas.CodeTemplateFailed,
		schemas.CodeNotFound, schemas.CodeMethodNotAllowed, schemas.CodeRequestTooLarge,
		schemas.CodeUnsupportedMediaType, schemas.CodeCancelled, schemas.CodeJobNotFound, schemas.CodeLogRewound,
		schemas.CodeIdempotencyMismatch, schemas.CodeIdempotencyConflict, schemas.CodeWorkerNotFound,
		schemas.CodeWorkerOutdated, schemas.CodeWorkerDraining:
		return TypeInvalidRequest
	case schemas.CodeUnauthorized:
		return TypeAuthentication
	case schemas.CodeForbidden:
		return TypePermission
	case schemas.CodeQueueFull, schemas.CodeTooManyStreams:
		return TypeRateLimit
	case schemas.CodeStorageFull, schemas.CodeQueueUnavailable, schemas.CodeDeadlineExceeded,
		schemas.CodeWorkerLost, schemas.CodeInputLost, schemas.CodeJobLost, schemas.CodeSlowConsumer, schemas.CodeEngineFailed,
		schemas.CodeServerRestarting, schemas.CodeWorkerSilent, schemas.CodeInternal:
		return TypeServer
	}
	return TypeServer
}

// RequestError is the error object for a refusal of [DecodeChatRequest] or
// [DecodeCompletionRequest]; nil if err holds no [*schemas.FieldError].
func RequestError(err error) *Error {
	var fe *schemas.FieldError
	if !errors.As(err, &fe) {
		return nil
	}
	message := fe.Error()
	switch {
	case fe.Code == schemas.CodeUnknownParameter:
		message = "Unrecognized request argument supplied: " + fe.Field
	case fe.Field == "":
		message = "request body: " + fe.Reason
	}
	return NewError(fe.Code, fe.Field, message)
}

// EndError is the error object for an event that ended its job without an
// answer, in the words of the dialect that the job's API has as format; nil for
// every other event.
func EndError(e schemas.Event, format string) *Error {
	switch e.Type {
	case schemas.EventFailed:
		message, param := e.Failed.Message, paramOf(format, e.Failed.Param)
		if param != e.Failed.Param {
			message = strings.Replace(message, e.Failed.Param, param, 1)
		}
		return NewError(e.Failed.Code, param, message)
	case schemas.EventCancelled:
		return NewError(schemas.CodeCancelled, "", "The request was cancelled: "+e.Cancelled.Reason+".")
	case schemas.EventExpired:
		during := "waiting for a worker"
		if e.Expired.Started {
			during = "being answered"
		}
		deadline := time.Duration(e.Expired.DeadlineMS) * time.Millisecond
		return NewError(schemas.CodeDeadlineExceeded, "", fmt.Sprintf("The deadline of %s passed while the request was %s.", deadline, during))
	case schemas.EventSubmitted, schemas.EventStarted, schemas.EventDelta, schemas.EventRequeued, schemas.EventDone:
		return nil
	}
	return nil
}

// endUsage is what was counted before a job ended without an answer.
func endUsage(e schemas.Event) *schemas.Usage {
	switch {
	case e.Failed != nil:
		return e.Failed.Usage
	case e.Cancelled != nil:
		return e.Cancelled.Usage
	case e.Expired != nil:
		return e.Expired.Usage
	}
	return nil
}
