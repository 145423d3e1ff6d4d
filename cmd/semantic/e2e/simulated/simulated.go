// Package simulated says what the simulated model answers, without running it: the
// end-to-end suites hold what clients got against it.
package simulated

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/sim"
)

// Model knows what the simulation says. It is safe for concurrent use.
type Model struct {
	vocabulary engine.Vocabulary
	template   *chat.Template
}

// New reads the simulation's vocabulary and template.
func New() (*Model, error) {
	backend, err := sim.New(sim.Options{})
	if err != nil {
		return nil, fmt.Errorf("simulated: %w", err)
	}
	info := backend.Info()
	template, err := chat.Parse(info.ChatTemplate, info.Name, info.BOS, info.EOS)
	if err != nil {
		return nil, fmt.Errorf("simulated: %w", err)
	}
	return &Model{backend.Vocabulary(), template}, nil
}

// Text is what the model says to a prompt that ends in words=N.
func (m *Model) Text(prompt string) (string, error) {
	words, err := strconv.Atoi(prompt[strings.LastIndex(prompt, "=")+1:])
	if err != nil {
		return "", fmt.Errorf("simulated: prompt %q: %w", prompt, err)
	}
	return m.Words(prompt, words)
}

// Words are the first so many that the model says to a prompt.
func (m *Model) Words(prompt string, n int) (string, error) {
	tokens, err := m.Tokens(prompt)
	if err != nil {
		return "", err
	}
	return sim.Text(tokens, n), nil
}

// Tokens are a prompt, the one message of a conversation, as the model reads it.
func (m *Model) Tokens(prompt string) ([]engine.Token, error) {
	plan, err := m.template.Prepare(chat.Conversation{
		Messages: []chat.Message{{Role: "user", Content: prompt}}, Now: time.Now(),
	})
	if err != nil {
		return nil, fmt.Errorf("simulated: prompt %q: %w", prompt, err)
	}
	tokens, err := m.vocabulary.Tokenize(plan.Prompt, true)
	if err != nil {
		return nil, fmt.Errorf("simulated: prompt %q: %w", prompt, err)
	}
	return tokens, nil
}
