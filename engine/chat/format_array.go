package chat

import "strings"

// array is a syntax in which all calls are one JSON array behind a marker.
type array struct {
	keys
	begin, end string
}

// mistralArray is the format of Mistral's tokenizers v2, v3 and v7, such as of
// Mistral 7B v0.3, Nemo, Large 2 and Small 3.1:
// https://docs.mistral.ai/cookbooks/concept-deep-dive-tokenization-tool_calling and
// the tokenizers of https://github.com/mistralai/mistral-common.
func mistralArray() array { return array{keys{"name", "arguments"}, "[TOOL_CALLS]", ""} }

// phi is the format of Phi-4-mini. Its template takes the tools with the system
// message, and is silent about calls; they are between the control tokens of
// that name: https://huggingface.co/microsoft/Phi-4-mini-instruct, and
// https://ollama.com/library/phi4-mini, whose template writes them.
func phi() array {
	return array{keys{"name", "arguments"}, "<|tool_call|>", "<|/tool_call|>"}
}

// granite is the format of Granite 3.0, 3.2 and 3.3, whose templates ask for it in
// the system message: https://www.ibm.com/granite/docs/models/granite. Granite 3.1
// has a text for the marker: see vLLM's parser for both,
// https://docs.vllm.ai/en/latest/features/tool_calling. Granite 4 is as Hermes.
func granite() array   { return array{keys{"name", "arguments"}, "<|tool_call|>", ""} }
func granite31() array { return array{keys{"name", "arguments"}, "<tool_call>", ""} }

// graniteRole tells Granite's templates from others.
const graniteRole = "<|start_of_role|>"

func (a array) marked() marked {
	return marked{markers: []string{a.begin}, open: a.open}
}

func (a array) content([]callable) step { return a.marked().content }

func (a array) free(calls string) string { return a.marked().free(calls) }

// open reads the bracket of the array, and then its objects.
func (a array) open(mark int) step {
	return func(p *Parser, last bool) step {
		c := cursor{text: p.rest, at: mark}
		switch _, v := c.char("["); {
		case v == yes:
			return a.read(c.at, a.marked().refuse, a.another)
		case v == undecided && !last:
			return nil
		}
		return a.marked().refuse(p, mark)
	}
}

// another reads what is behind an object of the array.
func (a array) another(p *Parser, _ bool) step {
	ahead := strings.TrimLeft(p.rest, blanks)
	switch {
	case ahead == "":
		p.rest = ahead
		return nil
	case ahead[0] == ',':
		return a.read(len(p.rest)-len(ahead)+1, a.marked().refuse, a.another)
	case ahead[0] == ']':
		p.rest = ahead[1:]
	}
	return drop(a.end, skip(blanks, a.content(nil)))
}

func (a array) calls(r *rules, tools []callable, many bool) (string, error) {
	object, err := a.rule(r, tools)
	if err != nil {
		return "", err
	}
	list := object
	if many {
		list += " (" + space + ` "," ` + space + " " + object + ")" + more
	}
	calls := literal(a.begin) + " " + space + ` "[" ` + space + " " + list + " " + space + ` "]"`
	if a.end != "" {
		calls += " " + space + " " + literal(a.end)
	}
	return calls, nil
}

func (a array) write(calls []ToolCall) string {
	var each []string
	for _, call := range calls {
		each = append(each, a.keys.write(call))
	}
	return a.begin + "[" + strings.Join(each, ", ") + "]" + a.end
}
