package openai

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// ErrUnfinished is returned for a log that has no end yet.
var ErrUnfinished = errors.New("openai: the job's log has no end yet")

// StreamOptions say how to render a job's log. What is left out is taken from
// the log's submitted event, where there is one.
type StreamOptions struct {
	// Model is the plain name of the model that answers.
	Model string
	// API says what the client asked for.
	API *schemas.API
}

// Stream turns a job's log into the chunks of a stream. It must be given every
// event from the first on, in order; then the chunks and their ids are the
// same on every gateway. Whoever resumes a stream replays the log and drops
// the chunks up to the last id that the client has ([schemas.ChunkID.After]).
//
// The first output makes a chunk with the role before it, the end makes one
// with the finish reason, and one with the usage where it was asked for. Until
// the first chunk nothing is said, so that a job which ends without output can
// still be answered with a status of its own.
//
// A Stream is for one goroutine.
type Stream struct {
	head       ChatCompletionChunk // what every chunk has in common
	api        schemas.API
	begun      bool // the first event was seen
	spoken     bool // the chunk with the role was made
	ended      bool // the terminal event was seen
	prompt     int
	completion int
}

// Chunk is one server-sent event.
type Chunk struct {
	// ID is the id field of the server-sent event.
	ID schemas.ChunkID
	// Data is the data field: one line of JSON.
	Data []byte
	// Error is set on the last chunk of a stream that broke; Data holds it too.
	Error *Error
}

// NewStream makes a stream for a job's log.
func NewStream(o StreamOptions) *Stream {
	s := &Stream{head: ChatCompletionChunk{Object: ObjectChunk, Model: o.Model}}
	if o.API != nil {
		s.api = *o.API
	}
	return s
}

// Ended reports whether the terminal event was seen: the stream is complete,
// and [DoneData] follows its last chunk.
func (s *Stream) Ended() bool { return s.ended }

// Event returns the chunks that one event of the log makes; often none. After
// the terminal event there are no more.
func (s *Stream) Event(e schemas.Event) []Chunk {
	if s.ended {
		return nil
	}
	if !s.begun {
		s.begun = true
		s.head.ID = completionID(e.Job)
		s.head.Created = e.Time.Unix()
	}
	b := batch{stream: s, event: schemas.ChunkID{Job: e.Job, N: e.N}}
	switch e.Type {
	case schemas.EventSubmitted:
		s.submitted(e.Submitted)
	case schemas.EventStarted:
		s.head.SystemFingerprint = shortFingerprint(e.Started.Fingerprint)
		s.prompt = e.Started.PromptTokens
	case schemas.EventDelta:
		b.output(e.Delta.Tokens, e.Delta.Text)
	case schemas.EventRequeued:
	case schemas.EventDone:
		s.ended = true
		b.output(e.Done.Tokens, e.Done.Text)
		b.finish(e.Done)
	case schemas.EventFailed, schemas.EventCancelled, schemas.EventExpired:
		s.ended = true
		b.fail(EndError(e), endUsage(e))
	}
	return b.chunks
}

// submitted fills in what the options left out.
func (s *Stream) submitted(e *schemas.Submitted) {
	if s.head.Model == "" {
		s.head.Model = e.Model
	}
	if s.api.Format == "" && e.API != nil {
		s.api = *e.API
	}
}

// batch collects the chunks of one event.
type batch struct {
	stream *Stream
	event  schemas.ChunkID
	chunks []Chunk
}

// output adds what the model said; held-back text makes no chunk.
func (b *batch) output(tokens []int32, text string) {
	s := b.stream
	if !s.spoken {
		s.spoken = true
		b.choice(Delta{Role: schemas.RoleAssistant, Content: new(string)}, nil, nil)
	}
	s.completion += len(tokens)
	if text != "" {
		b.choice(Delta{Content: &text}, nil, nil)
	}
}

// finish adds the finish reason and, where it was asked for, the usage.
func (b *batch) finish(d *schemas.Done) {
	s := b.stream
	s.prompt, s.completion = d.Usage.PromptTokens, d.Usage.CompletionTokens
	b.choice(Delta{}, &d.FinishReason, &d.Timings)
	b.usage(&d.Usage)
}

// fail adds the usage so far, where it was asked for, and the error.
func (b *batch) fail(e *Error, u *schemas.Usage) {
	if b.stream.spoken {
		b.usage(u)
	}
	b.add(ErrorBody{Error: *e})
	b.chunks[len(b.chunks)-1].Error = e
}

func (b *batch) choice(delta Delta, finish *schemas.FinishReason, timings *schemas.Timings) {
	s := b.stream
	chunk := s.head
	chunk.Choices = []ChunkChoice{{Delta: delta, FinishReason: finish}}
	chunk.Timings = timings
	switch {
	case s.api.ContinuousUsage:
		chunk.Usage = &Usage{PromptTokens: s.prompt, CompletionTokens: s.completion, TotalTokens: s.prompt + s.completion}
		b.add(chunk)
	case s.api.IncludeUsage:
		b.add(nullUsageChunk{ChatCompletionChunk: chunk})
	default:
		b.add(chunk)
	}
}

func (b *batch) usage(u *schemas.Usage) {
	if !b.stream.api.IncludeUsage || u == nil {
		return
	}
	chunk := b.stream.head
	chunk.Choices = []ChunkChoice{}
	chunk.Usage = usageOf(*u)
	b.add(chunk)
}

// nullUsageChunk is a chunk whose usage is there, and null.
type nullUsageChunk struct {
	ChatCompletionChunk
	Usage *Usage `json:"usage"`
}

func (b *batch) add(doc any) {
	id := b.event
	id.K = len(b.chunks)
	b.chunks = append(b.chunks, Chunk{ID: id, Data: encode(doc)})
}

// encode writes one line of JSON. The types of this package hold nothing that
// JSON could not say, so there is no error to return.
func encode(doc any) []byte {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(doc)
	return bytes.TrimSuffix(line.Bytes(), []byte("\n"))
}

// Completion renders a whole log as the answer to a request without stream.
// Where the job ended without an answer the error is an [*Error]; where it has
// not ended, [ErrUnfinished].
func Completion(events []schemas.Event, o StreamOptions) (*ChatCompletion, error) {
	s := NewStream(o)
	var text strings.Builder
	for _, e := range events {
		s.Event(e)
		if end := EndError(e); end != nil {
			return nil, end
		}
		if e.Delta != nil {
			text.WriteString(e.Delta.Text)
		}
		if e.Done == nil {
			continue
		}
		text.WriteString(e.Done.Text)
		return &ChatCompletion{
			ID:                s.head.ID,
			Object:            ObjectCompletion,
			Created:           s.head.Created,
			Model:             s.head.Model,
			SystemFingerprint: s.head.SystemFingerprint,
			Choices: []Choice{{
				Message:      Message{Role: schemas.RoleAssistant, Content: text.String()},
				FinishReason: e.Done.FinishReason,
			}},
			Usage:   *usageOf(e.Done.Usage),
			Timings: &e.Done.Timings,
		}, nil
	}
	return nil, ErrUnfinished
}

// completionID is the id that clients see.
func completionID(job string) string { return "chatcmpl-" + job }

// shortFingerprint is enough of a fingerprint to see that it changed: the
// beginning of a hash, or of the hash of what is none.
func shortFingerprint(fingerprint string) string {
	const length = 12
	digits := strings.TrimPrefix(fingerprint, "sha256:")
	if _, err := hex.DecodeString(digits); err != nil || len(digits) < length {
		sum := sha256.Sum256([]byte(fingerprint))
		digits = hex.EncodeToString(sum[:])
	}
	return "fp_" + digits[:length]
}
