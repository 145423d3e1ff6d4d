package worker

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/schemas"
)

// forcing is the bias that forces a token, and its negative the one that bans
// it, as OpenAI has it.
const forcing = 100

// sampling is how a job's tokens are chosen, but for the seed.
func sampling(job schemas.Job, vocabulary engine.Vocabulary) (engine.Sampling, error) {
	bias, err := biases(job.LogitBias, vocabulary)
	if err != nil {
		return engine.Sampling{}, err
	}
	s := engine.Sampling{
		Temperature:      value(job.Temperature, 1),
		TopK:             value(job.TopK, 0),
		TopP:             share(job.TopP),
		MinP:             value(job.MinP, 0),
		TypicalP:         share(job.TypicalP),
		RepeatPenalty:    value(job.RepeatPenalty, 1),
		PresencePenalty:  value(job.PresencePenalty, 0),
		FrequencyPenalty: value(job.FrequencyPenalty, 0),
		PenaltyTokens:    value(job.RepeatLastN, 0),
		Bias:             bias,
		MinTokens:        value(job.MinTokens, 0),
		IgnoreEOS:        job.IgnoreEOS,
	}
	if job.RepeatLastN != nil && *job.RepeatLastN == 0 {
		// Looking back at nothing is not the engine's 0, which is its default.
		s.RepeatPenalty, s.PresencePenalty, s.FrequencyPenalty = 1, 0, 0
	}
	return s, nil
}

// share is the job's: 0, the smallest set, which is one token, is not the
// engine's 0, which is off.
func share(p *float64) float64 { return max(value(p, 1), math.SmallestNonzeroFloat64) }

// biases are what a job adds to logits, in the order of the tokens. A token that
// several keys mean gets the sum.
func biases(given map[string]float64, vocabulary engine.Vocabulary) ([]engine.Bias, error) {
	if len(given) == 0 {
		return nil, nil
	}
	sum := make(map[engine.Token]float64, len(given))
	for _, key := range slices.Sorted(maps.Keys(given)) { // sorted, as sums depend on the order
		tokens, err := biased(key, vocabulary)
		if err != nil {
			return nil, err
		}
		for _, token := range tokens {
			sum[token] += given[key]
		}
	}
	out := make([]engine.Bias, 0, len(sum))
	for token, logit := range sum {
		switch {
		case logit >= forcing:
			logit = math.Inf(1)
		case logit <= -forcing:
			logit = math.Inf(-1)
		}
		out = append(out, engine.Bias{Token: token, Logit: float32(logit)})
	}
	slices.SortFunc(out, func(a, b engine.Bias) int { return cmp.Compare(a.Token, b.Token) })
	return out, nil
}

// biased are the tokens, each once, that a key of logit_bias means.
func biased(key string, vocabulary engine.Vocabulary) ([]engine.Token, error) {
	refuse := func(format string, args ...any) ([]engine.Token, error) {
		return nil, invalid("logit_bias"+member(key), format, args...)
	}
	if key != "" && strings.Trim(key, "0123456789") == "" {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id >= int64(vocabulary.Size()) {
			return refuse("is not a token of this model, which has %d", vocabulary.Size())
		}
		return []engine.Token{engine.Token(id)}, nil
	}
	tokens, err := vocabulary.Tokenize(key, true)
	if err != nil {
		return refuse("cannot be split into tokens: %v", err)
	}
	if len(tokens) == 0 {
		return refuse("is a text of no tokens")
	}
	slices.Sort(tokens)
	return slices.Compact(tokens), nil
}

// stopTokens are the job's, if the model has them.
func stopTokens(job schemas.Job, vocabulary engine.Vocabulary) ([]engine.Token, error) {
	for i, token := range job.StopTokens {
		if token < 0 || int(token) >= vocabulary.Size() {
			return nil, invalid(fmt.Sprintf("stop_token_ids[%d]", i), "%d is not a token of this model, which has %d", token, vocabulary.Size())
		}
	}
	return job.StopTokens, nil
}

// noLikelihood is what the log has for the log probability of a token that
// cannot come: JSON knows no infinity. It is OpenAI's number.
const noLikelihood = -9999

// logprobs turns the engine's into the log's.
func logprobs(in []engine.TokenLogprob, vocabulary engine.Vocabulary) []schemas.TokenLogprob {
	var out []schemas.TokenLogprob
	for _, l := range in {
		one := schemas.TokenLogprob{Bytes: bytesOf(l.Token, vocabulary), Logprob: finite(l.Logprob)}
		for _, t := range l.Top {
			one.Top = append(one.Top, schemas.TopLogprob{Token: t.Token, Bytes: bytesOf(t.Token, vocabulary), Logprob: finite(t.Logprob)})
		}
		out = append(out, one)
	}
	return out
}

// bytesOf is a token's text, also a control token's; not nil.
func bytesOf(token engine.Token, vocabulary engine.Vocabulary) []byte {
	return vocabulary.AppendPiece([]byte{}, token, true)
}

func finite(logprob float32) float64 {
	if x := float64(logprob); x >= noLikelihood { // not NaN
		return min(x, 0)
	}
	return noLikelihood
}

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// invalid refuses a field of a job.
func invalid(field, format string, args ...any) *schemas.FieldError {
	return &schemas.FieldError{Field: field, Reason: fmt.Sprintf(format, args...), Code: schemas.CodeInvalidRequest}
}
