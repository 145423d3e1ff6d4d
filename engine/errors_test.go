package engine_test

import (
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/engine"
)

func TestContextLengthErrorNamesTheNumbers(t *testing.T) {
	for _, err := range []engine.ContextLengthError{{Prompt: 812, Context: 512}, {Prompt: 100, MaxTokens: 900, Context: 512}} {
		text := err.Error()
		for _, number := range []string{"812", "100", "900", "512"} {
			named := number == "512" || (err.Prompt == 812) == (number == "812")
			if strings.Contains(text, number) != named {
				t.Errorf("%q and %s", text, number)
			}
		}
	}
}
