package openai

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/semantic-worker/semantic/schemas"
)

// Logprobs are the log probabilities of a chat's tokens.
type Logprobs struct {
	Content []TokenLogprob `json:"content"`
	Refusal *struct{}      `json:"refusal"`
}

// TokenLogprob is the log probability of a token that was generated, and of the
// likeliest ones in its place.
type TokenLogprob struct {
	TopLogprob
	TopLogprobs []TopLogprob `json:"top_logprobs"`
}

// TopLogprob is the log probability of a token.
type TopLogprob struct {
	// Token is the token's text; where it is a part of a character, with U+FFFD in
	// its place.
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	// Bytes are the text's bytes, as numbers.
	Bytes []int `json:"bytes"`
}

func chatLogprobs(entries []schemas.TokenLogprob) *Logprobs {
	if len(entries) == 0 {
		return nil
	}
	out := &Logprobs{Content: make([]TokenLogprob, 0, len(entries))}
	for _, e := range entries {
		entry := TokenLogprob{TopLogprob: logprobOf(e.Bytes, e.Logprob), TopLogprobs: make([]TopLogprob, 0, len(e.Top))}
		for _, t := range e.Top {
			entry.TopLogprobs = append(entry.TopLogprobs, logprobOf(t.Bytes, t.Logprob))
		}
		out.Content = append(out.Content, entry)
	}
	return out
}

func logprobOf(text []byte, logprob float64) TopLogprob {
	numbers := make([]int, len(text))
	for i, b := range text {
		numbers[i] = int(b)
	}
	return TopLogprob{Token: strings.ToValidUTF8(string(text), "\uFFFD"), Logprob: logprob, Bytes: numbers}
}

// TextLogprobs are the log probabilities of a completion's tokens, as lists of
// the same length. A token that is a part of a character is written like
// bytes:\xe2\x80.
type TextLogprobs struct {
	Tokens        []string  `json:"tokens"`
	TokenLogprobs []float64 `json:"token_logprobs"`
	// TopLogprobs is nil where none were asked for. The token that was chosen is
	// in it, whether it is among the likeliest or not.
	TopLogprobs []map[string]float64 `json:"top_logprobs"`
	// TextOffset is where each token begins in the text, in characters.
	TextOffset []int `json:"text_offset"`
}

// textPlace counts the characters of a text that comes in pieces of bytes.
type textPlace struct {
	characters int
	part       []byte // of a character
}

func (p *textPlace) add(text []byte) {
	p.part = append(p.part, text...)
	for len(p.part) > 0 && utf8.FullRune(p.part) {
		_, size := utf8.DecodeRune(p.part)
		p.part = p.part[size:]
		p.characters++
	}
}

func textLogprobs(entries []schemas.TokenLogprob, place *textPlace) *TextLogprobs {
	if len(entries) == 0 {
		return nil
	}
	out := &TextLogprobs{}
	for _, e := range entries {
		out.Tokens = append(out.Tokens, legacyToken(e.Bytes))
		out.TokenLogprobs = append(out.TokenLogprobs, e.Logprob)
		out.TextOffset = append(out.TextOffset, place.characters)
		place.add(e.Bytes)
	}
	if slices.ContainsFunc(entries, func(e schemas.TokenLogprob) bool { return len(e.Top) > 0 }) {
		for _, e := range entries {
			out.TopLogprobs = append(out.TopLogprobs, legacyTop(e))
		}
	}
	return out
}

func legacyTop(e schemas.TokenLogprob) map[string]float64 {
	top := make(map[string]float64, len(e.Top)+1)
	for _, t := range slices.Backward(e.Top) { // of tokens that look the same, the likeliest counts
		top[legacyToken(t.Bytes)] = t.Logprob
	}
	top[legacyToken(e.Bytes)] = e.Logprob
	return top
}

func legacyToken(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	var b strings.Builder
	b.WriteString("bytes:")
	for _, c := range text {
		_, _ = fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}
