package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/sse"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

const (
	// streamSilence is after how long without even a keep-alive a connection is
	// given up: a machine that is gone does not say so.
	streamSilence = time.Minute
	// reconnectFor is how long a gateway may be away in mid-answer: the longest
	// that a job waits by default.
	reconnectFor = 10 * time.Minute
	// Pauses between attempts to reconnect.
	reconnectFirst, reconnectMost = 100 * time.Millisecond, 3 * time.Second
	// abandonBound is how long it may take to cancel what nobody waits for.
	abandonBound = 2 * time.Second
)

// brokenError is the error of a connection or a gateway that ended, under an
// answer that may go on.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// answering is one answer, over as many connections as it takes.
type answering struct {
	client *chatClient
	text   func(string) error
	// job and token are what the gateway calls the job; empty at one that has none.
	job, token string
	// last is the id of the last event that was taken.
	last   string
	finish schemas.FinishReason
}

// stream asks, and calls text with each piece of the answer; an error of that
// ends the answer. It returns why the answer ended. Where the gateway goes away it
// goes on with the next one, behind the last piece.
func (c *chatClient) stream(ctx context.Context, r chatRequest, text func(string) error) (schemas.FinishReason, error) {
	r.Stream = true
	body, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("make the request: %w", err)
	}
	a := &answering{client: c, text: text}
	err = a.read(ctx, http.MethodPost, "/v1/chat/completions", body, "X-Semantic-Resumable", "true")
	if a.job == "" {
		return a.finish, err
	}
	if broken := new(brokenError); errors.As(err, &broken) && ctx.Err() == nil {
		err = a.resume(ctx, err)
	}
	if ended := new(openai.Error); err != nil && !errors.As(err, &ended) {
		a.abandon(ctx)
	}
	return a.finish, err
}

// resume reads on until the answer ends, or nobody has it any more.
func (a *answering) resume(ctx context.Context, err error) error {
	a.client.note("\n(%s; reconnecting)\n", err)
	pause, since, last := reconnectFirst, time.Now(), a.last
	for time.Since(since) < reconnectFor {
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return context.Cause(ctx) //nolint:wrapcheck // the signal is the whole reason
		}
		headers := []string{"X-Semantic-Owner-Token", a.token, "Last-Event-ID", a.last}
		err = a.read(ctx, http.MethodGet, "/v1/jobs/"+a.job+"/events", nil, headers...)
		if broken := new(brokenError); !errors.As(err, &broken) || ctx.Err() != nil {
			return err
		}
		if pause = min(2*pause, reconnectMost); a.last != last {
			a.client.note("\n(%s; reconnecting)\n", err)
			pause, since, last = reconnectFirst, time.Now(), a.last
		}
	}
	return fmt.Errorf("given up after %s: %w", reconnectFor, err)
}

// read makes a request and reads what it is answered, up to the end of the answer
// or of the connection.
func (a *answering) read(ctx context.Context, method, path string, body []byte, headers ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := a.client.do(ctx, method, path, body, headers...)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if job := response.Header.Get("X-Semantic-Job"); job != "" && a.job == "" {
		a.job, a.token = job, response.Header.Get("X-Semantic-Owner-Token")
	}
	silence := time.AfterFunc(streamSilence, cancel)
	defer silence.Stop()
	events := sse.NewScanner(response.Body, maxEvent)
	events.Alive = func() { silence.Reset(streamSilence) }
	for events.Next() {
		if over, err := a.event([]byte(events.Data)); over || err != nil {
			return err
		}
		if events.ID != "" {
			a.last = events.ID
		}
	}
	if err := events.Err(); err != nil {
		return &brokenError{fmt.Errorf("the connection to the gateway broke in mid-answer: %w", err)}
	}
	return &brokenError{errors.New("the connection to the gateway ended in mid-answer")}
}

// event takes the data of one event, and reports whether it is the last.
func (a *answering) event(data []byte) (over bool, err error) {
	if string(data) == openai.DoneData {
		return true, nil
	}
	var event struct {
		openai.ChatCompletionChunk
		Error *openai.Error `json:"error"`
	}
	if err := json.Unmarshal(data, &event); err != nil {
		return false, fmt.Errorf("the gateway sent what is no chunk of an answer: %w", err)
	}
	if event.Error != nil {
		return false, apiError(event.Error)
	}
	for _, choice := range event.Choices {
		if choice.Delta.Content != nil {
			if err := a.text(*choice.Delta.Content); err != nil {
				return false, err
			}
		}
		if choice.FinishReason != nil {
			a.finish = *choice.FinishReason
		}
	}
	return false, nil
}

// abandon cancels the job of an answer that nobody waits for any more. Where that
// fails, the gateway's grace or the job's deadline ends it.
func (a *answering) abandon(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonBound)
	defer cancel()
	response, err := a.client.do(bounded, http.MethodDelete, "/v1/jobs/"+a.job, nil, "X-Semantic-Owner-Token", a.token)
	if err == nil {
		_ = response.Body.Close()
	}
}
