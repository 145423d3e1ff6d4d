package worker

import "github.com/semantic-worker/semantic/schemas"

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
	// choices is the output so far, all attempts together.
	choices map[int]choiceLog
	// tokens counts those of all choices.
	tokens int
}

// choiceLog is what a log has of a choice.
type choiceLog struct {
	tokens []int32
	// pieces are not joined.
	pieces []piece
	// ended: the log has its end, and there is no more to generate.
	ended bool
}

// readHistory folds a log. It trusts the order of events, not their number.
func readHistory(events []schemas.Event) history {
	h := history{choices: make(map[int]choiceLog)}
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
			h.add(*event.Delta)
		}
		if event.Type.Terminal() {
			h.ended = true
		}
	}
	return h
}

func (h *history) add(delta schemas.Delta) {
	c := h.choices[delta.Choice]
	c.tokens = append(c.tokens, delta.Tokens...)
	c.pieces = logged(c.pieces, delta.Output)
	c.ended = c.ended || delta.FinishReason != ""
	h.choices[delta.Choice] = c
	h.tokens += len(delta.Tokens)
}

// usage is what the log accounts for; nil if the job never started.
func (h *history) usage() *schemas.Usage {
	if h.first == nil {
		return nil
	}
	return &schemas.Usage{PromptTokens: h.promptTokens, CompletionTokens: h.tokens}
}

// untouched reports whether no worker has left an event yet.
func (h *history) untouched() bool {
	return h.last == "" || h.last == schemas.EventSubmitted
}
