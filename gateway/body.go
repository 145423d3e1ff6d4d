package gateway

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// readJSON reads a request's body within the limits of size and time. A
// *clientGoneError means that the connection broke before it was complete.
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
	callOf(r).received = len(body)
	if err == nil {
		t.disarmRead()
		return body, nil, nil
	}
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return nil, tooLarge, nil
	}
	f, err := g.unreadable(r, err)
	return nil, f, err
}

// unreadable tells what kept a body from being read. A client whose body ends
// too soon may have closed its sending side only, and still read an answer.
func (g *Gateway) unreadable(r *http.Request, err error) (*failure, error) {
	bad := func(format string, args ...any) (*failure, error) {
		return &failure{code: schemas.CodeInvalidRequest, cause: err, message: fmt.Sprintf(format, args...)}, nil
	}
	var broken *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		select {
		case <-callOf(r).tracked.cut:
			return restarting(), nil
		default:
		}
		return bad("The request body did not arrive within %v.", g.config.BodyTimeout)
	case errors.As(err, &broken):
		return nil, &clientGoneError{cause: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return bad("The request body ended before it was complete.")
	case r.Context().Err() != nil: // a stream of HTTP/2 that was reset
		return nil, &clientGoneError{cause: err}
	}
	// net/http says what is wrong with the chunks or the trailer.
	return bad("The request body could not be read: %s.", shown(err.Error()))
}

// checkContentType insists on JSON. This is also what forces a browser to ask
// (preflight) before a page of another site can send anything here.
func checkContentType(r *http.Request) *failure {
	unsupported := func(format string, args ...any) *failure {
		return &failure{code: schemas.CodeUnsupportedMediaType, message: fmt.Sprintf(format, args...)}
	}
	// Several lines of a header mean what one does with commas between them.
	given := strings.Join(r.Header.Values("Content-Type"), ", ")
	kind, params, err := mime.ParseMediaType(given)
	if err != nil || kind != "application/json" {
		return unsupported("The Content-Type must be application/json, not %q.", shown(given))
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return unsupported("The charset must be utf-8, not %q.", shown(charset))
	}
	if encoding := strings.Join(r.Header.Values("Content-Encoding"), ", "); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return unsupported("Content-Encoding %q is not supported: send the body as it is.", shown(encoding))
	}
	return nil
}
