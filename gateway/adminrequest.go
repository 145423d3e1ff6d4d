package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// maxAdminBody bounds the bodies of the admin interface, in bytes.
const maxAdminBody = 4 << 10

// readAdmin reads a body strictly; false if the request was answered. One that is
// optional may be absent, and is then empty.
func readAdmin[T any](w http.ResponseWriter, r *http.Request, optional bool, decode func([]byte) (T, error)) (T, bool) {
	var zero T
	if f := queryOf(r); f != nil {
		refuse(w, r, f)
		return zero, false
	}
	if optional && r.ContentLength == 0 {
		return zero, true
	}
	if f := checkContentType(r); f != nil {
		refuse(w, r, f)
		return zero, false
	}
	// The time that it may take is bounded for every request with a body.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdminBody))
	if limit := new(http.MaxBytesError); errors.As(err, &limit) {
		refuse(w, r, &failure{code: schemas.CodeRequestTooLarge, message: fmt.Sprintf(
			"The request body is larger than the limit of %d bytes.", maxAdminBody)})
		return zero, false
	}
	if err != nil {
		refuse(w, r, &failure{code: schemas.CodeInvalidRequest, message: "The request body could not be read.", cause: err})
		return zero, false
	}
	request, err := decode(body)
	if err != nil {
		refuse(w, r, fieldFailure(err))
		return zero, false
	}
	return request, true
}

// noBody refuses a body where none means anything, and query parameters that are not
// known; false if the request was answered.
func noBody(w http.ResponseWriter, r *http.Request, known ...string) bool {
	f := queryOf(r, known...)
	if f == nil && r.ContentLength != 0 {
		f = &failure{code: schemas.CodeInvalidRequest, message: shown(r.Method) + " " + shown(r.URL.Path) + " takes no body."}
	}
	if f != nil {
		refuse(w, r, f)
	}
	return f == nil
}

// queryOf refuses query parameters that are not known, or are there twice.
func queryOf(r *http.Request, known ...string) *failure {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &failure{code: schemas.CodeInvalidRequest, message: "The query of the URL cannot be read.", cause: err}
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) {
			return &failure{code: schemas.CodeUnknownParameter, param: shown(name), message: fmt.Sprintf(
				"The query parameter %q is not known; known are: %s.", shown(name), cmp.Or(strings.Join(known, ", "), "none"))}
		}
		if len(query[name]) > 1 {
			return &failure{code: schemas.CodeInvalidRequest, param: name, message: fmt.Sprintf("%s is there %d times.", name, len(query[name]))}
		}
	}
	return nil
}

// workerFailure says what a worker that was asked something did not do.
func (a *Admin) workerFailure(ctx context.Context, err error) *failure {
	var outdated *queue.OutdatedError
	var refused *queue.RefusedError
	switch {
	case errors.Is(err, queue.ErrNoWorker):
		return a.noWorker(ctx, err)
	case errors.Is(err, queue.ErrSilent):
		return &failure{code: schemas.CodeWorkerSilent, cause: err, message: fmt.Sprintf(
			"The worker did not answer within %s: it hangs, or its machine sleeps.", queue.ReportTimeout)}
	case errors.As(err, &outdated):
		return &failure{code: schemas.CodeWorkerOutdated, message: fmt.Sprintf(
			"The worker %s is of a release that does not know %s. Upgrade it.", shown(outdated.Worker), outdated.Kind)}
	case errors.As(err, &refused) && refused.Draining:
		return &failure{code: schemas.CodeWorkerDraining, message: fmt.Sprintf(
			"The worker %s is draining and ends then, which nothing takes back.", shown(refused.Worker))}
	case errors.As(err, &refused):
		return &failure{code: schemas.CodeInvalidRequest, message: fmt.Sprintf(
			"The worker %s does not do it: %s.", shown(refused.Worker), shown(refused.Reason))}
	}
	return queueFailure(err)
}

// noWorker names the workers that there are.
func (a *Admin) noWorker(ctx context.Context, err error) *failure {
	f := &failure{code: schemas.CodeWorkerNotFound, message: "There is no such worker, nor any other.", cause: err}
	workers, err := a.queue.Workers(ctx)
	if err != nil || len(workers) == 0 {
		return f
	}
	var ids []string
	for _, w := range workers {
		ids = append(ids, w.ID)
	}
	f.message = fmt.Sprintf("There is no such worker. There are: %s.", shown(strings.Join(ids, ", ")))
	return f
}
