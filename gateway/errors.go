package gateway

import (
	"errors"
	"net/http"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// ErrInvalidConfig is wrapped by every error of [Config.Validate].
var ErrInvalidConfig = errors.New("invalid gateway configuration")

// statusClientClosedRequest is the status for a job that its owner gave up
// while another request was waiting for it. It has no name in net/http; it is
// neither retried by the OpenAI SDKs (as 408, 409 and 5xx are) nor a fault.
const statusClientClosedRequest = 499

// The error types that OpenAI's clients know.
const (
	typeInvalidRequest = "invalid_request_error"
	typeAuthentication = "authentication_error"
	typePermission     = "permission_error"
	typeNotFound       = "not_found_error"
	typeRateLimit      = "rate_limit_error"
	typeServer         = "server_error"
	typeTimeout        = "timeout_error"
)

// retry is what a client's SDK is told, by X-Should-Retry, about sending the
// same request again. Left alone, SDKs retry every 408, 409, 429 and 5xx.
type retry int

const (
	// retryByStatus leaves it to the client.
	retryByStatus retry = iota
	// retryYes: the cause passes by itself; Retry-After says when to look.
	retryYes
	// retryNo: the same request would meet the same end, at the same cost.
	retryNo
)

// answer is how one error code looks over HTTP.
type answer struct {
	// status is the HTTP status, if nothing was sent yet.
	status int
	// kind is the "type" of OpenAI's error object.
	kind string
	// retry and after become X-Should-Retry and Retry-After.
	retry retry
	after time.Duration
}

// answerFor is the one table from error codes to HTTP. A code that is missing
// here is a fault of ours and answered as one; a test compares the table with
// the codes that package schemas declares.
func answerFor(code schemas.Code) answer {
	if a, ok := answers()[code]; ok {
		return a
	}
	return answers()[schemas.CodeInternal]
}

func answers() map[schemas.Code]answer {
	return map[schemas.Code]answer{
		schemas.CodeInvalidRequest:        {status: http.StatusBadRequest, kind: typeInvalidRequest},
		schemas.CodeUnsupportedParameter:  {status: http.StatusBadRequest, kind: typeInvalidRequest},
		schemas.CodeUnknownParameter:      {status: http.StatusBadRequest, kind: typeInvalidRequest},
		schemas.CodeContextLengthExceeded: {status: http.StatusBadRequest, kind: typeInvalidRequest},
		schemas.CodeTemplateFailed:        {status: http.StatusBadRequest, kind: typeInvalidRequest},
		schemas.CodeUnauthorized:          {status: http.StatusUnauthorized, kind: typeAuthentication},
		schemas.CodeForbidden:             {status: http.StatusForbidden, kind: typePermission},
		schemas.CodeNotFound:              {status: http.StatusNotFound, kind: typeNotFound},
		schemas.CodeModelNotFound:         {status: http.StatusNotFound, kind: typeNotFound},
		schemas.CodeMethodNotAllowed:      {status: http.StatusMethodNotAllowed, kind: typeInvalidRequest},
		schemas.CodeRequestTooLarge:       {status: http.StatusRequestEntityTooLarge, kind: typeInvalidRequest},
		schemas.CodeUnsupportedMediaType:  {status: http.StatusUnsupportedMediaType, kind: typeInvalidRequest},
		schemas.CodeCancelled:             {status: statusClientClosedRequest, kind: typeInvalidRequest, retry: retryNo},

		schemas.CodeQueueFull:        {status: http.StatusTooManyRequests, kind: typeRateLimit, retry: retryYes, after: time.Second},
		schemas.CodeStorageFull:      {status: http.StatusServiceUnavailable, kind: typeServer, retry: retryYes, after: 10 * time.Second},
		schemas.CodeQueueUnavailable: {status: http.StatusServiceUnavailable, kind: typeServer, retry: retryYes, after: 2 * time.Second},
		schemas.CodeServerRestarting: {status: http.StatusServiceUnavailable, kind: typeServer, retry: retryYes, after: 2 * time.Second},

		schemas.CodeDeadlineExceeded: {status: http.StatusGatewayTimeout, kind: typeTimeout, retry: retryNo},
		schemas.CodeWorkerLost:       {status: http.StatusInternalServerError, kind: typeServer, retry: retryNo},
		schemas.CodeSlowConsumer:     {status: http.StatusInternalServerError, kind: typeServer, retry: retryNo},
		schemas.CodeEngineFailed:     {status: http.StatusInternalServerError, kind: typeServer, retry: retryNo},
		schemas.CodeInternal:         {status: http.StatusInternalServerError, kind: typeServer, retry: retryNo},
	}
}
