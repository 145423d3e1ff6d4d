package enginetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/semantic-worker/semantic/engine"
)

// session is an engine under test.
type session struct {
	*engine.Engine
}

// on runs check with an engine over the backend, and closes it. All room must be
// free again before.
func on(backend engine.Backend, config engine.Config, check func(s session) error) error {
	e, err := engine.New(engine.Options{Backend: backend, Config: config})
	if err != nil {
		return fmt.Errorf("new engine: %w", err)
	}
	s := session{e}
	err = check(s)
	if err == nil || errors.Is(err, ErrUnproven) {
		err = errors.Join(err, s.free())
	}
	return errors.Join(err, e.Close())
}

// small is a configuration in which bits are equal as far as anywhere.
func small() engine.Config {
	config := engine.DefaultConfig()
	config.StepRows = exactRows
	return config
}

// free checks that nothing is in use.
func (s session) free() error {
	room, limits, snapshot := s.Room(), s.Limits(), s.Snapshot()
	if room.Sequences != limits.Sequences || room.Cells != limits.Cells || room.Waiting != 0 ||
		snapshot.CellsUsed != 0 || len(snapshot.Requests) != 0 {
		return fmt.Errorf("not all room is free at the end: %+v, limits %+v, %+v", room, limits, snapshot)
	}
	return nil
}

// prompt asks something, in ChatML: other models read it as text.
func (s session) prompt(ask string) ([]engine.Token, error) {
	tokens, err := s.Vocabulary().Tokenize("<|im_start|>user\n"+ask+"<|im_end|>\n<|im_start|>assistant\n", true)
	if err != nil {
		return nil, fmt.Errorf("tokenize: %w", err)
	}
	return tokens, nil
}

// asks are different prompts.
func asks() []string {
	return []string{
		"Tell me about rivers.", "Why is the sky blue?", "Write a line about snow.", "Name three colours.",
		"What is a lantern for?", "Describe a quiet morning.", "How do birds find north?", "Tell a short story.",
	}
}

// output is all that a sequence gave.
type output struct {
	text   string
	tokens []engine.Token
	end    engine.Chunk
}

// read reads a sequence to its end and checks what holds for every one.
func read(ctx context.Context, seq *engine.Sequence) (output, error) {
	var out output
	for {
		chunk, err := seq.Next(ctx)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("next: %w", err)
		}
		if out.end.Finish != "" {
			return out, errors.New("a chunk after the last")
		}
		if !utf8.ValidString(chunk.Text) {
			return out, fmt.Errorf("a chunk that is not UTF-8: %q", chunk.Text)
		}
		out.text += chunk.Text
		out.tokens = append(out.tokens, chunk.Tokens...)
		out.end = chunk
	}
}

// run submits a request and reads it to its end.
func (s session) run(ctx context.Context, r engine.Request) (output, error) {
	seq, err := s.Submit(ctx, r)
	if err != nil {
		return output{}, fmt.Errorf("submit: %w", err)
	}
	out, err := read(ctx, seq)
	if err != nil {
		return out, err
	}
	u := out.end.Usage
	if u.Prompt != len(r.Prompt) || u.Completion != len(r.Emitted)+len(out.tokens) {
		return out, fmt.Errorf("usage %+v for %d prompt tokens, %d emitted before and %d now", u, len(r.Prompt), len(r.Emitted), len(out.tokens))
	}
	for _, token := range out.tokens {
		if s.Vocabulary().EndOfGeneration(token) {
			return out, fmt.Errorf("token %d, which ends the generation, was output", token)
		}
	}
	return out, nil
}

// equal compares two outputs, strictly where promised is true.
func equal(what string, promised bool, got, want output) error {
	if got.text == want.text && got.end.Finish == want.end.Finish && got.end.Usage == want.end.Usage {
		return nil
	}
	err := fmt.Errorf("%s: %q (%s, %+v), want %q (%s, %+v)", what,
		got.text, got.end.Finish, got.end.Usage, want.text, want.end.Finish, want.end.Usage)
	if !promised {
		return fmt.Errorf("%w: %w", ErrUnproven, err)
	}
	return err
}
