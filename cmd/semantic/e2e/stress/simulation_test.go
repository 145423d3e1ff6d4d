package stress

import (
	"fmt"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/e2e/simulated"
)

// simulation says what is right without a run, and makes prompts of a size.
type simulation struct{ *simulated.Model }

func newSimulation(t *testing.T) simulation {
	t.Helper()
	model, err := simulated.New()
	if err != nil {
		t.Fatal(err)
	}
	return simulation{model}
}

// long is a prompt of about so many tokens, with no beginning in common with that
// of another story.
func (s simulation) long(story, words, tokens int) (string, error) {
	const sentence = " The sea was calm."
	build := func(sentences int) string {
		return fmt.Sprint("Story ", story, ".", strings.Repeat(sentence, sentences), " ", tell(story, words))
	}
	none, err := s.Tokens(build(0))
	if err != nil {
		return "", err
	}
	ten, err := s.Tokens(build(10))
	if err != nil {
		return "", err
	}
	return build((tokens - len(none)) * 10 / (len(ten) - len(none))), nil
}

// begins returns an error if the model does not say this first.
func (s simulation) begins(prompt, got string) error {
	// A word of one letter with its space is the shortest.
	want, err := s.Words(prompt, len(got)/2+1)
	if err == nil && !strings.HasPrefix(want, got) {
		err = fmt.Errorf("%q: got %.80q (%d bytes), want %.80q", prompt, got, len(got), want)
	}
	return err
}

// tell is a prompt for an answer of so many words. It is longer than the engine's
// measure of prompts, 64 tokens, from which it learns how fast they are read.
func tell(story, words int) string {
	return fmt.Sprintf("Tell me story %d of the sea, on a calm evening with light above the water and wind in the trees. "+
		"words=%d", story, words)
}
