// Package sim is a backend without a model: real batch and KV accounting, a
// speed model, and text that is a function of the prompt.
//
// It behaves as a language model does: the logits of a position depend on the
// tokens up to it, and on nothing else. The vocabulary has two halves. Text is
// read as bytes and whole words; an answer is spoken in tokens of its own, some
// of which end in the middle of a rune. So the model knows from the tokens where
// the prompt ended. The next word is a hash of all tokens so far: a token lost,
// repeated or out of place changes everything after it.
//
// At temperature 0 a sequence says Text(prompt, n) and ends its turn after as
// many words as Options.Words says, or the prompt: "words=200" anywhere in it.
// Above 0 it may choose other words.
package sim
