package worker

import (
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// history is what a job's log says about the attempts before this one.
type history struct {
	// ended is whether the last event is terminal.
	ended bool
	// last is the type of the last event; empty for an empty log.
	last schemas.EventType
	// attempts counts started events.
	attempts int
	// first is the first started event, whose fingerprint and seed bind every
	// later attempt; nil if there is none.
	first *schemas.Started
	// promptTokens is of the latest start.
	promptTokens int
	// tokens and text are the output so far, all attempts together.
	tokens []int32
	text   string
}

// readHistory folds a log. It trusts the order of events, not their number.
func readHistory(events []schemas.Event) history {
	var h history
	var text strings.Builder
	for _, event := range events {
		h.last = event.Type
		switch {
		case event.Type == schemas.EventStarted && event.Started != nil:
			h.attempts++
			h.promptTokens = event.Started.PromptTokens
			if h.first == nil {
				h.first = event.Started
			}
		case event.Type == schemas.EventDelta && event.Delta != nil:
			h.tokens = append(h.tokens, event.Delta.Tokens...)
			text.WriteString(event.Delta.Text)
		}
		if event.Type.Terminal() {
			h.ended = true
		}
	}
	h.text = text.String()
	return h
}

// usage is what the log accounts for; nil if the job never started.
func (h *history) usage() *schemas.Usage {
	if h.first == nil {
		return nil
	}
	return &schemas.Usage{PromptTokens: h.promptTokens, CompletionTokens: len(h.tokens)}
}

// untouched reports whether no worker has left an event yet.
func (h *history) untouched() bool {
	return h.last == "" || h.last == schemas.EventSubmitted
}
