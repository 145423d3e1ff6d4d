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

// What Retry-After says, in whole seconds, where the cause passes by itself.
// OpenAI's SDKs wait exactly that long, and ask three times in all: so a value
// is about the length of what it waits for.
const (
	// retryQueueFull: the shortest there is. A place is free as soon as one job of
	// the class ends, and a client that waits longer may find it taken again.
	retryQueueFull = 1 * time.Second
	// retryQueueAway: a broker that was started again is found within
	// queue.Config.ReconnectWait; the rest is its own start.
	retryQueueAway = 2 * time.Second
	// retryRestarting: another gateway answers at once, this one when it is up
	// again, before its worker has loaded the model.
	retryRestarting = 2 * time.Second
	// retryStorageFull: room comes back as logs grow old, or by an operator's
	// hand; neither is a matter of a second.
	retryStorageFull = 10 * time.Second
)

// answer is how one error code looks over HTTP. The "type" in the body is a
// matter of the API's dialect, so it is not here: openai.TypeOf has OpenAI's.
type answer struct {
	// status is the HTTP status, if nothing was sent yet.
	status int
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
		schemas.CodeInvalidRequest:        {status: http.StatusBadRequest},
		schemas.CodeUnsupportedParameter:  {status: http.StatusBadRequest},
		schemas.CodeUnknownParameter:      {status: http.StatusBadRequest},
		schemas.CodeContextLengthExceeded: {status: http.StatusBadRequest},
		schemas.CodeTemplateFailed:        {status: http.StatusBadRequest},
		schemas.CodeUnauthorized:          {status: http.StatusUnauthorized},
		schemas.CodeForbidden:             {status: http.StatusForbidden},
		schemas.CodeNotFound:              {status: http.StatusNotFound},
		schemas.CodeModelNotFound:         {status: http.StatusNotFound},
		schemas.CodeMethodNotAllowed:      {status: http.StatusMethodNotAllowed},
		schemas.CodeRequestTooLarge:       {status: http.StatusRequestEntityTooLarge},
		schemas.CodeUnsupportedMediaType:  {status: http.StatusUnsupportedMediaType},
		schemas.CodeCancelled:             {status: statusClientClosedRequest, retry: retryNo},
		schemas.CodeJobNotFound:           {status: http.StatusNotFound},
		schemas.CodeLogRewound:            {status: http.StatusConflict, retry: retryNo},
		schemas.CodeIdempotencyConflict:   {status: http.StatusConflict, retry: retryNo},
		schemas.CodeIdempotencyMismatch:   {status: http.StatusUnprocessableEntity},
		schemas.CodeWorkerNotFound:        {status: http.StatusNotFound},
		schemas.CodeWorkerOutdated:        {status: http.StatusConflict, retry: retryNo},
		schemas.CodeWorkerDraining:        {status: http.StatusConflict, retry: retryNo},
		schemas.CodeWorkerSilent:          {status: http.StatusGatewayTimeout, retry: retryNo},

		schemas.CodeQueueFull:        {status: http.StatusTooManyRequests, retry: retryYes, after: retryQueueFull},
		schemas.CodeTooManyStreams:   {status: http.StatusTooManyRequests, retry: retryYes, after: retryQueueFull},
		schemas.CodeStorageFull:      {status: http.StatusServiceUnavailable, retry: retryYes, after: retryStorageFull},
		schemas.CodeQueueUnavailable: {status: http.StatusServiceUnavailable, retry: retryYes, after: retryQueueAway},
		schemas.CodeServerRestarting: {status: http.StatusServiceUnavailable, retry: retryYes, after: retryRestarting},

		schemas.CodeDeadlineExceeded: {status: http.StatusGatewayTimeout, retry: retryNo},
		schemas.CodeWorkerLost:       {status: http.StatusInternalServerError, retry: retryNo},
		schemas.CodeInputLost:        {status: http.StatusInternalServerError, retry: retryNo},
		schemas.CodeJobLost:          {status: http.StatusInternalServerError, retry: retryNo},
		schemas.CodeSlowConsumer:     {status: http.StatusInternalServerError, retry: retryNo},
		schemas.CodeEngineFailed:     {status: http.StatusInternalServerError, retry: retryNo},
		schemas.CodeInternal:         {status: http.StatusInternalServerError, retry: retryNo},
	}
}
