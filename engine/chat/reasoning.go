package chat

import "strings"

// tags enclose what a model thinks.
type tags struct{ open, end string }

// knownTags are those of the published families, by their texts in templates:
// Qwen, DeepSeek, GLM, SmolLM and most others; Magistral; Seed; Gemma 4.
func knownTags() []tags {
	return []tags{
		{"<think>", "</think>"},
		{"[THINK]", "[/THINK]"},
		{"<seed:think>", "</seed:think>"},
		{"<|channel>thought", "<channel|>"},
	}
}

// thinkingPlace is where a model is when it begins to generate.
type thinkingPlace int

const (
	// thinkingNone: it does not think, or the prompt did it for the model.
	thinkingNone thinkingPlace = iota
	// thinkingFirst: it may begin with the tag.
	thinkingFirst
	// thinkingOpen: the prompt ends with the tag.
	thinkingOpen
)

// thinking is how a model thinks before it speaks.
type thinking struct {
	tags
	place thinkingPlace
}

// tagsOf returns the tags that a template knows; none for most.
func tagsOf(source string) tags {
	for _, t := range knownTags() {
		if strings.Contains(source, t.open) || strings.Contains(source, t.end) {
			return t
		}
	}
	return tags{}
}

// after says how the model thinks behind a prompt.
func (t tags) after(prompt string) thinking {
	prompt = strings.TrimRight(prompt, blanks)
	switch {
	case t.end == "" || strings.HasSuffix(prompt, t.end):
		return thinking{tags: t}
	case strings.HasSuffix(prompt, t.open):
		return thinking{t, thinkingOpen}
	}
	return thinking{t, thinkingFirst}
}

// parse reads what is thought, and then goes on with content.
func (t thinking) parse(content step) step {
	switch t.place {
	case thinkingFirst:
		return t.first(content)
	case thinkingOpen:
		return skip(newlines, t.inside(content))
	case thinkingNone:
		if t.end != "" {
			return skip(newlines, content)
		}
	}
	return content
}

const newlines = "\r\n"

// first looks for the tag that opens, behind nothing but blanks.
func (t thinking) first(content step) step {
	return func(p *Parser, last bool) step {
		ahead := strings.TrimLeft(p.rest, blanks)
		if strings.HasPrefix(ahead, t.open) {
			p.rest = ahead[len(t.open):]
			return skip(newlines, t.inside(content))
		}
		if !last && strings.HasPrefix(t.open, ahead) {
			return nil
		}
		return content
	}
}

// inside reads up to the tag that closes; the newlines around are nobody's.
func (t thinking) inside(content step) step {
	return func(p *Parser, last bool) step {
		at, length, certain := find(p.rest, t.end)
		if at >= 0 {
			p.say(Reasoning, strings.TrimRight(p.take(at), newlines))
			p.take(length)
			return skip(newlines, content)
		}
		if last {
			certain = len(p.rest)
		}
		p.say(Reasoning, p.take(len(strings.TrimRight(p.rest[:certain], newlines))))
		if last {
			p.rest = ""
		}
		return nil
	}
}

// grammar puts what is thought before what is said. With must, it is thought to
// its end.
func (t thinking) grammar(said string, must bool) string {
	inside := text(t.end)
	closed := literal(t.end) + ` [\n]{0,2} ` + said
	if !must {
		closed = "(" + closed + ")?"
	}
	switch t.place {
	case thinkingOpen:
		return inside + " " + closed
	case thinkingFirst:
		opened := `[ \n]{0,2} ` + literal(t.open) + " " + inside + " " + closed
		return "(" + opened + " | " + said + ")"
	case thinkingNone:
	}
	return said
}
