package chat

import "strings"

// harmony is the format of gpt-oss: an answer is messages in channels.
// https://cookbook.openai.com/articles/openai-harmony describes it.
type harmony struct{}

const (
	harmonyStart   = "<|start|>"
	harmonyChannel = "<|channel|>"
	harmonyMessage = "<|message|>"
	harmonyEnd     = "<|end|>"
	harmonyCall    = "<|call|>"
	harmonyReturn  = "<|return|>"
	harmonySpace   = "functions."
)

// harmonyAnswer is an answer that is being read.
type harmonyAnswer struct {
	kind Kind
	// said: the kinds that had a message.
	said [Call + 1]bool
}

func (harmony) parse(want) step { return new(harmonyAnswer).header }

// header reads up to the text of a message, and learns what it is.
func (h *harmonyAnswer) header(p *Parser, last bool) step {
	p.rest = strings.TrimLeft(p.rest, blanks)
	known, begun := false, false
	for _, begin := range []string{harmonyStart, harmonyChannel, harmonyMessage, "to="} {
		begun = begun || strings.HasPrefix(p.rest, begin)
		known = known || begun || strings.HasPrefix(begin, p.rest)
	}
	if !known {
		h.kind = Content
		return h.body
	}
	at := strings.Index(p.rest, harmonyMessage)
	if at < 0 || !begun {
		if last {
			p.rest = ""
		}
		return nil
	}
	header := p.take(at)
	p.take(len(harmonyMessage))
	to := strings.TrimPrefix(after(header, "to="), harmonySpace)
	switch {
	case to != "":
		h.kind = Call
		p.begin(to)
		return h.body
	case after(header, harmonyChannel) == "analysis":
		h.kind = Reasoning
	default:
		h.kind = Content
	}
	if h.said[h.kind] {
		p.say(h.kind, "\n")
	}
	h.said[h.kind] = true
	return h.body
}

// after is the word that follows a mark in a header.
func after(header, mark string) string {
	_, word, _ := strings.Cut(header, mark)
	if end := strings.IndexAny(word, "<"+blanks); end >= 0 {
		word = word[:end]
	}
	return word
}

// body reads the text of a message.
func (h *harmonyAnswer) body(p *Parser, last bool) step {
	at, length, certain := find(p.rest, harmonyEnd, harmonyCall, harmonyReturn, harmonyStart, harmonyChannel)
	if last && at < 0 && h.kind != Call {
		certain = len(p.rest)
	}
	if at >= 0 {
		certain = at
	}
	piece := p.take(certain)
	if h.kind == Call {
		p.argue(piece)
	} else {
		p.say(h.kind, piece)
	}
	if at < 0 {
		if last {
			p.rest = ""
		}
		return nil
	}
	if !strings.HasPrefix(p.rest, harmonyStart) && !strings.HasPrefix(p.rest, harmonyChannel) {
		p.take(length)
	}
	return h.header
}

func (harmony) grammar(r *rules, w want) (string, error) {
	if len(w.tools) == 0 && w.answer == "" {
		return "", nil
	}
	message := r.add("message", text(harmonyEnd, harmonyCall, harmonyReturn, harmonyStart, harmonyChannel, harmonyMessage))
	next := literal(harmonyEnd + harmonyStart + "assistant")
	before := literal(harmonyChannel+"analysis"+harmonyMessage) + " " + message + " " + next
	answer := w.answer
	if answer == "" {
		answer = message
	}
	answer = literal(harmonyChannel+"final"+harmonyMessage) + " " + answer
	if len(w.tools) == 0 {
		return "(" + before + ")* " + answer, nil
	}
	before += " | " + literal(harmonyChannel+"commentary"+harmonyMessage) + " " + message + " " + next
	var first, second []string
	for _, tool := range w.tools {
		arguments, err := tool.arguments(r)
		if err != nil {
			return "", err
		}
		kind := `(" "? ("<|constrain|>"? "json")?) ` + literal(harmonyMessage) + " " + arguments
		first = append(first, literal(tool.Name)+" "+kind)
		second = append(second, literal(tool.Name+harmonyChannel+"commentary")+" "+kind)
	}
	last := literal(harmonyChannel+"commentary to="+harmonySpace) + " " + group(first) +
		" | " + literal(" to="+harmonySpace) + " " + group(second)
	if !w.must {
		last += " | " + answer
	}
	return "(" + before + ")* (" + last + ")", nil
}

func (harmony) write(calls []ToolCall) string {
	var b strings.Builder
	for _, call := range calls {
		b.WriteString(harmonyChannel + "commentary to=" + harmonySpace + call.Name +
			" <|constrain|>json" + harmonyMessage + argumentsOf(call) + harmonyCall)
	}
	return b.String()
}
