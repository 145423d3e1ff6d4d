package tinymodel

import "fmt"

// The types of tokens in GGUF.
const (
	tokenNormal  = int32(1)
	tokenUnknown = int32(2)
	tokenControl = int32(3)
	tokenByte    = int32(6)
)

// words are frequent enough to make a difference.
func words() []string {
	return []string{"th", "he", "in", "er", "an", "the", "and", "ing", "st", "en", "wor", "words", "story"}
}

type vocabulary struct {
	tokens []string
	types  []int32
	// mute are the ids of tokens that the models never say: control tokens, and
	// bytes that are no printable ASCII, so that what they say is text.
	mute []int
	more []pair
}

func (v *vocabulary) add(kind int32, tokens ...string) {
	for _, t := range tokens {
		if kind == tokenControl || kind == tokenUnknown {
			v.mute = append(v.mute, len(v.tokens))
		}
		v.tokens, v.types = append(v.tokens, t), append(v.types, kind)
	}
}

// addByte adds the token of a byte under its name.
func (v *vocabulary) addByte(kind int32, b int, name string) {
	if b < ' ' || b > '~' {
		v.mute = append(v.mute, len(v.tokens))
	}
	v.add(kind, name)
}

func (v *vocabulary) pairs() []pair {
	return append([]pair{{"tokenizer.ggml.tokens", v.tokens}, {"tokenizer.ggml.token_type", v.types}}, v.more...)
}

// bytePairs is a vocabulary as GPT-2 and Qwen have it, in ChatML.
func bytePairs() *vocabulary {
	v := &vocabulary{}
	for b := range 256 {
		v.addByte(tokenNormal, b, string(visible(byte(b))))
	}
	// Every token of two or more letters is merged from one that is shorter by
	// one letter, so all of these are tokens too.
	known := map[string]bool{}
	var merges []string
	for _, word := range words() {
		for n := 2; n <= len(word); n++ {
			if !known[word[:n]] {
				known[word[:n]] = true
				v.add(tokenNormal, word[:n])
				merges = append(merges, word[:n-1]+" "+word[n-1:n])
			}
		}
	}
	v.add(tokenControl, "<|endoftext|>", "<|im_start|>", "<|im_end|>")
	n := uint32(len(v.tokens))
	v.more = []pair{
		{"tokenizer.ggml.model", "gpt2"}, {"tokenizer.ggml.pre", "qwen2"}, {"tokenizer.ggml.merges", merges},
		{"tokenizer.ggml.bos_token_id", n - 3}, {"tokenizer.ggml.eos_token_id", n - 1}, {"tokenizer.ggml.add_bos_token", false},
		{
			"tokenizer.chat_template",
			"{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n",
		},
	}
	return v
}

// visible is GPT-2's letter for a byte: itself where it can be seen.
func visible(b byte) rune {
	seen := func(b int) bool { return b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae && b <= 0xff }
	if seen(int(b)) {
		return rune(b)
	}
	unseen := 0
	for other := range int(b) {
		if !seen(other) {
			unseen++
		}
	}
	return rune(256 + unseen)
}

// sentencePieces is a vocabulary as Llama 2 and Gemma have it.
func sentencePieces() *vocabulary {
	v := &vocabulary{}
	v.add(tokenControl, "<pad>", "<eos>", "<bos>")
	v.add(tokenUnknown, "<unk>")
	for b := range 256 {
		v.addByte(tokenByte, b, fmt.Sprintf("<0x%02X>", b))
	}
	v.add(tokenNormal, "\u2581")
	for letter := 'a'; letter <= 'z'; letter++ {
		v.add(tokenNormal, string(letter))
	}
	v.add(tokenNormal, words()...)
	v.add(tokenControl, "<start_of_turn>", "<end_of_turn>")
	scores := make([]float32, len(v.tokens))
	for i := range scores {
		scores[i] = -float32(i)
	}
	v.more = []pair{
		{"tokenizer.ggml.model", "llama"}, {"tokenizer.ggml.scores", scores}, {"tokenizer.ggml.add_space_prefix", false},
		{"tokenizer.ggml.bos_token_id", uint32(2)}, {"tokenizer.ggml.eos_token_id", uint32(1)}, {"tokenizer.ggml.unknown_token_id", uint32(3)},
		{"tokenizer.ggml.padding_token_id", uint32(0)}, {"tokenizer.ggml.add_bos_token", false},
		{
			"tokenizer.chat_template",
			"{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n",
		},
	}
	return v
}
