package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/semantic-worker/semantic/engine"
)

// engineCases are about the engine on a backend.
func engineCases() []Case {
	with := func(name string, config engine.Config, check func(ctx context.Context, s session) error) Case {
		return Case{name, func(ctx context.Context, backend engine.Backend) error {
			return on(backend, config, func(s session) error { return check(ctx, s) })
		}}
	}
	usual := engine.DefaultConfig()
	return []Case{
		with("engine/greedy text repeats itself", usual, repeats),
		with("engine/a batch of N equals N alone", small(), batchEqualsAlone),
		with("engine/a seed repeats itself", small(), seeds),
		with("engine/a resumed sequence goes on as it would have", small(), resumes),
		with("engine/a resumed sequence goes on in large steps", usual, resumes),
		with("engine/UTF-8 is never split", usual, neverSplits),
		with("engine/stop strings are never shown", usual, stops),
		with("engine/the end of the model's turn", usual, ends),
		with("engine/max tokens", usual, limited),
		with("engine/what cannot fit is refused", usual, contextLength),
		with("engine/invalid requests are refused", usual, invalidRequests),
	}
}

func repeats(ctx context.Context, s session) error {
	prompt, err := s.prompt("Tell me about rivers.")
	if err != nil {
		return err
	}
	want, err := s.run(ctx, engine.Request{ID: "first", Prompt: prompt, MaxTokens: 32})
	if err != nil {
		return err
	}
	if want.text == "" {
		return errors.New("no text")
	}
	released, stopped := engine.ReplayText(s.Vocabulary(), nil, false, want.tokens)
	if !strings.HasPrefix(want.text, released) || stopped {
		return fmt.Errorf("the tokens replay as %q, the text was %q", released, want.text)
	}
	got, err := s.run(ctx, engine.Request{ID: "second", Prompt: prompt, MaxTokens: 32})
	return errors.Join(err, equal("the second time", true, got, want))
}

func batchEqualsAlone(ctx context.Context, s session) error {
	var alone []output
	var requests []engine.Request
	for i, ask := range asks()[:min(len(asks()), s.Limits().Sequences)] {
		prompt, err := s.prompt(ask)
		if err != nil {
			return err
		}
		r := engine.Request{ID: strconv.Itoa(i), Prompt: prompt, MaxTokens: 24}
		out, err := s.run(ctx, r)
		if err != nil {
			return err
		}
		requests, alone = append(requests, r), append(alone, out)
	}
	got, err := s.together(ctx, requests)
	for i := range got {
		// When the first ends, others take its cells, and cells out of order give
		// other bits on real devices. Until then nothing may differ.
		const until = 12
		if exact(s.Info()) && !slices.Equal(got[i].tokens[:min(until, len(got[i].tokens))], alone[i].tokens[:min(until, len(alone[i].tokens))]) {
			err = errors.Join(err, fmt.Errorf("%s: began with %v, want %v", asks()[i], got[i].tokens, alone[i].tokens))
		}
		err = errors.Join(err, equal(asks()[i], s.Info().Backend == "sim", got[i], alone[i]))
	}
	return err
}

// together submits requests at once and reads all of them.
func (s session) together(ctx context.Context, requests []engine.Request) ([]output, error) {
	sequences := make([]*engine.Sequence, len(requests))
	for i, r := range requests {
		var err error
		if sequences[i], err = s.Submit(ctx, r); err != nil {
			return nil, fmt.Errorf("submit: %w", err)
		}
	}
	outputs := make([]output, len(requests))
	for i, seq := range sequences {
		var err error
		if outputs[i], err = read(ctx, seq); err != nil {
			return nil, err
		}
	}
	return outputs, nil
}

func seeds(ctx context.Context, s session) error {
	prompt, err := s.prompt("Tell a short story.")
	if err != nil {
		return err
	}
	run := func(id string, seed int64) (output, error) {
		return s.run(ctx, engine.Request{
			ID: id, Prompt: prompt, MaxTokens: 24,
			Sampling: engine.Sampling{Temperature: 1.2, TopK: 40, TopP: 0.95, MinP: 0.01, Seed: seed},
		})
	}
	first, err := run("first", 1)
	if err != nil {
		return err
	}
	second, err := run("second", 1)
	if err := errors.Join(err, equal("the same seed again", exact(s.Info()), second, first)); err != nil {
		return err
	}
	other, err := run("other", 2)
	if err == nil && other.text == first.text {
		err = fmt.Errorf("%w: two seeds gave the same text", ErrUnproven)
	}
	return err
}

// resumes cuts sequences anywhere and goes on, greedy and not.
func resumes(ctx context.Context, s session) error {
	prompt, err := s.prompt("Describe a quiet morning: 🌊 élan.")
	if err != nil {
		return err
	}
	for i, sampling := range []engine.Sampling{{}, {Temperature: 0.9, TopP: 0.95, Seed: 7}} {
		r := engine.Request{ID: fmt.Sprint("whole ", i), Prompt: prompt, MaxTokens: 40, Sampling: sampling, Stop: []string{"\n\n\n"}}
		whole, err := s.run(ctx, r)
		if err != nil {
			return err
		}
		for _, cut := range []int{0, 1, len(whole.tokens) / 2, len(whole.tokens) - 1, len(whole.tokens)} {
			r.ID = fmt.Sprint("cut ", i, " at ", cut)
			r.Emitted = whole.tokens[:max(cut, 0)]
			rest, err := s.run(ctx, r)
			if err != nil {
				return err
			}
			before, _ := engine.ReplayText(s.Vocabulary(), r.Stop, false, r.Emitted)
			rest.text = before + rest.text
			if err := equal(r.ID, exact(s.Info()), rest, whole); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s session) longPrompt() ([]engine.Token, error) {
	var text strings.Builder
	for range 200 {
		text.WriteString(someText)
	}
	tokens, err := s.prompt(text.String())
	if err != nil {
		return nil, err
	}
	return tokens[:min(len(tokens), s.Limits().Context-64, 2048)], nil
}

// cancelled reads a sequence that was cancelled.
func cancelled(ctx context.Context, seq *engine.Sequence) error {
	for {
		chunk, err := seq.Next(ctx)
		if errors.Is(err, engine.ErrCancelled) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("next after cancel: %w", err)
		}
		if chunk.Finish != "" {
			return fmt.Errorf("it ended by %s before it was cancelled", chunk.Finish)
		}
	}
}

func cancelPrefill(ctx context.Context, s session) error {
	prompt, err := s.longPrompt()
	if err != nil {
		return err
	}
	seq, err := s.Submit(ctx, engine.Request{ID: "long", Prompt: prompt})
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	select {
	case <-seq.Started():
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // the caller's own
	}
	seq.Cancel()
	if err := errors.Join(cancelled(ctx, seq), s.free()); err != nil {
		return err
	}
	// Nothing of it is left: another answers as ever.
	return repeats(ctx, s)
}

func cancelDecode(ctx context.Context, s session) error {
	prompt, err := s.prompt("Tell a long story, words=100000")
	if err != nil {
		return err
	}
	seq, err := s.Submit(ctx, engine.Request{ID: "story", Prompt: prompt})
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	if _, err := seq.Next(ctx); err != nil {
		return fmt.Errorf("next: %w", err)
	}
	seq.Cancel()
	seq.Cancel()
	return errors.Join(cancelled(ctx, seq), s.free())
}

func neverSplits(ctx context.Context, s session) error {
	prompt, err := s.prompt("Repeat: 🌊🌿🦉 世界 言葉 naïve café über 🌊🌿🦉 世界 言葉 naïve café über")
	if err != nil {
		return err
	}
	several := false
	for seed := range int64(4) {
		out, err := s.run(ctx, engine.Request{
			ID: strconv.FormatInt(seed, 10), Prompt: prompt, MaxTokens: 48,
			Sampling: engine.Sampling{Temperature: float64(seed) / 2, Seed: seed},
		})
		if err != nil {
			return err
		}
		var bytes []byte
		for _, token := range out.tokens {
			piece := s.Vocabulary().AppendPiece(nil, token, false)
			several = several || string([]rune(string(piece))) != string(piece)
			bytes = append(bytes, piece...)
		}
		if want := string([]rune(string(bytes))); out.text != want {
			return fmt.Errorf("text %q, the pieces are %q", out.text, want)
		}
	}
	if !several {
		return fmt.Errorf("%w: no token ended in the middle of a rune", ErrUnproven)
	}
	return nil
}

// stops takes stop strings out of the middle of an answer, over token edges.
func stops(ctx context.Context, s session) error {
	prompt, err := s.prompt("Write a line about snow.")
	if err != nil {
		return err
	}
	whole, err := s.run(ctx, engine.Request{ID: "whole", Prompt: prompt, MaxTokens: 32})
	if err != nil {
		return err
	}
	runes := []rune(whole.text)
	if len(runes) < 12 {
		return fmt.Errorf("%w: the answer %q is too short", ErrUnproven, whole.text)
	}
	for at := 2; at+5 < len(runes); at += 3 {
		stop := string(runes[at : at+5])
		// The second one nearly matches where the first does, and never shows.
		list := []string{stop, string(runes[at-1:at+3]) + "\x00"}
		seq, err := s.Submit(ctx, engine.Request{ID: stop, Prompt: prompt, MaxTokens: 32, Stop: list})
		if err != nil {
			return fmt.Errorf("submit: %w", err)
		}
		out, err := read(ctx, seq)
		if err != nil {
			return err
		}
		want, _, _ := strings.Cut(whole.text, stop)
		if out.text != want || out.end.Finish != engine.FinishStop {
			return fmt.Errorf("stop %q: %q (%s), want %q", stop, out.text, out.end.Finish, want)
		}
	}
	return nil
}

func ends(ctx context.Context, s session) error {
	prompt, err := s.prompt("Answer with one word: is snow cold? words=2")
	if err != nil {
		return err
	}
	out, err := s.run(ctx, engine.Request{ID: "a", Prompt: prompt, MaxTokens: min(160, s.Limits().Context-len(prompt))})
	if err == nil && out.end.Finish != engine.FinishStop {
		err = fmt.Errorf("%w: the model did not end its turn: %q", ErrUnproven, out.text)
	}
	return err
}

func limited(ctx context.Context, s session) error {
	prompt, err := s.prompt("Tell a short story.")
	if err != nil {
		return err
	}
	for _, n := range []int{1, 2, 7} {
		out, err := s.run(ctx, engine.Request{ID: strconv.Itoa(n), Prompt: prompt, MaxTokens: n})
		if err != nil {
			return err
		}
		if len(out.tokens) != n || out.end.Finish != engine.FinishLength {
			return fmt.Errorf("%d tokens (%s), want %d", len(out.tokens), out.end.Finish, n)
		}
	}
	return nil
}

func contextLength(ctx context.Context, s session) error {
	prompt, err := s.prompt("Hello")
	if err != nil {
		return err
	}
	limit := s.Limits().Context
	long := make([]engine.Token, limit)
	for i := range long {
		long[i] = prompt[i%len(prompt)]
	}
	for _, r := range []engine.Request{
		{ID: "prompt", Prompt: long},
		{ID: "answer", Prompt: prompt, MaxTokens: limit - len(prompt) + 1},
		{ID: "huge", Prompt: prompt, MaxTokens: int(^uint(0) >> 1)},
	} {
		_, err := s.Submit(ctx, r)
		var refusal *engine.ContextLengthError
		if !errors.As(err, &refusal) {
			return fmt.Errorf("%s: got %w, want *ContextLengthError", r.ID, errors.Join(err, errors.New("no other error")))
		}
		if want := (engine.ContextLengthError{Prompt: len(r.Prompt), MaxTokens: r.MaxTokens, Context: limit}); *refusal != want {
			return fmt.Errorf("%s: %+v, want %+v", r.ID, *refusal, want)
		}
	}
	return nil
}

func invalidRequests(ctx context.Context, s session) error {
	prompt, err := s.prompt("Hello")
	if err != nil {
		return err
	}
	size := engine.Token(s.Vocabulary().Size())
	for what, r := range map[string]engine.Request{
		"no ID":             {Prompt: prompt},
		"no prompt":         {ID: "a"},
		"a negative token":  {ID: "a", Prompt: []engine.Token{-1}},
		"a token too large": {ID: "a", Prompt: []engine.Token{size}},
		"emitted":           {ID: "a", Prompt: prompt, Emitted: []engine.Token{size}},
		"max tokens":        {ID: "a", Prompt: prompt, MaxTokens: -1},
		"an empty stop":     {ID: "a", Prompt: prompt, Stop: []string{""}},
		"a stop not UTF-8":  {ID: "a", Prompt: prompt, Stop: []string{"\xff"}},
		"temperature":       {ID: "a", Prompt: prompt, Sampling: engine.Sampling{Temperature: -1}},
		"top k":             {ID: "a", Prompt: prompt, Sampling: engine.Sampling{TopK: -1}},
		"top p":             {ID: "a", Prompt: prompt, Sampling: engine.Sampling{TopP: 1.1}},
		"min p":             {ID: "a", Prompt: prompt, Sampling: engine.Sampling{MinP: -0.1}},
	} {
		if _, err := s.Submit(ctx, r); !errors.Is(err, engine.ErrInvalid) {
			return fmt.Errorf("%s: got %w, want ErrInvalid", what, errors.Join(err, errors.New("no other error")))
		}
	}
	return nil
}

// count returns the length of the longest prompt.
func (session) count(backend engine.Backend) (longest int, err error) {
	for _, ask := range asks() {
		tokens, err := backend.Vocabulary().Tokenize("<|im_start|>user\n"+ask+" words=200<|im_end|>\n<|im_start|>assistant\n", true)
		if err != nil {
			return 0, fmt.Errorf("tokenize: %w", err)
		}
		longest = max(longest, len(tokens))
	}
	return longest, nil
}

func batchOf(ctx context.Context, s session, n, answer int) error {
	var requests []engine.Request
	var alone []output
	for i, ask := range asks()[:n] {
		prompt, err := s.prompt(ask + " words=200")
		if err != nil {
			return err
		}
		r := engine.Request{ID: strconv.Itoa(i), Prompt: prompt, MaxTokens: answer}
		out, err := s.run(ctx, r)
		if err != nil {
			return err
		}
		requests, alone = append(requests, r), append(alone, out)
	}
	got, err := s.together(ctx, requests)
	for i := range got {
		// Cells that are used again are out of order, which gives other bits on
		// real devices.
		err = errors.Join(err, equal(asks()[i], s.Info().Backend == "sim", got[i], alone[i]))
	}
	return err
}
