package worker

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/schemas"
)

// errContradiction: the log does not say what this worker would have said. The
// fingerprints are equal, so one of the two is wrong, and going on would join
// two different texts.
var errContradiction = errors.New("the job's log contradicts the model's text of its tokens")

// choice is one of a job's answers, and one sequence of the engine. Of the run's
// goroutine, but for seq, which the choice's reader shares as told at read.
type choice struct {
	jobID  string
	index  int
	prompt int       // whose choice it is
	before choiceLog // what earlier attempts logged

	vocabulary engine.Vocabulary
	parser     *chat.Parser // nil where all text is said
	// owed was generated but is not in the log, which the worker before did not
	// come to write; ahead is in the log, but of what is generated only later.
	owed, ahead []piece

	seq *engine.Sequence
	// resume lets the reader take the next chunk.
	resume chan struct{}
	// last has the usage and the timings of the end.
	last engine.Chunk
	// traced: there are spans of it until its first token; over: of all of it.
	traced, over bool
}

// choices are a job's that have not ended in the log, with what the earlier
// attempts logged taken in.
func (r *run) choices(t *task) ([]*choice, error) {
	total := len(t.prompts) * t.each
	var open []*choice
	for i := range total {
		c := &choice{
			jobID: r.delivery.JobID, index: i, prompt: i / t.each, before: r.history.choices[i],
			vocabulary: r.w.engine.Vocabulary(), resume: make(chan struct{}, 1),
		}
		if c.before.ended {
			continue
		}
		if t.plan != nil {
			c.parser = t.plan.Parser()
		}
		if err := c.replay(t); err != nil {
			return nil, err
		}
		open = append(open, c)
	}
	for i := range r.history.choices {
		if i < 0 || i >= total {
			return nil, fmt.Errorf("%w: it has choice %d of %d", errContradiction, i, total)
		}
	}
	if len(open) == 0 {
		return nil, fmt.Errorf("%w: all of its choices have ended, but not the job", errContradiction)
	}
	return open, nil
}

// replay takes in what the log has of the choice.
func (c *choice) replay(t *task) error {
	text, _ := engine.ReplayText(c.vocabulary, t.request.Stop, t.request.Special, c.before.tokens)
	said := join(nil, piece{kind: pieceText, text: t.prompts[c.prompt].echo})
	said = join(said, c.parse(text, false)...)
	var ok bool
	if c.ahead, c.owed, ok = subtract(c.before.pieces, said); !ok {
		return fmt.Errorf("%w: of choice %d, after %d tokens", errContradiction, c.index, len(c.before.tokens))
	}
	return nil
}

// parse makes pieces of text, all of it if no more follows.
func (c *choice) parse(text string, last bool) []piece {
	if c.parser == nil {
		return join(nil, piece{kind: pieceText, text: text})
	}
	pieces := parsed(c.parser.Push(text))
	if last {
		pieces = join(pieces, parsed(c.parser.Finish())...)
	}
	return pieces
}

// outputs are what is to be logged of a chunk.
func (c *choice) outputs(chunk engine.Chunk) ([]schemas.Output, error) {
	said := join(c.owed, c.parse(chunk.Text, chunk.Finish != "")...)
	ahead, said, ok := subtract(c.ahead, said)
	if !ok || len(ahead) > 0 && chunk.Finish != "" {
		return nil, fmt.Errorf("%w: of choice %d, which went on otherwise", errContradiction, c.index)
	}
	c.owed, c.ahead = nil, ahead
	out := schemas.Output{Choice: c.index, Tokens: chunk.Tokens, Logprobs: logprobs(chunk.Logprobs, c.vocabulary)}
	return pack(out, said, func(call int) string { return callID(c.jobID, c.index, call) }), nil
}

// submit hands the choices to the engine, in their order. On an error some of
// them may have a sequence.
func (r *run) submit(ctx context.Context, t *task, choices []*choice, seed int64) error {
	for _, c := range choices {
		request := t.request
		request.ID = r.sequenceID(c.index)
		request.Prompt = t.prompts[c.prompt].tokens
		request.Emitted = c.before.tokens
		request.Seed = seed + int64(c.index%t.each)
		request.Alone = r.isolated
		request.InterToken = r.w.metrics.interToken.WithLabelValues(string(r.delivery.Class))
		// A worker with a longer context may have generated more than fits here.
		limit := r.w.engine.Limits().Context
		if n := len(request.Prompt) + len(request.Emitted); n > limit {
			return fieldOf(&engine.ContextLengthError{Prompt: n, Context: limit}, t.prompts[c.prompt].field)
		}
		seq, err := r.w.engine.Submit(ctx, request)
		if err != nil {
			return fieldOf(err, t.prompts[c.prompt].field)
		}
		c.seq = seq
		r.attach(seq)
	}
	return nil
}

// sequenceID is the engine's name of a choice in this claim: the same job may be
// claimed again before the engine has let go of a dropped sequence.
func (r *run) sequenceID(choice int) string {
	id := r.delivery.JobID + "#" + strconv.FormatUint(r.number, 10)
	if choice > 0 {
		id += "." + strconv.Itoa(choice)
	}
	return id
}

// chunkOf is what a choice's reader took: a chunk, or the error that is the end.
type chunkOf struct {
	choice *choice
	chunk  engine.Chunk
	err    error
}

// read hands the choice's chunks over until its end, or until ctx ends. After
// each it waits for resume; until then the receiver may use the sequence.
func (c *choice) read(ctx context.Context, chunks chan<- chunkOf) {
	for {
		chunk, err := c.seq.Next(ctx)
		select {
		case chunks <- chunkOf{c, chunk, err}:
		case <-ctx.Done():
			return
		}
		if err != nil || chunk.Finish != "" {
			return
		}
		select {
		case <-c.resume:
		case <-ctx.Done():
			return
		}
	}
}

// more adds to a chunk what was generated since it was taken: everything that
// there is goes into one event. The reader must be waiting for resume; over is a
// context that has ended.
func (c *choice) more(over context.Context, chunk engine.Chunk) engine.Chunk {
	next, err := c.seq.Next(over) // what there is, without waiting
	if err != nil {
		return chunk // nothing, or an end, which the reader is told too
	}
	next.Tokens = append(chunk.Tokens, next.Tokens...)
	next.Logprobs = append(chunk.Logprobs, next.Logprobs...)
	next.Text = chunk.Text + next.Text
	return next
}
