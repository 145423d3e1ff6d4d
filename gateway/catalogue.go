package gateway

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// maxNameShown bounds how much of a client's text is repeated in a message.
const maxNameShown = 200

// errUnknownModel: the name is neither known nor mapped to a known one.
var errUnknownModel = errors.New("unknown model")

// catalogue knows which models may be asked for: those that a worker ever
// announced, and those expected soon. Safe for concurrent use.
type catalogue struct {
	queue   *queue.Queue
	aliases []Alias

	mu sync.Mutex
	// known only grows: what was announced once stays known, so the queue is
	// asked for names not in it only.
	known map[string]struct{}
}

func newCatalogue(q *queue.Queue, expect []string, aliases []Alias) *catalogue {
	c := &catalogue{queue: q, aliases: aliases, known: map[string]struct{}{}}
	c.add(expect)
	return c
}

func (c *catalogue) add(models []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range models {
		c.known[m] = struct{}{}
	}
}

func (c *catalogue) has(model string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.known[model]
	return ok
}

// list returns every known model, sorted.
func (c *catalogue) list(ctx context.Context) ([]string, error) {
	models, err := c.queue.Models(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the known models: %w", err)
	}
	c.add(models)
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]string, 0, len(c.known))
	for m := range c.known {
		all = append(all, m)
	}
	slices.Sort(all)
	return all, nil
}

// resolve maps a requested name to a known model: by its own name, else by the
// first alias that matches. Otherwise the error is errUnknownModel, with the
// known models beside it, or the queue's.
func (c *catalogue) resolve(ctx context.Context, requested string) (model string, known []string, err error) {
	if c.has(requested) {
		return requested, nil, nil
	}
	// An exact name goes before every alias, so the queue has to be asked first.
	known, err = c.list(ctx)
	if err != nil {
		return "", nil, err
	}
	if c.has(requested) {
		return requested, nil, nil
	}
	if target, ok := c.alias(requested); ok && c.has(target) {
		return target, nil, nil
	}
	return "", known, errUnknownModel
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
