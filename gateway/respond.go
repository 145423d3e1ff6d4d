package gateway

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

const (
	headerJob         = "X-Semantic-Job"
	headerWarning     = "X-Semantic-Warning"
	headerShouldRetry = "X-Should-Retry"
)

// failure is an error as a client sees it: a stable code, a sentence, and the
// field at fault if one is.
type failure struct {
	code    schemas.Code
	message string
	param   string
	// cause is for the log, where the message hides it.
	cause error
	// after is what Retry-After says, where the code's own is not it.
	after time.Duration
	// abandoned: the job may still run, and nobody waits for it any more.
	abandoned bool
}

// endFailure takes an error object's parts over.
func endFailure(e *openai.Error) *failure {
	f := &failure{code: *e.Code, message: e.Message}
	if e.Param != nil {
		f.param = *e.Param
	}
	return f
}

// faulty is what a client hears of a fault of ours.
func faulty() *failure {
	return &failure{
		code:    schemas.CodeInternal,
		message: "The gateway failed on this request; its log has the cause under the request id.",
	}
}

func (f *failure) body() []byte {
	return mustJSON(openai.ErrorBody{Error: *openai.NewError(f.code, f.param, f.message)})
}

// mustJSON encodes our own plain types, for which encoding cannot fail.
func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return []byte(`{"error":{"message":"encoding the response failed","type":"server_error","param":null,"code":"internal_error"}}`)
	}
	return data
}

// refuse answers a request with an error; nothing may have been written yet.
func refuse(w http.ResponseWriter, r *http.Request, f *failure) {
	a := answerFor(f.code)
	callOf(r).fail(f)
	h := w.Header()
	switch a.retry {
	case retryYes:
		after := cmp.Or(f.after, a.after)
		h.Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
		h.Set(headerShouldRetry, "true")
	case retryNo:
		h.Set(headerShouldRetry, "false")
	case retryByStatus:
	}
	if f.code == schemas.CodeUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="semantic"`)
	}
	if f.code == schemas.CodeServerRestarting {
		// The next attempt should find another gateway, or the next process.
		h.Set("Connection", "close")
	}
	writeJSON(w, r, a.status, f.body())
}

// writeJSON sends a whole response. A client that is gone is noticed by the
// server; there is nobody to tell.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("X-Content-Type-Options", "nosniff")
	if t := callOf(r).tracked; t != nil {
		t.armWrite()
		defer t.disarmWrite()
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(append(body, '\n'))
}
