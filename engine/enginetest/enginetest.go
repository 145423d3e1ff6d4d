// Package enginetest is the conformance suite that every backend passes.
package enginetest

import (
	"context"
	"errors"
	"testing"

	"github.com/semantic-worker/semantic/engine"
)

// ErrUnproven is wrapped by a case that could not show its point on this
// backend without anything being wrong: bits differ where engine.md does not
// promise them, or the model gave no occasion. Run logs it; doctor warns.
var ErrUnproven = errors.New("enginetest: not shown on this backend")

// Case is one promise of a backend and the engine on it.
type Case struct {
	Name string
	// Run gets a fresh backend and closes it. It returns nil, an error that
	// wraps ErrUnproven, or what is wrong.
	Run func(ctx context.Context, backend engine.Backend) error
}

// Cases returns the suite, for use outside go test too.
func Cases() []Case { return nil }

// Run runs the suite; open is called once per case.
func Run(t *testing.T, open func(t *testing.T) engine.Backend) { t.Helper(); _ = open }
