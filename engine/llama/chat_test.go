package llama

import (
	"strings"
	"testing"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/semantic-worker/semantic/engine/chat"
)

// TestChatTemplate renders the default model's own template. Where llama.cpp
// recognises the family, its own prompt is the same; it does not run templates,
// so it knows nothing of the system prompt that this one adds by itself.
func TestChatTemplate(t *testing.T) {
	b := open(t, nil)
	info := b.Info()
	template, err := chat.Parse(info.ChatTemplate, info.Name, info.BOS, info.EOS)
	if err != nil {
		t.Fatal(err)
	}
	render := func(messages ...chat.Message) string {
		t.Helper()
		prompt, err := template.Render(messages)
		if err != nil {
			t.Fatal(err)
		}
		return prompt
	}
	const own = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n" +
		"<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
	if got := render(chat.Message{Role: "user", Content: "Hi"}); got != own {
		t.Errorf("prompt %q, want %q", got, own)
	}
	for name, turns := range map[string][]chat.Message{
		"one turn":  {{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Hi"}},
		"developer": {{Role: "developer", Content: "Be brief."}, {Role: "user", Content: "Hi"}},
		"several": {
			{Role: "system", Content: "  Grüße\n"}, {Role: "user", Content: "{{ 1 }} \\n 'x'"},
			{Role: "assistant", Content: "日本\n\n"}, {Role: "user", Content: ""},
		},
	} {
		got, want := render(turns...), nativePrompt(t, info.ChatTemplate, turns)
		if got != want {
			t.Errorf("%s: prompt\n%q, llama.cpp has\n%q", name, got, want)
		}
		ids, err := b.Vocabulary().Tokenize(got, true)
		if err != nil || len(ids) == 0 || ids[0] != 1 {
			t.Errorf("%s: tokens %v, error %v; want the first to be <|im_start|>", name, ids, err)
		}
	}
}

// nativePrompt is llama.cpp's own prompt.
func nativePrompt(t *testing.T, template string, turns []chat.Message) string {
	t.Helper()
	messages := make([]binding.ChatMessage, len(turns))
	for i, turn := range turns {
		if turn.Role == "developer" {
			turn.Role = "system"
		}
		messages[i] = binding.NewChatMessage(turn.Role, turn.Content)
	}
	buffer := make([]byte, 4096)
	n := binding.ChatApplyTemplate(template, messages, true, buffer)
	if n <= 0 || int(n) > len(buffer) {
		t.Fatalf("llama.cpp rendered %d bytes", n)
	}
	return string(buffer[:n])
}

// TestLongText: texts that no prompt has, of one letter and of one word. Some
// of llama.cpp's tokenizers recurse, and a stack that overflows ends the
// process.
func TestLongText(t *testing.T) {
	v := open(t, nil).Vocabulary()
	for name, unit := range map[string]string{
		"letter": "a", "digit": "1", "space": " ", "line": "\n", "words": "word ", "letters of another script": "日",
	} {
		text := strings.Repeat(unit, 1<<19/len(unit))
		ids, err := v.Tokenize(text, true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var back []byte
		for _, id := range ids {
			back = v.AppendPiece(back, id, false)
		}
		if string(back) != text {
			t.Errorf("%s: %d tokens give %d bytes of %d", name, len(ids), len(back), len(text))
		}
	}
}
