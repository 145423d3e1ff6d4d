package engine_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

// start returns a running engine that the test closes.
func start(t testing.TB, backend engine.Backend, config engine.Config) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Options{Backend: backend, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func simulate(t testing.TB, opts sim.Options) *sim.Backend {
	t.Helper()
	b, err := sim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tokenize(t testing.TB, e *engine.Engine, text string) []engine.Token {
	t.Helper()
	tokens, err := e.Vocabulary().Tokenize(text, true)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func submit(t testing.TB, e *engine.Engine, r engine.Request) *engine.Sequence {
	t.Helper()
	s, err := e.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// result is all that a sequence gave.
type result struct {
	text   string
	tokens []engine.Token
	last   engine.Chunk
}

// collect reads a sequence to its end.
func collect(ctx context.Context, s *engine.Sequence) (result, error) {
	var r result
	for {
		chunk, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		r.text += chunk.Text
		r.tokens = append(r.tokens, chunk.Tokens...)
		r.last = chunk
	}
}

func mustCollect(t testing.TB, s *engine.Sequence) result {
	t.Helper()
	r, err := collect(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSaysWhatTheModelSays(t *testing.T) {
	e := start(t, simulate(t, sim.Options{}), engine.Config{})
	prompt := tokenize(t, e, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
	got := mustCollect(t, submit(t, e, engine.Request{ID: "a", Prompt: prompt}))
	if want := sim.Text(prompt, sim.DefaultWords); got.text != want || want == "" {
		t.Errorf("text %q, want %q", got.text, want)
	}
	if n := len(strings.Fields(got.text)); n != sim.DefaultWords {
		t.Errorf("%d words, want %d", n, sim.DefaultWords)
	}
	if got.last.Finish != engine.FinishStop {
		t.Errorf("finish %q, want stop", got.last.Finish)
	}
	if u := got.last.Usage; u.Prompt != len(prompt) || u.Completion != len(got.tokens) {
		t.Errorf("usage %+v, want %d and %d", u, len(prompt), len(got.tokens))
	}
	if snapshot := e.Snapshot(); snapshot.CellsUsed != 0 || len(snapshot.Requests) != 0 {
		t.Errorf("something was left: %+v", snapshot)
	}
}
