package worker

import (
	"context"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/schemas"
)

// stream logs what the choices generate until all have ended. One that does not
// end by itself takes the others with it; what they have generated until then is
// logged.
func (r *run) stream(ctx context.Context, choices []*choice, submitted time.Time) outcome {
	chunks := make(chan chunkOf)
	var readers sync.WaitGroup
	defer readers.Wait()
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	over, end := context.WithCancel(ctx)
	end()
	for _, c := range choices {
		readers.Go(func() { c.read(reading, chunks) })
	}
	var failure error
	for running := len(choices); running > 0; {
		var got chunkOf
		select {
		case got = <-chunks:
		case <-ctx.Done():
			r.enter(phaseEnding)
			return outcomeAbandoned
		}
		r.trace.began(ctx, got.choice)
		switch {
		case got.err != nil:
			running--
			r.trace.ended(ctx, got.choice, got.err)
			if failure == nil {
				failure = got.err
				r.dropAll()
			}
			continue
		case got.chunk.Finish == "":
			got.chunk = got.choice.more(over, got.chunk)
		}
		c, chunk := got.choice, got.chunk
		outputs, err := c.outputs(chunk)
		if err != nil {
			return r.interrupted(ctx, err)
		}
		if chunk.Finish != "" {
			running--
			c.last = chunk
			r.trace.ended(ctx, c, nil)
			if running == 0 && failure == nil {
				return r.done(ctx, choices, c, outputs, submitted)
			}
		}
		if err := r.write(ctx, outputs, c.ending(chunk)); err != nil {
			return r.lost(ctx, err)
		}
		if chunk.Finish == "" {
			c.resume <- struct{}{}
		}
	}
	return r.interrupted(ctx, failure)
}

// write logs outputs of a choice, and its end with the last of them.
func (r *run) write(ctx context.Context, outputs []schemas.Output, finish schemas.FinishReason) error {
	for i, out := range outputs {
		delta := &schemas.Delta{Output: out}
		if i == len(outputs)-1 {
			delta.FinishReason = finish
		}
		if err := r.delivery.Append(ctx, schemas.Event{Type: schemas.EventDelta, Delta: delta}); err != nil {
			return err
		}
		r.logged(len(out.Tokens))
		r.keepAnswer(out)
	}
	return nil
}

// logged accounts for tokens that are in the log now.
func (r *run) logged(tokens int) {
	if tokens == 0 {
		return
	}
	r.usage.CompletionTokens += tokens
	r.generated(tokens)
	switch {
	case r.emitted:
	case r.history.tokens > 0:
		r.brokeSilence()
	default:
		r.firstToken = max(r.delivery.BrokerTime(time.Now()).Sub(r.delivery.StoredAt), 0)
		observe(r.w.metrics.firstToken.WithLabelValues(string(r.delivery.Class)), r.firstToken, r.trace.job.SpanContext())
	}
	r.emitted = true
	r.together()
}

// done appends the end of an answer given in full: the end of the choice that
// ended last.
func (r *run) done(ctx context.Context, choices []*choice, last *choice, outputs []schemas.Output, submitted time.Time) outcome {
	r.enter(phaseEnding)
	final := len(outputs) - 1
	if err := r.write(ctx, outputs[:final], ""); err != nil {
		return r.lost(ctx, err)
	}
	done := &schemas.Done{
		Output:       outputs[final],
		FinishReason: last.ending(last.last),
		Usage: schemas.Usage{
			PromptTokens:     r.usage.PromptTokens,
			CompletionTokens: r.usage.CompletionTokens + len(outputs[final].Tokens),
			CachedTokens:     cached(choices),
		},
		Timings: r.timings(choices, submitted),
	}
	result := r.end(ctx, outcomeDone, schemas.Event{Type: schemas.EventDone, Done: done})
	if result == outcomeDone {
		r.finish = done.FinishReason
		r.logged(len(done.Tokens))
		r.keepAnswer(done.Output)
	}
	return result
}

// cached is how many tokens of the prompts no choice computed: each prompt
// counts once, as the choice has it that computed most of it.
func cached(choices []*choice) (n int) {
	least := make(map[int]int)
	for _, c := range choices {
		tokens := c.last.Usage.Cached
		if before, ok := least[c.prompt]; ok {
			tokens = min(tokens, before)
		}
		least[c.prompt] = tokens
	}
	for _, tokens := range least {
		n += tokens
	}
	return n
}

// timings are of the first new token and of the end of any choice.
func (r *run) timings(choices []*choice, submitted time.Time) schemas.Timings {
	var first, last time.Duration
	for i, c := range choices {
		t := c.last.Timings
		token := t.Waiting + t.Prefill
		if i == 0 || token < first {
			first = token
		}
		last = max(last, token+t.Decode)
	}
	return schemas.Timings{
		QueuedMS:  milliseconds(r.delivery.BrokerTime(r.claimed).Sub(r.delivery.StoredAt)),
		PrefillMS: milliseconds(submitted.Sub(r.claimed) + first),
		DecodeMS:  milliseconds(last - first),
	}
}

// ending is why the choice ended with a chunk; empty if it goes on.
func (c *choice) ending(chunk engine.Chunk) schemas.FinishReason {
	switch {
	case chunk.Finish == "":
		return ""
	case chunk.Finish == engine.FinishLength:
		return schemas.FinishLength
	case c.parser != nil && c.parser.Called():
		return schemas.FinishToolCalls
	}
	return schemas.FinishStop
}
