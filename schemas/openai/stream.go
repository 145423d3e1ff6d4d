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
// Of a chat, the first output of a choice makes a chunk with the role before it,
// and of both kinds each choice's end makes one with the finish reason; the last
// one is followed by the usage where it was asked for. Until the first chunk
// nothing is said, so that a job which ends without output can still be answered
// with a status of its own.
//
// A Stream is for one goroutine.
type Stream struct {
	head       Head
	api        schemas.API
	begun      bool // the first event was seen
	spoken     bool // a chunk was made
	ended      bool // the terminal event was seen
	prompt     int
	completion int
	choices    map[int]*choiceState
}

// choiceState is what is known of one choice so far.
type choiceState struct {
	spoken bool // the chunk with the role was made
	place  textPlace
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
	s := &Stream{head: Head{Model: o.Model}, choices: map[int]*choiceState{}}
	if o.API != nil {
		s.api = *o.API
	}
	return s
}

// Ended reports whether the terminal event was seen: the stream is complete,
// and [DoneData] follows its last chunk.
func (s *Stream) Ended() bool { return s.ended }

// legacy reports whether the job is a completion.
func (s *Stream) legacy() bool { return s.api.Format == schemas.FormatOpenAICompletions }

// Event returns the chunks that one event of the log makes; often none. After
// the terminal event there are no more.
func (s *Stream) Event(e schemas.Event) []Chunk {
	if s.ended {
		return nil
	}
	b := batch{stream: s, event: schemas.ChunkID{Job: e.Job, N: e.N}}
	s.begin(e)
	switch e.Type {
	case schemas.EventSubmitted, schemas.EventRequeued:
	case schemas.EventStarted:
		s.head.SystemFingerprint = shortFingerprint(e.Started.Fingerprint)
		s.prompt = e.Started.PromptTokens
	case schemas.EventDelta:
		b.output(e.Delta.Output)
		if e.Delta.FinishReason != "" {
			b.finish(e.Delta.Choice, e.Delta.FinishReason, nil)
		}
	case schemas.EventDone:
		s.ended = true
		b.output(e.Done.Output)
		s.prompt, s.completion = e.Done.Usage.PromptTokens, e.Done.Usage.CompletionTokens
		b.finish(e.Done.Choice, e.Done.FinishReason, &e.Done.Timings)
		b.usage(&e.Done.Usage)
	case schemas.EventFailed, schemas.EventCancelled, schemas.EventExpired:
		s.ended = true
		b.fail(EndError(e, s.api.Format), endUsage(e))
	}
	return b.chunks
}

// begin takes from the first event what every chunk has in common, and what the
// options left out.
func (s *Stream) begin(e schemas.Event) {
	if e.Submitted != nil {
		if s.head.Model == "" {
			s.head.Model = e.Submitted.Model
		}
		if s.api.Format == "" && e.Submitted.API != nil {
			s.api = *e.Submitted.API
		}
	}
	if s.begun {
		return
	}
	s.begun = true
	s.head.Created = e.Time.Unix()
	s.head.ID, s.head.Object = "chatcmpl-"+e.Job, ObjectChunk
	if s.legacy() {
		s.head.ID, s.head.Object = "cmpl-"+e.Job, ObjectTextCompletion
	}
}

// batch collects the chunks of one event.
type batch struct {
	stream *Stream
	event  schemas.ChunkID
	chunks []Chunk
}

// output adds what a choice said; held-back text makes no chunk.
func (b *batch) output(o schemas.Output) {
	s := b.stream
	c := s.choices[o.Choice]
	if c == nil {
		c = &choiceState{}
		s.choices[o.Choice] = c
	}
	if !s.legacy() && !c.spoken {
		c.spoken = true
		b.choice(o.Choice, ChunkChoice{Delta: Delta{Role: schemas.RoleAssistant, Content: new(string)}}, nil)
	}
	s.completion += len(o.Tokens)
	if s.legacy() {
		if o.Text != "" || len(o.Logprobs) > 0 {
			b.text(o.Choice, TextChoice{Text: o.Text, Logprobs: textLogprobs(o.Logprobs, &c.place)}, nil)
		}
		return
	}
	logprobs := chatLogprobs(o.Logprobs)
	for _, delta := range deltas(o, logprobs != nil) {
		b.choice(o.Choice, ChunkChoice{Delta: delta, Logprobs: logprobs}, nil)
		logprobs = nil // they are said once
	}
}

// deltas are what one output adds to a message, in its order; with always, at
// least one.
func deltas(o schemas.Output, always bool) []Delta {
	var all []Delta
	if o.Reasoning != "" {
		all = append(all, Delta{ReasoningContent: o.Reasoning})
	}
	if o.Text != "" {
		all = append(all, Delta{Content: &o.Text})
	}
	for _, call := range o.ToolCalls {
		piece := ToolCallChunk{Index: call.Index, ID: call.ID, Function: FunctionChunk{Name: call.Name, Arguments: call.Arguments}}
		if call.ID != "" {
			piece.Type = typeFunction
		}
		all = append(all, Delta{ToolCalls: []ToolCallChunk{piece}})
	}
	if len(all) == 0 && always {
		all = append(all, Delta{Content: new(string)})
	}
	return all
}

// finish adds the finish reason of a choice.
func (b *batch) finish(choice int, reason schemas.FinishReason, timings *schemas.Timings) {
	if b.stream.legacy() {
		b.text(choice, TextChoice{FinishReason: &reason}, timings)
		return
	}
	b.choice(choice, ChunkChoice{FinishReason: &reason}, timings)
}

// fail adds the usage so far, where it was asked for, and the error.
func (b *batch) fail(e *Error, u *schemas.Usage) {
	if b.stream.spoken {
		b.usage(u)
	}
	b.add(ErrorBody{Error: *e})
	b.chunks[len(b.chunks)-1].Error = e
}

func (b *batch) choice(index int, c ChunkChoice, timings *schemas.Timings) {
	c.Index = index
	b.chunk([]ChunkChoice{c}, timings)
}

func (b *batch) text(index int, c TextChoice, timings *schemas.Timings) {
	c.Index = index
	b.chunk([]TextChoice{c}, timings)
}

func (b *batch) chunk(choices any, timings *schemas.Timings) {
	s := b.stream
	s.spoken = true
	c := chunk{Head: s.head, Choices: choices, Timings: timings}
	switch {
	case s.api.ContinuousUsage:
		c.Usage = &Usage{PromptTokens: s.prompt, CompletionTokens: s.completion, TotalTokens: s.prompt + s.completion}
	case s.api.IncludeUsage:
		c.Usage = null()
	}
	b.add(c)
}

func (b *batch) usage(u *schemas.Usage) {
	if !b.stream.api.IncludeUsage || u == nil {
		return
	}
	b.add(chunk{Head: b.stream.head, Choices: []struct{}{}, Usage: usageOf(*u)})
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
