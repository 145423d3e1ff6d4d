package worker

import (
	"strings"

	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/schemas"
)

// pieceKind says what a piece of an answer is.
type pieceKind int

const (
	pieceReasoning pieceKind = iota
	pieceText
	pieceCall
)

// piece is a part of a choice's answer, in the order in which the model wrote
// them. Of a call, text is the arguments.
type piece struct {
	kind pieceKind
	text string
	call int    // index of the call
	name string // where the call begins
}

// continues reports whether p goes on with what before ends with.
func (p piece) continues(before piece) bool {
	return p.kind == before.kind && p.call == before.call && p.name == ""
}

// join appends pieces, each joined with the one before if it continues it.
func join(pieces []piece, more ...piece) []piece {
	for _, p := range more {
		switch n := len(pieces); {
		case n > 0 && p.continues(pieces[n-1]):
			pieces[n-1].text += p.text
		case p.text != "" || p.name != "":
			pieces = append(pieces, p)
		}
	}
	return pieces
}

// compact joins the pieces of a long list, in a time that grows with their texts
// and not with their square.
func compact(pieces []piece) []piece {
	var out []piece
	var texts []string
	flush := func() {
		if len(texts) > 0 {
			out[len(out)-1].text = strings.Join(texts, "")
			texts = texts[:0]
		}
	}
	for _, p := range pieces {
		switch {
		case len(out) > 0 && p.continues(out[len(out)-1]):
		case p.text != "" || p.name != "":
			flush()
			out = append(out, p)
		default:
			continue
		}
		texts = append(texts, p.text)
	}
	flush()
	return out
}

// parsed are the pieces of what a parser found.
func parsed(parts []chat.Part) (pieces []piece) {
	for _, part := range parts {
		switch part.Kind {
		case chat.Reasoning:
			pieces = join(pieces, piece{kind: pieceReasoning, text: part.Text})
		case chat.Content:
			pieces = join(pieces, piece{kind: pieceText, text: part.Text})
		case chat.Call:
			pieces = join(pieces, piece{kind: pieceCall, text: part.Call.Arguments, call: part.Call.Index, name: part.Call.Name})
		}
	}
	return pieces
}

// logged appends the pieces of an output in the log, which are not joined.
func logged(pieces []piece, out schemas.Output) []piece {
	pieces = append(pieces, piece{kind: pieceReasoning, text: out.Reasoning}, piece{kind: pieceText, text: out.Text})
	for _, call := range out.ToolCalls {
		pieces = append(pieces, piece{kind: pieceCall, text: call.Arguments, call: call.Index, name: call.Name})
	}
	return pieces
}

// subtract takes off what two lists begin with in common: left is the
// rest of first, right that of second, and at most one of them is not empty. ok
// is false where neither is the beginning of the other.
func subtract(first, second []piece) (left, right []piece, ok bool) {
	left, right = compact(first), compact(second)
	for len(left) > 0 && len(right) > 0 {
		a, b := &left[0], &right[0]
		n := min(len(a.text), len(b.text))
		if a.kind != b.kind || a.call != b.call || a.name != b.name || a.text[:n] != b.text[:n] {
			return nil, nil, false
		}
		a.text, b.text, a.name, b.name = a.text[n:], b.text[n:], "", ""
		if a.text == "" {
			left = left[1:]
		}
		if b.text == "" {
			right = right[1:]
		}
	}
	return left, right, true
}

// mostLogprobs bounds the tokens of an event that has log probabilities: with 20
// others for each it has about half the size of the largest message of a NATS
// server with its default settings.
const mostLogprobs = 256

// pack makes outputs of what a choice generated, of which the first has its
// tokens: what is said may come after them in the log, never before. callID
// names a call. There is at least one output.
func pack(out schemas.Output, pieces []piece, callID func(call int) string) []schemas.Output {
	var all []schemas.Output
	for len(out.Logprobs) > mostLogprobs {
		all = append(all, schemas.Output{Choice: out.Choice, Tokens: out.Tokens[:mostLogprobs], Logprobs: out.Logprobs[:mostLogprobs]})
		out.Tokens, out.Logprobs = out.Tokens[mostLogprobs:], out.Logprobs[mostLogprobs:]
	}
	for _, p := range pieces {
		// A reader joins reasoning, text and calls in this order.
		if p.kind < pieceCall && len(out.ToolCalls) > 0 || p.kind < pieceText && out.Text != "" {
			all = append(all, out)
			out = schemas.Output{Choice: out.Choice}
		}
		switch p.kind {
		case pieceReasoning:
			out.Reasoning += p.text
		case pieceText:
			out.Text += p.text
		case pieceCall:
			delta := schemas.ToolCallDelta{Index: p.call, Name: p.name, Arguments: p.text}
			if p.name != "" {
				delta.ID = callID(p.call)
			}
			out.ToolCalls = append(out.ToolCalls, delta)
		}
	}
	return append(all, out)
}
