package engine

import (
	"fmt"
	"math"
	"slices"
)

// choice is what a row of logits became.
type choice struct {
	token Token
	// logprob is what the model thought of it, if that was asked for.
	logprob TokenLogprob
}

// choose samples the next token of a sequence: freely first; a token that the
// grammar does not allow is seldom, and only then are all tokens looked at.
func (e *Engine) choose(s *Sequence, logits []float32) (choice, error) {
	sampler, r := &e.loop.sampler, &s.request
	row := logits
	if banned := e.banned(s); r.adjusts() || len(banned) > 0 {
		row = sampler.copyRow(logits)
		sampler.adjust(row, &r.Sampling, s.tokens, len(r.Prompt))
		ban(row, banned)
	}
	token, ok := sampler.sample(row, &r.Sampling, len(s.tokens))
	for ok && !s.permits(token) {
		if &row[0] == &logits[0] {
			row = sampler.copyRow(logits)
		}
		only(row, sampler.mask(s))
		row[token] = float32(math.Inf(-1))
		token, ok = sampler.sample(row, &r.Sampling, len(s.tokens))
	}
	if !ok {
		return choice{}, e.noChoice(s, logits)
	}
	c := choice{token: token}
	if r.Logprobs {
		c.logprob = sampler.logprob(logits, token, r.TopLogprobs)
	}
	return c, nil
}

// noChoice is why no token is left of a row of logits.
func (e *Engine) noChoice(s *Sequence, logits []float32) error {
	why := ErrBanned
	if _, ok := argmax(logits); !ok {
		why = fmt.Errorf("%w: no token has a likelihood", ErrBackend)
	} else if s.constraint != nil && slices.Max(e.loop.sampler.mask(s)) == 0 {
		why = ErrDeadEnd
	}
	return fmt.Errorf("%w, at position %d", why, len(s.tokens))
}

// banned are the tokens that must not come now.
func (e *Engine) banned(s *Sequence) []Token {
	switch r := &s.request; {
	case len(s.generated()) < r.MinTokens:
		return s.ends
	case r.IgnoreEOS:
		return e.ends
	}
	return nil
}

// permits reports whether the sequence's grammar allows a token.
func (s *Sequence) permits(token Token) bool {
	if s.isEnd(token) {
		return s.constraint.mayEnd()
	}
	return s.constraint.allows(token)
}

// isEnd reports whether a token ends the sequence, and has no text.
func (s *Sequence) isEnd(token Token) bool {
	return s.text.vocabulary.EndOfGeneration(token) || slices.Contains(s.request.StopTokens, token)
}

// mask is the set of the tokens that a sequence's grammar allows.
func (s *sampler) mask(q *Sequence) []uint64 {
	size := (q.text.vocabulary.Size() + 63) / 64
	s.allowed = slices.Grow(s.allowed[:0], size)[:size]
	q.constraint.matcher.Mask(q.constraint.trie, s.allowed)
	for _, end := range q.ends {
		s.allowed[end/64] &^= 1 << (end % 64)
		if q.constraint.mayEnd() {
			s.allowed[end/64] |= 1 << (end % 64)
		}
	}
	return s.allowed
}

// endsOfGeneration lists a vocabulary's own ends.
func endsOfGeneration(v Vocabulary) (ends []Token) {
	for t := range Token(v.Size()) {
		if v.EndOfGeneration(t) {
			ends = append(ends, t)
		}
	}
	return ends
}
