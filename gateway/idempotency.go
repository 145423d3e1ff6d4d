package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// headerIdempotencyKey names a request, so that a repeat of it means the same job
// for as long as that job's log lives. The job's id is made of the key, and the log's first
// event is the lock: however many gateways get the request, and whichever dies in
// the middle of it, one job comes of it.
const headerIdempotencyKey = "Idempotency-Key"

// maxIdempotencyKey bounds a key's length, in bytes.
const maxIdempotencyKey = 255

// idempotencyKey reads the key of a request; "" without one.
func idempotencyKey(r *http.Request) (string, *failure) {
	given, there := r.Header[headerIdempotencyKey]
	if !there {
		return "", nil
	}
	key := strings.Join(given, ", ")
	if key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "", &failure{code: schemas.CodeInvalidRequest, param: headerIdempotencyKey, message: fmt.Sprintf(
			"%s is 1 to %d printable ASCII characters, not %q.", headerIdempotencyKey, maxIdempotencyKey, shown(key))}
	}
	return key, nil
}

// keyed makes a submission the one job that its owner's key stands for: with an
// id of the same form as a random one, and as hard to guess. Repeats are compared by
// what the client said; what the gateway filled in (a default deadline, the model behind
// an alias) may differ at another gateway, or tomorrow.
func (g *Gateway) keyed(r *http.Request, sub *queue.Submission, key, model string) error {
	id, err := g.derive(r.Context(), purposeIdempotency, sub.Owner, key)
	if err != nil {
		return err
	}
	said := sub.Job
	said.Model = model
	if r.Header.Get(headerDeadline) == "" {
		said.DeadlineMS = 0
	}
	data, err := json.Marshal(struct {
		Job   schemas.Job   `json:"job"`
		Class schemas.Class `json:"class"`
	}{said, sub.Class})
	if err != nil {
		return fmt.Errorf("hash of the request: %w", err)
	}
	sum := sha256.Sum256(data)
	sub.JobID, sub.RequestHash = hex.EncodeToString(id[:16]), hex.EncodeToString(sum[:])
	return nil
}

// repeated judges a Submit under a key that had been used before; nil if it is
// the job's own client that repeats its request.
func (g *Gateway) repeated(r *http.Request, owner, job string, err error) *failure {
	mine, unknown := false, error(nil)
	state, f := g.stateOf(r.Context(), owner, job)
	switch {
	case f == nil:
		mine, unknown = g.brings(r, state)
	case f.code != schemas.CodeJobNotFound: // forgotten just now, it is nobody's
		return f
	}
	switch {
	case unknown != nil:
		return queueFailure(unknown)
	case !mine:
		// Before anything is said of the other request.
		return &failure{code: schemas.CodeIdempotencyConflict, param: headerIdempotencyKey, message: fmt.Sprintf(
			"This %s is in use. To repeat a request, send the %s of its first response along.", headerIdempotencyKey, headerOwnerToken)}
	case errors.Is(err, queue.ErrConflict):
		return &failure{code: schemas.CodeIdempotencyMismatch, param: headerIdempotencyKey, message: fmt.Sprintf(
			"This %s was used with another request: another body, or other headers. Take a new key for a new request.",
			headerIdempotencyKey)}
	}
	return nil
}
