package stress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/sse"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// ask is a request for a stream.
type ask struct {
	prompt, agent string
	class         schemas.Class
	// header has more than the above.
	header map[string]string
}

// refusal is an answer of 429: the only one that an overload may have.
type refusal struct {
	message string
	after   time.Duration
}

func (r *refusal) Error() string {
	return fmt.Sprintf("refused, to come again in %v: %s", r.after, r.message)
}

// reply is a stream that was accepted.
type reply struct {
	ask
	job, token string
	response   *http.Response
	events     *sse.Scanner
	text       bytes.Buffer
	// sent, first and last are when the request was sent, and the first and the last
	// text came; pause is the longest time between two.
	sent, first, last time.Time
	pause             time.Duration
}

// body is the request's.
func (a ask) body() []byte {
	data, err := json.Marshal(map[string]any{
		"model": model, "stream": true, "temperature": 0, "messages": []map[string]string{{"role": "user", "content": a.prompt}},
	})
	if err != nil {
		panic(err)
	}
	return data
}

func (a ask) headers() http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "X-Semantic-Agent": {a.agent}, "X-Semantic-Class": {string(a.class)}}
	for name, value := range a.header {
		h.Set(name, value)
	}
	return h
}

// send sends a request and waits for the head of its answer. A refusal is an error:
// *refusal, checked for what a client must be told.
func (s *server) send(ctx context.Context, a ask) (*reply, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.HTTP+"/v1/chat/completions", bytes.NewReader(a.body()))
	if err != nil {
		return nil, err
	}
	request.Header = a.headers()
	r := &reply{ask: a, sent: time.Now()}
	response, err := s.http.Do(request) //nolint:bodyclose // the reply's reader closes it
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, refused(response)
	}
	r.response, r.events = response, sse.NewScanner(response.Body, 1<<20)
	r.job, r.token = response.Header.Get("X-Semantic-Job"), response.Header.Get("X-Semantic-Owner-Token")
	return r, nil
}

// refused reads an answer that is none.
func refused(response *http.Response) error {
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("answer %s, cut short: %w", response.Status, err)
	}
	var body openai.ErrorBody
	if err := json.Unmarshal(text, &body); err != nil || body.Error.Code == nil {
		return fmt.Errorf("answer %s: %q", response.Status, text)
	}
	code := *body.Error.Code
	if response.StatusCode != http.StatusTooManyRequests || code != schemas.CodeQueueFull && code != schemas.CodeTooManyStreams {
		return fmt.Errorf("answer %s: %s: %s", response.Status, code, body.Error.Message)
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || seconds < 1 || response.Header.Get("X-Should-Retry") != "true" {
		return fmt.Errorf("429 with Retry-After %q and X-Should-Retry %q",
			response.Header.Get("Retry-After"), response.Header.Get("X-Should-Retry"))
	}
	return &refusal{message: string(code) + ": " + body.Error.Message, after: time.Duration(seconds) * time.Second}
}

// insist sends a request until it is accepted, as SDKs do, and returns how often it
// was refused. After the first answer it calls heard, if that is not nil.
func (s *server) insist(ctx context.Context, a ask, heard func()) (*reply, int, error) {
	for refusals := 0; ; refusals++ {
		r, err := s.send(ctx, a)
		if refusals == 0 && heard != nil {
			heard()
		}
		full := new(refusal)
		if !errors.As(err, &full) {
			return r, refusals, err
		}
		if !pause(ctx, full.after) {
			return nil, refusals, fmt.Errorf("refused %d times, the last time: %w", refusals+1, err)
		}
	}
}

// pause waits; false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// streamError is one that came in a stream.
type streamError struct{ body openai.Error }

func (e *streamError) Error() string { return "an error in the stream: " + e.body.Message }

// is reports whether a stream ended with that code.
func is(err error, code schemas.Code) bool {
	e := new(streamError)
	return errors.As(err, &e) && e.body.Code != nil && *e.body.Code == code
}

// next reads the next chunk with text; io.EOF at the right end.
func (r *reply) next() error {
	for r.events.Next() {
		if r.events.Data == openai.DoneData {
			return io.EOF
		}
		var chunk struct {
			openai.ChatCompletionChunk
			Error *openai.Error `json:"error"`
		}
		if err := json.Unmarshal([]byte(r.events.Data), &chunk); err != nil {
			return fmt.Errorf("chunk %q: %w", r.events.Data, err)
		}
		if chunk.Error != nil {
			return &streamError{*chunk.Error}
		}
		text := false
		for _, c := range chunk.Choices {
			if c.Delta.Content != nil && *c.Delta.Content != "" {
				r.text.WriteString(*c.Delta.Content)
				text = true
			}
		}
		if !text {
			continue
		}
		now := time.Now()
		if r.first.IsZero() {
			r.first = now
		} else {
			r.pause = max(r.pause, now.Sub(r.last))
		}
		r.last = now
		return nil
	}
	return fmt.Errorf("the stream was cut behind %d bytes: %w", r.text.Len(), errors.Join(r.events.Err(), io.ErrUnexpectedEOF))
}

// finish reads to the end, and holds the answer against what is right.
func (s *server) finish(r *reply) error {
	defer func() { _ = r.response.Body.Close() }()
	for {
		err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("job %s: %w", r.job, err)
		}
	}
	want, err := s.right.Text(r.prompt)
	if err != nil {
		return err
	}
	if got := r.text.String(); got != want {
		return fmt.Errorf("job %s says %.80q (%d bytes), want %.80q (%d bytes)", r.job, got, len(got), want, len(want))
	}
	return nil
}
