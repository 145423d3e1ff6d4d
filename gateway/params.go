package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Headers by which a client says what OpenAI's body has no field for.
const (
	headerClass    = "X-Semantic-Class"
	headerDeadline = "X-Semantic-Deadline"
	headerAgent    = "X-Semantic-Agent"
)

// classFrom takes the header, else what the body says.
func classFrom(r *http.Request, body schemas.Class) (schemas.Class, *failure) {
	given := r.Header.Get(headerClass)
	if given == "" {
		return body, nil
	}
	class := schemas.Class(strings.ToLower(given))
	if !slices.Contains(schemas.Classes(), class) {
		return "", &failure{code: schemas.CodeInvalidRequest, param: headerClass, message: fmt.Sprintf(
			"%s is interactive, normal or batch, not %q.", headerClass, shown(given))}
	}
	return class, nil
}

// deadlineFrom reads "30s", "2m30s" or a number of seconds.
func (g *Gateway) deadlineFrom(r *http.Request, class schemas.Class) (time.Duration, *failure) {
	given := strings.TrimSpace(r.Header.Get(headerDeadline))
	if given == "" {
		if class == schemas.ClassBatch {
			return g.config.DefaultBatchDeadline, nil
		}
		return g.config.DefaultDeadline, nil
	}
	d, err := time.ParseDuration(given)
	if err != nil {
		// A bare number: seconds. A unit of its own keeps one parser, and its
		// bounds, for both.
		d, err = time.ParseDuration(given + "s")
	}
	bad := func(format string, args ...any) (time.Duration, *failure) {
		return 0, &failure{code: schemas.CodeInvalidRequest, param: headerDeadline, message: fmt.Sprintf(format, args...)}
	}
	switch {
	case err != nil:
		return bad("%s is a duration like 30s, or a number of seconds, not %q.", headerDeadline, shown(given))
	case d < time.Millisecond:
		return bad("%s must be at least 1ms, not %s.", headerDeadline, strconv.Quote(given))
	case d > g.config.MaxDeadline:
		return bad("%s must be at most %v, not %s.", headerDeadline, g.config.MaxDeadline, strconv.Quote(given))
	}
	return d, nil
}
