package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// maxNameShown bounds how much of a client's text is repeated in a message.
const maxNameShown = 200

// errUnknownModel: the name is neither known nor mapped to a known one.
var errUnknownModel = errors.New("unknown model")

// knownFor is how long the list of known models is used before it is read again:
// so long may a forgotten model still be asked for.
const knownFor = time.Second

// catalogue knows which models may be asked for: those that a worker ever
// announced and nobody has forgotten, and those expected soon. Safe for
// concurrent use.
type catalogue struct {
	queue   *queue.Queue
	aliases []Alias

	mu sync.Mutex
	// expect are models that no worker has announced yet: once one has, it is known
	// by that, and may be forgotten.
	expect []string
	// known is as of readAt; nil before the first reading.
	known  map[string]struct{}
	readAt time.Time
}

func newCatalogue(q *queue.Queue, expect []string, aliases []Alias) *catalogue {
	return &catalogue{queue: q, aliases: aliases, expect: expect}
}

// has reports whether the model is known by what was read last, and whether that
// is fresh.
func (c *catalogue) has(model string) (known, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known = c.known[model]
	return known || slices.Contains(c.expect, model), time.Since(c.readAt) < knownFor
}

// list returns every known model, sorted.
func (c *catalogue) list(ctx context.Context) ([]string, error) {
	models, err := c.queue.Models(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the known models: %w", err)
	}
	known := make(map[string]struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expect = slices.DeleteFunc(c.expect, func(m string) bool { return slices.Contains(models, m) })
	for _, m := range append(models, c.expect...) {
		known[m] = struct{}{}
	}
	c.known, c.readAt = known, time.Now()
	return slices.Sorted(maps.Keys(known)), nil
}

// resolve maps a requested name to a known model: by its own name, else by the
// first alias that matches. Otherwise the error is errUnknownModel, with the
// known models beside it, or the queue's.
func (c *catalogue) resolve(ctx context.Context, requested string) (model string, known []string, err error) {
	if is, fresh := c.has(requested); is && fresh {
		return requested, nil, nil
	}
	// An exact name goes before every alias, so the queue has to be asked first.
	known, err = c.list(ctx)
	if err != nil {
		return "", nil, err
	}
	if slices.Contains(known, requested) {
		return requested, nil, nil
	}
	if target, ok := c.alias(requested); ok && slices.Contains(known, target) {
		return target, nil, nil
	}
	return "", known, errUnknownModel
}

// label is the model's name for metrics: modelUnknown for all that are not known,
// and "" for none. Where the queue cannot be asked, what was read last says.
func (c *catalogue) label(ctx context.Context, model string) string {
	if model == "" {
		return ""
	}
	known, fresh := c.has(model)
	if !known && !fresh {
		if names, err := c.list(ctx); err == nil {
			known = slices.Contains(names, model)
		}
	}
	if !known {
		return modelUnknown
	}
	return model
}

func (c *catalogue) alias(requested string) (string, bool) {
	for _, a := range c.aliases {
		// Patterns were checked by Config.Validate.
		if ok, err := path.Match(a.Pattern, requested); err == nil && ok {
			return a.Model, true
		}
	}
	return "", false
}

// notFound tells a client which names it could have used.
func (c *catalogue) notFound(requested string, known []string) *failure {
	var b strings.Builder
	fmt.Fprintf(&b, "The model %q is not known here", shown(requested))
	if target, ok := c.alias(requested); ok {
		fmt.Fprintf(&b, " (it is an alias of %q, which no worker has announced)", target)
	}
	if len(known) == 0 {
		b.WriteString("; no worker has announced any model yet.")
	} else {
		fmt.Fprintf(&b, ". Known models: %s.", strings.Join(known, ", "))
	}
	return &failure{code: schemas.CodeModelNotFound, message: b.String(), param: "model"}
}

func shown(name string) string {
	if len(name) <= maxNameShown {
		return name
	}
	return strings.ToValidUTF8(name[:maxNameShown], "") + "…"
}
