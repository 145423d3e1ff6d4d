package gateway

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// readJSON reads a request's body within the limits of size and time. A
// *clientGoneError means that the client left before it was complete.
func (g *Gateway) readJSON(w http.ResponseWriter, r *http.Request) ([]byte, *failure, error) {
	if f := checkContentType(r); f != nil {
		return nil, f, nil
	}
	tooLarge := &failure{code: schemas.CodeRequestTooLarge, message: fmt.Sprintf(
		"The request body is larger than the limit of %d bytes.", g.config.MaxBodyBytes)}
	if r.ContentLength > g.config.MaxBodyBytes {
		return nil, tooLarge, nil
	}

	t := callOf(r).tracked
	t.armRead(g.config.BodyTimeout)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.config.MaxBodyBytes))
	var limit *http.MaxBytesError
	switch {
	case err == nil:
		t.disarmRead()
		return body, nil, nil
	case errors.As(err, &limit):
		return nil, tooLarge, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		select {
		case <-t.cut:
			return nil, restarting(), nil
		default:
		}
		return nil, &failure{code: schemas.CodeInvalidRequest, message: fmt.Sprintf(
			"The request body did not arrive within %v.", g.config.BodyTimeout)}, nil
	}
	return nil, nil, &clientGoneError{cause: err}
}

// checkContentType insists on JSON. This is also what forces a browser to ask
// (preflight) before a page of another site can send anything here.
func checkContentType(r *http.Request) *failure {
	unsupported := func(format string, args ...any) *failure {
		return &failure{code: schemas.CodeUnsupportedMediaType, message: fmt.Sprintf(format, args...)}
	}
	given := r.Header.Get("Content-Type")
	kind, params, err := mime.ParseMediaType(given)
	if err != nil || kind != "application/json" {
		return unsupported("The Content-Type must be application/json, not %q.", shown(given))
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return unsupported("The charset must be utf-8, not %q.", shown(charset))
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return unsupported("Content-Encoding %q is not supported: send the body as it is.", shown(encoding))
	}
	return nil
}
