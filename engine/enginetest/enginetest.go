// Package enginetest is the conformance suite that every backend passes, with
// the engine on it: by Run from go test, by Cases from anywhere else.
//
// Bits are compared where the engine's documentation promises them equal; where
// it does not and they differ, a case says so with ErrUnproven instead of
// failing.
package enginetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/semantic-worker/semantic/engine"
)

// ErrUnproven is wrapped by a case that could not show its point on this
// backend without anything being wrong: bits differ where they are not promised
// to be equal, or the model gave no occasion. Run logs it; doctor warns.
var ErrUnproven = errors.New("not shown on this backend")

// Case is one promise of a backend and the engine on it.
type Case struct {
	Name string
	// Run gets a fresh backend and closes it. It returns nil, an error that
	// wraps ErrUnproven, or what is wrong.
	Run func(ctx context.Context, backend engine.Backend) error
}

// Cases returns the suite, for use outside go test too.
func Cases() []Case {
	return slices.Concat(backendCases(), engineCases(), roomCases(), lifeCases(), samplingCases())
}

// Run runs the suite; open is called once per case.
func Run(t *testing.T, open func(t *testing.T) engine.Backend) {
	t.Helper()
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			switch err := c.Run(t.Context(), open(t)); {
			case errors.Is(err, ErrUnproven):
				t.Log(err)
			case err != nil:
				t.Fatal(err)
			}
		})
	}
}

// exact reports whether equal tokens give equal bits on a backend, in steps of
// at most 63 rows (see the engine's documentation).
func exact(info engine.ModelInfo) bool {
	switch info.Backend {
	case "sim":
		return true
	case "cpu":
		return info.Quantisation == "Q4_0" || info.Quantisation == "Q4_1" || info.Quantisation == "Q8_0"
	default:
		return false
	}
}

// exactRows is the largest step for which exact holds.
const exactRows = 63
