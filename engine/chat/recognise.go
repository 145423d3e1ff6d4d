package chat

import "strings"

// recognise finds the format of calls by what the template says of it. known is
// false where it says nothing: then the format is the generic one.
func recognise(source string) (f format, known bool) {
	has := func(texts ...string) bool {
		for _, text := range texts {
			if !strings.Contains(source, text) {
				return false
			}
		}
		return true
	}
	switch {
	case has(harmonyStart, harmonyChannel, harmonyMessage):
		return harmony{}, true
	case has("<｜tool▁call▁begin｜>", "```json"):
		return ordinary{deepseekFenced()}, true
	case has("<｜tool▁call▁begin｜>"):
		return ordinary{deepseek()}, true
	case has("<|tool_call>", "<tool_call|>"):
		return ordinary{gemma{}}, true
	case has("<tool_call>", "<function="):
		return ordinary{qwenCoder()}, true
	case has("<tool_call>", "<arg_key>"):
		return ordinary{glm()}, true
	case has("<tool_call>", graniteRole) && !has("</tool_call>"):
		return ordinary{granite31()}, true
	case has("<tool_call>"):
		return ordinary{hermes()}, true
	case has("[TOOL_CALLS]", "[ARGS]"):
		return ordinary{mistralNamed()}, true
	case has("[TOOL_CALLS]"):
		return ordinary{mistralArray()}, true
	case has("<|tool|>", "<|/tool|>"), has("<|tool_call|>", "<|/tool_call|>"):
		return ordinary{phi()}, true
	case has("<|tool_call|>"):
		return ordinary{granite()}, true
	case has("<|start_header_id|>", `"parameters"`), has(pythonTag):
		return ordinary{llamaFormat()}, true
	}
	return generic(), false
}
