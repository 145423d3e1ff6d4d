package stress

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/sim"
)

// simulation says what is right without a run. It is safe for concurrent use.
type simulation struct {
	vocabulary engine.Vocabulary
	template   *chat.Template
}

func newSimulation(t *testing.T) *simulation {
	t.Helper()
	backend, err := sim.New(sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	info := backend.Info()
	template, err := chat.Parse(info.ChatTemplate, info.Name, info.BOS, info.EOS)
	if err != nil {
		t.Fatal(err)
	}
	return &simulation{backend.Vocabulary(), template}
}

// text is what the model says to a prompt that ends in words=N.
func (s *simulation) text(prompt string) (string, error) {
	words, err := strconv.Atoi(prompt[strings.LastIndex(prompt, "=")+1:])
	if err != nil {
		return "", err
	}
	return s.words(prompt, words)
}

// words are the first so many that the model says to a prompt.
func (s *simulation) words(prompt string, n int) (string, error) {
	tokens, err := s.tokens(prompt)
	if err != nil {
		return "", err
	}
	return sim.Text(tokens, n), nil
}

// tokens are a prompt as the model reads it.
func (s *simulation) tokens(prompt string) ([]engine.Token, error) {
	plan, err := s.template.Prepare(chat.Conversation{
		Messages: []chat.Message{{Role: "user", Content: prompt}}, Now: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	return s.vocabulary.Tokenize(plan.Prompt, true)
}

// long is a prompt of about so many tokens, with no beginning in common with that
// of another story.
func (s *simulation) long(story, words, tokens int) (string, error) {
	const sentence = " The sea was calm."
	build := func(sentences int) string {
		return fmt.Sprint("Story ", story, ".", strings.Repeat(sentence, sentences), " ", tell(story, words))
	}
	none, err := s.tokens(build(0))
	if err != nil {
		return "", err
	}
	ten, err := s.tokens(build(10))
	if err != nil {
		return "", err
	}
	return build((tokens - len(none)) * 10 / (len(ten) - len(none))), nil
}

// begins returns an error if the model does not say this first.
func (s *simulation) begins(prompt, got string) error {
	// A word of one letter with its space is the shortest.
	want, err := s.words(prompt, len(got)/2+1)
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
