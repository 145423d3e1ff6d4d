package chat

import "strings"

// named is a syntax in which a call is a name, a separator and the arguments.
type named struct {
	// section and sectionEnd are around all calls; begin and end around each,
	// end perhaps behind blanks.
	section, sectionEnd string
	begin, end          string
	// separator is between name and arguments.
	separator string
	// tail is what the model writes before end, between what it writes between
	// two calls.
	tail, between string
}

// mistralNamed is the format of Mistral's tokenizers v11, which has the id of the
// call behind its name, and v13, such as of Small 3.2, Devstral and Magistral:
// the tokenizers of https://github.com/mistralai/mistral-common.
func mistralNamed() named {
	return named{begin: "[TOOL_CALLS]", separator: "[ARGS]"}
}

// deepseek is the format of DeepSeek V3.1:
// https://huggingface.co/deepseek-ai/DeepSeek-V3.1, "ToolCall", and its chat
// template, which leaves listing the tools to the system message.
func deepseek() named {
	return named{
		section: "<｜tool▁calls▁begin｜>", sectionEnd: "<｜tool▁calls▁end｜>",
		begin: "<｜tool▁call▁begin｜>", end: "<｜tool▁call▁end｜>", separator: "<｜tool▁sep｜>",
	}
}

// deepseekFenced is the format of DeepSeek V3 and R1, by their chat templates:
// https://huggingface.co/deepseek-ai/DeepSeek-R1. A call has a type, which is
// always function.
func deepseekFenced() named {
	n := deepseek()
	n.begin += "function<｜tool▁sep｜>"
	n.separator = "\n```json\n"
	n.end = "```" + n.end
	n.tail, n.between = "\n", "\n"
	return n
}

func (n named) marked() marked {
	marker := n.section
	if marker == "" {
		marker = n.begin
	}
	return marked{markers: []string{marker}, open: func(mark int) step {
		return n.open(mark - len(marker))
	}}
}

func (n named) content([]callable) step { return n.marked().content }

func (n named) free(calls string) string { return n.marked().free(calls) }

// open reads the name of the first call; before bytes are ahead of the marker.
func (n named) open(before int) step {
	return func(p *Parser, last bool) step {
		mark := before
		for _, part := range []string{n.section, n.begin} {
			ahead := p.rest[mark:]
			ahead = strings.TrimLeft(ahead, blanks)
			if !strings.HasPrefix(ahead, part) {
				if !last && strings.HasPrefix(part, ahead) {
					return nil
				}
				return n.marked().refuse(p, len(p.rest)-len(ahead))
			}
			mark = len(p.rest) - len(ahead) + len(part)
		}
		return n.name(mark)
	}
}

// longestName is how long a name may be; what goes on without a separator is
// none.
const longestName = 256

// callID is what some versions write between name and separator.
const callID = "[CALL_ID]"

// name reads up to the separator; mark bytes of the rest are before the name.
func (n named) name(mark int) step {
	return func(p *Parser, last bool) step {
		ahead := p.rest[mark:]
		at := strings.Index(ahead, n.separator)
		if at < 0 && len(ahead) < longestName+len(n.separator) && !last {
			return nil
		}
		if at < 0 || at > longestName {
			return n.marked().refuse(p, mark)
		}
		name, _, _ := strings.Cut(ahead[:at], callID)
		if name = strings.TrimSpace(name); name == "" {
			return n.marked().refuse(p, mark)
		}
		p.take(mark + at + len(n.separator))
		p.begin(name)
		var value jsonScan
		return skip(blanks, stream(&value, (*Parser).argue, n.closing))
	}
}

// closing reads what is behind a call.
func (n named) closing(p *Parser, last bool) step {
	return drop(n.end, n.another)(p, last)
}

func (n named) another(p *Parser, last bool) step {
	mark := len(p.rest) - len(strings.TrimLeft(p.rest, blanks))
	ahead := p.rest[mark:]
	switch {
	case strings.HasPrefix(ahead, n.begin):
		return n.name(mark + len(n.begin))
	case !last && strings.HasPrefix(n.begin, ahead):
		return nil
	}
	return drop(n.sectionEnd, skip(blanks, n.content(nil)))
}

func (n named) calls(r *rules, tools []callable, many bool) (string, error) {
	var each []string
	for _, tool := range tools {
		arguments, err := tool.arguments(r)
		if err != nil {
			return "", err
		}
		each = append(each, literal(tool.Name+n.separator)+" "+arguments)
	}
	call := literal(n.begin) + " " + group(each)
	if n.end != "" {
		call += " " + space + " " + literal(n.end)
	}
	call = r.add("call", call)
	calls := call
	if many {
		calls += " (" + space + " " + call + ")" + more
	}
	if n.section != "" {
		calls = literal(n.section) + " " + calls + " " + space + " " + literal(n.sectionEnd)
	}
	return calls, nil
}

func (n named) write(calls []ToolCall) string {
	var each []string
	for _, call := range calls {
		each = append(each, n.begin+call.Name+n.separator+argumentsOf(call)+n.tail+n.end)
	}
	return n.section + strings.Join(each, n.between) + n.sectionEnd
}
