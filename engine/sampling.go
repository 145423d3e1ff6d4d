package engine

import (
	"fmt"
	"math"
)

// Sampling chooses tokens from logits. The zero value is greedy.
type Sampling struct {
	// Temperature scales the logits; 0 is greedy (the likeliest token, the
	// lowest id among equals).
	Temperature float64
	// TopK keeps the K likeliest tokens; 0 keeps all.
	TopK int
	// TopP keeps the smallest set of tokens whose probability reaches it; 0 and
	// 1 keep all.
	TopP float64
	// MinP drops tokens less likely than MinP × the likeliest; 0 keeps all.
	MinP float64
	// TypicalP keeps the tokens whose surprise is nearest to the expected one,
	// until their probability reaches it (Meister et al., 2023); 0 and 1 keep
	// all.
	TypicalP float64
	// RepeatPenalty divides the positive and multiplies the negative logits of
	// tokens among the last PenaltyTokens of prompt and answer (Keskar et al.,
	// 2019); 0 and 1 change nothing.
	RepeatPenalty float64
	// PresencePenalty is subtracted from the logit of every token that was
	// generated among those last tokens, FrequencyPenalty once for each time;
	// the prompt does not count (OpenAI's definition).
	PresencePenalty, FrequencyPenalty float64
	// PenaltyTokens is how many tokens back the penalties look: 0 means 64 for
	// RepeatPenalty and everything generated for the other two; -1 everything.
	PenaltyTokens int
	// Bias is added to logits; ±Inf forces or bans a token. In order of their
	// ids, each at most once.
	Bias []Bias
	// MinTokens bans the ends of generation (StopTokens too) until so many
	// tokens were generated.
	MinTokens int
	// IgnoreEOS bans the end-of-generation tokens altogether.
	IgnoreEOS bool
	// Seed and a token's position alone determine its randomness.
	Seed int64
}

// Bias is what is added to a token's logit.
type Bias struct {
	Token Token
	Logit float32
}

// validate refuses values outside their ranges, NaN included.
func (s *Sampling) validate(vocabulary int) error {
	bad := func(field string, value any, must string) error {
		return fmt.Errorf("%w: %s is %v, must be %s", ErrInvalid, field, value, must)
	}
	within := func(x, low, high float64) bool { return x >= low && x <= high }
	switch {
	case !(s.Temperature >= 0) || math.IsInf(s.Temperature, 0):
		return bad("Temperature", s.Temperature, "finite and not negative")
	case s.TopK < 0:
		return bad("TopK", s.TopK, "0 (all) or more")
	case !within(s.TopP, 0, 1):
		return bad("TopP", s.TopP, "in [0, 1]")
	case !within(s.MinP, 0, 1):
		return bad("MinP", s.MinP, "in [0, 1]")
	case !within(s.TypicalP, 0, 1):
		return bad("TypicalP", s.TypicalP, "in [0, 1]")
	case !(s.RepeatPenalty >= 0) || math.IsInf(s.RepeatPenalty, 0):
		return bad("RepeatPenalty", s.RepeatPenalty, "finite and not negative")
	case math.IsNaN(s.PresencePenalty) || math.IsInf(s.PresencePenalty, 0):
		return bad("PresencePenalty", s.PresencePenalty, "finite")
	case math.IsNaN(s.FrequencyPenalty) || math.IsInf(s.FrequencyPenalty, 0):
		return bad("FrequencyPenalty", s.FrequencyPenalty, "finite")
	case s.PenaltyTokens < -1:
		return bad("PenaltyTokens", s.PenaltyTokens, "-1 (everything), 0 (the default) or more")
	case s.MinTokens < 0:
		return bad("MinTokens", s.MinTokens, "0 or more")
	}
	for i, b := range s.Bias {
		switch {
		case b.Token < 0 || int(b.Token) >= vocabulary:
			return fmt.Errorf("%w: Bias has the token %d, outside the vocabulary of %d", ErrInvalid, b.Token, vocabulary)
		case math.IsNaN(float64(b.Logit)):
			return fmt.Errorf("%w: Bias of token %d is not a number", ErrInvalid, b.Token)
		case i > 0 && b.Token <= s.Bias[i-1].Token:
			return fmt.Errorf("%w: Bias is not in the order of the tokens", ErrInvalid)
		}
	}
	return nil
}
