package engine

import (
	"context"
	"io"
	"sync"
)

// output is what a sequence generated and nobody read yet. The loop appends and
// never waits; one reader takes everything at once.
type output struct {
	maxTokens, maxBytes int
	// ready is signalled after a change.
	ready chan struct{}
	// room is called, without the lock, when a full buffer was emptied.
	room func()

	// wantLogprobs: the reader asked for log probabilities.
	wantLogprobs bool

	mu       sync.Mutex
	tokens   []Token
	logprobs []TokenLogprob
	text     []byte
	// end is set by put, err by fail; one of them, once.
	end *Chunk
	err error
	// read: the last chunk was taken.
	read bool
}

// put appends tokens and the text that they released. With end, the buffer is
// the last chunk from then on: the text released by the end is never seen
// without it.
func (o *output) put(end *Chunk, text []byte, chosen ...choice) {
	o.mu.Lock()
	for _, c := range chosen {
		o.tokens = append(o.tokens, c.token)
		if o.wantLogprobs {
			o.logprobs = append(o.logprobs, c.logprob)
		}
	}
	o.text = append(o.text, text...)
	o.end = end
	o.mu.Unlock()
	o.signal()
}

// fail lets the reader have err after what is in the buffer.
func (o *output) fail(err error) {
	o.mu.Lock()
	o.err = err
	o.mu.Unlock()
	o.signal()
}

// full reports whether the sequence must sit out.
func (o *output) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fullLocked()
}

func (o *output) fullLocked() bool {
	return len(o.tokens) >= o.maxTokens || len(o.text) >= o.maxBytes
}

func (o *output) signal() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// next waits until there is something to take.
func (o *output) next(ctx context.Context) (Chunk, error) {
	for {
		chunk, ok, err := o.take()
		if ok || err != nil {
			return chunk, err
		}
		select {
		case <-o.ready:
		case <-ctx.Done():
			return Chunk{}, context.Cause(ctx) //nolint:wrapcheck // the caller's own error
		}
	}
}

func (o *output) take() (_ Chunk, ok bool, err error) {
	o.mu.Lock()
	wasFull := o.fullLocked()
	chunk := Chunk{Tokens: o.tokens, Text: string(o.text), Logprobs: o.logprobs}
	ok = len(o.tokens) > 0 || len(o.text) > 0
	o.tokens, o.logprobs, o.text = nil, nil, o.text[:0]
	switch {
	case o.end != nil && !o.read:
		o.read, ok = true, true
		chunk.Finish, chunk.Usage, chunk.Timings = o.end.Finish, o.end.Usage, o.end.Timings
	case o.end != nil:
		err = io.EOF
	case !ok:
		err = o.err
	}
	o.mu.Unlock()
	if wasFull {
		o.room()
	}
	return chunk, ok, err
}
