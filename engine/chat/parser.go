package chat

import "strings"

// Kind says what a part of the generated text is.
type Kind int

// The kinds of parts.
const (
	// Content is what the assistant says.
	Content Kind = iota
	// Reasoning is what it thinks.
	Reasoning
	// Call begins or continues a call of a tool.
	Call
)

// Part is a piece of an answer.
type Part struct {
	Kind Kind
	// Text is set for Content and Reasoning.
	Text string
	// Call is set for Call.
	Call *CallPart
}

// CallPart begins a call or continues its arguments.
type CallPart struct {
	// Index counts the calls of the answer from 0.
	Index int
	// Name is there where the call begins.
	Name string
	// Arguments is the next piece of a JSON object as text. The pieces of a call
	// that was cut short are the beginning of one.
	Arguments string
}

// Parser splits generated text into reasoning, content and calls while it
// arrives. What it says is a function of all text so far, however it was cut;
// it holds back what could still become something else. It is not safe for
// concurrent use.
type Parser struct {
	next step
	// rest is the text that no step has taken yet.
	rest string
	// parts are to be returned.
	parts []Part
	calls int
}

// step takes text from the front of Parser.rest, as much as is certain, and all
// of it if no more will come. It returns the step that goes on with what is
// left, or nil to wait for more text.
type step func(p *Parser, last bool) step

// Push takes the next piece of text.
func (p *Parser) Push(text string) []Part {
	p.rest += text
	return p.run(false)
}

// Finish says that there is no more, and returns what was held back.
func (p *Parser) Finish() []Part { return p.run(true) }

// Called reports whether the model called a tool so far.
func (p *Parser) Called() bool { return p.calls > 0 }

func (p *Parser) run(last bool) []Part {
	for next := p.next; next != nil; {
		p.next = next
		next = p.next(p, last)
	}
	parts := p.parts
	p.parts = nil
	return parts
}

// take removes n bytes from the front of the rest and returns them.
func (p *Parser) take(n int) string {
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// say emits text, joined with what was just said.
func (p *Parser) say(kind Kind, text string) {
	if text == "" {
		return
	}
	if n := len(p.parts); n > 0 && p.parts[n-1].Kind == kind {
		p.parts[n-1].Text += text
		return
	}
	p.parts = append(p.parts, Part{Kind: kind, Text: text})
}

// begin begins a call.
func (p *Parser) begin(name string) {
	p.parts = append(p.parts, Part{Kind: Call, Call: &CallPart{Index: p.calls, Name: name}})
	p.calls++
}

// argue continues the arguments of the call that began last.
func (p *Parser) argue(text string) {
	if text == "" {
		return
	}
	if n := len(p.parts); n > 0 && p.parts[n-1].Kind == Call {
		p.parts[n-1].Call.Arguments += text
		return
	}
	p.parts = append(p.parts, Part{Kind: Call, Call: &CallPart{Index: p.calls - 1, Arguments: text}})
}

// find returns the place and the length of the first of the markers in text; at
// is -1 where there is none, and then certain is how much of the text cannot
// become part of one.
func find(text string, markers ...string) (at, length, certain int) {
	at, certain = -1, len(text)
	for _, marker := range markers {
		if i := strings.Index(text, marker); i >= 0 && (at < 0 || i < at) {
			at, length = i, len(marker)
		}
		certain = min(certain, len(text)-overlap(text, marker))
	}
	return at, length, certain
}

// overlap is how long the end of text is that a marker could begin with.
func overlap(text, marker string) int {
	for n := min(len(text), len(marker)-1); n > 0; n-- {
		if strings.HasSuffix(text, marker[:n]) {
			return n
		}
	}
	return 0
}

const blanks = " \t\r\n"
