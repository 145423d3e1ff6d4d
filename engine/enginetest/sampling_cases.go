package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/grammar"
)

// samplingCases are about choosing tokens as a request says.
func samplingCases() []Case {
	with := func(name string, check func(ctx context.Context, s session) error) Case {
		return Case{name, func(ctx context.Context, backend engine.Backend) error {
			return on(backend, small(), func(s session) error { return check(ctx, s) })
		}}
	}
	return []Case{
		with("sampling/a banned token never comes, a forced one always", biases),
		with("sampling/min tokens and ignored ends", minimum),
		with("sampling/stop tokens", stopTokens),
		with("sampling/log probabilities", logprobs),
		with("sampling/penalties change the text and not its repetition", penalties),
		with("sampling/a grammar is kept, and ends the text", keepsGrammar),
		with("sampling/a resumed sequence stays within its grammar", resumesGrammar),
	}
}

// told is a request that the model answers with some text.
func (s session) told(id string, change func(r *engine.Request)) (engine.Request, error) {
	prompt, err := s.prompt("Tell me about rivers.")
	r := engine.Request{ID: id, Prompt: prompt, MaxTokens: 24}
	if change != nil {
		change(&r)
	}
	return r, err
}

func (s session) tell(ctx context.Context, id string, change func(r *engine.Request)) (output, error) {
	r, err := s.told(id, change)
	if err != nil {
		return output{}, err
	}
	return s.run(ctx, r)
}

func biases(ctx context.Context, s session) error {
	free, err := s.tell(ctx, "free", nil)
	if err != nil {
		return err
	}
	first := free.tokens[0]
	banned, err := s.tell(ctx, "banned", func(r *engine.Request) {
		r.Bias = []engine.Bias{{Token: first, Logit: float32(math.Inf(-1))}}
	})
	if err != nil {
		return err
	}
	if slices.Contains(banned.tokens, first) {
		return fmt.Errorf("the banned token %d came: %v", first, banned.tokens)
	}
	forced, err := s.tell(ctx, "forced", func(r *engine.Request) {
		r.Bias = []engine.Bias{{Token: first, Logit: float32(math.Inf(1))}}
		r.Temperature, r.MaxTokens = 1, 5
	})
	if err != nil {
		return err
	}
	if !slices.Equal(forced.tokens, slices.Repeat([]engine.Token{first}, 5)) {
		return fmt.Errorf("the forced token %d did not come each time: %v", first, forced.tokens)
	}
	return nil
}

// minimum bans the ends by making them otherwise certain.
func minimum(ctx context.Context, s session) error {
	var ends []engine.Bias
	for t := range engine.Token(s.Vocabulary().Size()) {
		if s.Vocabulary().EndOfGeneration(t) {
			ends = append(ends, engine.Bias{Token: t, Logit: 1000})
		}
	}
	if len(ends) == 0 {
		return fmt.Errorf("%w: the vocabulary has no end of generation", ErrUnproven)
	}
	for name, c := range map[string]struct {
		change func(r *engine.Request)
		tokens int
		finish engine.Finish
	}{
		"at once":    {func(*engine.Request) {}, 0, engine.FinishStop},
		"min tokens": {func(r *engine.Request) { r.MinTokens = 7 }, 7, engine.FinishStop},
		"ignored":    {func(r *engine.Request) { r.IgnoreEOS = true }, 24, engine.FinishLength},
		"beyond max": {func(r *engine.Request) { r.MinTokens = 100 }, 24, engine.FinishLength},
	} {
		out, err := s.tell(ctx, name, func(r *engine.Request) {
			r.Bias = ends
			c.change(r)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(out.tokens) != c.tokens || out.end.Finish != c.finish {
			return fmt.Errorf("%s: %d tokens and %s, want %d and %s", name, len(out.tokens), out.end.Finish, c.tokens, c.finish)
		}
	}
	return nil
}

func stopTokens(ctx context.Context, s session) error {
	free, err := s.tell(ctx, "free", nil)
	if err != nil {
		return err
	}
	at := len(free.tokens) / 2
	stop := free.tokens[at]
	at = slices.Index(free.tokens, stop)
	stopped, err := s.tell(ctx, "stopped", func(r *engine.Request) { r.StopTokens = []engine.Token{stop} })
	if err != nil {
		return err
	}
	if !slices.Equal(stopped.tokens, free.tokens[:at]) || stopped.end.Finish != engine.FinishStop {
		return fmt.Errorf("%v and %s, want %v: those before token %d", stopped.tokens, stopped.end.Finish, free.tokens[:at], stop)
	}
	// The stop may cut a character in half.
	if !strings.HasPrefix(free.text, strings.TrimRight(stopped.text, "\uFFFD")) {
		return fmt.Errorf("the text is %q, want the beginning of %q", stopped.text, free.text)
	}
	return nil
}

func logprobs(ctx context.Context, s session) error {
	free, err := s.tell(ctx, "free", nil)
	if err != nil {
		return err
	}
	r, err := s.told("asked", func(r *engine.Request) { r.Logprobs, r.TopLogprobs = true, 5 })
	if err != nil {
		return err
	}
	seq, err := s.Submit(ctx, r)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	var tokens []engine.Token
	for finish := engine.Finish(""); finish == ""; {
		chunk, err := seq.Next(ctx)
		if err != nil {
			return fmt.Errorf("next: %w", err)
		}
		if len(chunk.Logprobs) != len(chunk.Tokens) {
			return fmt.Errorf("%d log probabilities for %d tokens", len(chunk.Logprobs), len(chunk.Tokens))
		}
		for i, l := range chunk.Logprobs {
			// Greedy: the chosen one is the likeliest, and none of the others is.
			if l.Token != chunk.Tokens[i] || len(l.Top) != 5 || l.Top[0].Token != l.Token || l.Top[0].Logprob != l.Logprob || l.Logprob > 0 {
				return fmt.Errorf("token %d has %+v", chunk.Tokens[i], l)
			}
		}
		tokens, finish = append(tokens, chunk.Tokens...), chunk.Finish
	}
	if !slices.Equal(tokens, free.tokens) {
		return fmt.Errorf("asking for log probabilities changed the tokens: %v, want %v", tokens, free.tokens)
	}
	return nil
}

func penalties(ctx context.Context, s session) error {
	change := func(r *engine.Request) {
		r.RepeatPenalty, r.PresencePenalty, r.FrequencyPenalty, r.PenaltyTokens = 1.3, 0.8, 1.5, -1
		r.Temperature, r.Seed = 0.7, 11
	}
	want, err := s.tell(ctx, "first", change)
	if err != nil {
		return err
	}
	again, err := s.tell(ctx, "again", change)
	if err != nil {
		return err
	}
	if err := equal("the second time", true, again, want); err != nil {
		return err
	}
	// What an earlier attempt generated counts as if this one had.
	cut := len(want.tokens) / 2
	rest, err := s.tell(ctx, "resumed", func(r *engine.Request) {
		change(r)
		r.Emitted = want.tokens[:cut]
	})
	if err != nil {
		return err
	}
	if exact(s.Info()) && !slices.Equal(rest.tokens, want.tokens[cut:]) {
		return fmt.Errorf("resumed it goes on with %v, want %v", rest.tokens, want.tokens[cut:])
	}
	return nil
}

// listGrammar wants a JSON list of a few short words.
const listGrammar = `root ::= "[" word ("," word){1,3} "]"
word ::= "\"" [a-z]{1,8} "\""`

func words(text string) error {
	var list []string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("%q is no list: %w", text, err)
	}
	if len(list) < 2 || len(list) > 4 {
		return fmt.Errorf("%q has %d words", text, len(list))
	}
	return nil
}

func constrained(r *engine.Request) error {
	g, err := grammar.Parse(listGrammar)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	r.Grammar, r.MaxTokens, r.Temperature, r.Seed = g, 100, 0.8, 5
	return nil
}

func keepsGrammar(ctx context.Context, s session) error {
	r, err := s.told("constrained", nil)
	if err != nil {
		return err
	}
	if err := constrained(&r); err != nil {
		return err
	}
	out, err := s.run(ctx, r)
	if err != nil {
		return err
	}
	if out.end.Finish != engine.FinishStop {
		return fmt.Errorf("%q ends with %s", out.text, out.end.Finish)
	}
	if err := words(out.text); err != nil {
		return err
	}
	r.ID, r.MaxTokens = "cut", 3
	short, err := s.run(ctx, r)
	if err != nil {
		return err
	}
	if short.end.Finish != engine.FinishLength || !strings.HasPrefix(out.text, short.text) {
		return fmt.Errorf("cut by max tokens it is %q and ends with %s; uncut %q", short.text, short.end.Finish, out.text)
	}
	return nil
}

func resumesGrammar(ctx context.Context, s session) error {
	r, err := s.told("whole", nil)
	if err != nil {
		return err
	}
	if err := constrained(&r); err != nil {
		return err
	}
	want, err := s.run(ctx, r)
	if err != nil {
		return err
	}
	for cut := range want.tokens {
		r.ID, r.Emitted = fmt.Sprintf("cut %d", cut), want.tokens[:cut]
		got, err := s.run(ctx, r)
		if err != nil {
			return err
		}
		shown, _ := engine.ReplayText(s.Vocabulary(), nil, false, r.Emitted)
		if err := words(shown + got.text); err != nil {
			return fmt.Errorf("cut after %d tokens: %w", cut, err)
		}
		if exact(s.Info()) && shown+got.text != want.text {
			return fmt.Errorf("cut after %d tokens: %q, want %q", cut, shown+got.text, want.text)
		}
	}
	// The list does not begin as it ends.
	r.ID, r.Emitted = "contradiction", want.tokens[len(want.tokens)-1:]
	if _, err := s.Submit(ctx, r); !errors.Is(err, engine.ErrInvalid) {
		return fmt.Errorf("tokens that the grammar does not allow are taken as emitted: %w", err)
	}
	return nil
}
