package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// Headers of an event's message.
const (
	// headerWriter tells its writer an event whose acknowledgement was lost.
	headerWriter = "Semantic-Writer"
	// headerSequence and headerLastSequence are set by the server on the live
	// feed: the event's sequence in EVENTS, and that of the event before it in
	// the same log. Workers set headerSequence on what they send to reply_to.
	headerSequence     = "Nats-Sequence"
	headerLastSequence = "Nats-Last-Sequence"
)

// logEntry is an event and its place in EVENTS.
type logEntry struct {
	Sequence uint64
	Event    schemas.Event
	Time     time.Time
	// Trace is that of the span that wrote it, where it was read and has one.
	Trace trace.SpanContext
}

// jobLog is a job's log as far as it was read. Entries that are no event of
// the job (somebody without rights of their own can have the server's
// acknowledgement stored there) are skipped; the fence counts them.
type jobLog struct {
	Entries []logEntry
	// Last is the sequence of the last entry, junk included; 0 if none.
	Last uint64
	// Newer is set when an entry was written by a newer release.
	Newer bool
	// Connection is the one that the end was read from.
	Connection uint64
}

// logEnd is where the next event of a log goes.
type logEnd struct {
	// after is the sequence of the last entry, 0 if none.
	after uint64
	// known is the last event; zero if none.
	known logEntry
	// connection is the one that both were read from, or written to.
	connection uint64
}

// end is the place after what was read.
func (l jobLog) end() logEnd {
	p := logEnd{after: l.Last, connection: l.Connection}
	if len(l.Entries) > 0 {
		p.known = l.Entries[len(l.Entries)-1]
	}
	return p
}

// n is the number of the last event, 0 if none.
func (l jobLog) n() int64 {
	if len(l.Entries) == 0 {
		return 0
	}
	return l.Entries[len(l.Entries)-1].Event.N
}

func (l jobLog) ended() bool {
	return len(l.Entries) > 0 && l.Entries[len(l.Entries)-1].Event.Type.Terminal()
}

func (l jobLog) events() []schemas.Event {
	events := make([]schemas.Event, len(l.Entries))
	for i, e := range l.Entries {
		events[i] = e.Event
	}
	return events
}

// running returns the last started event that nothing took back.
func (l jobLog) running() *schemas.Started {
	for i := len(l.Entries) - 1; i >= 0; i-- {
		switch e := l.Entries[i].Event; {
		case e.Type == schemas.EventStarted:
			return e.Started
		case e.Type == schemas.EventRequeued, e.Type.Terminal():
			return nil
		}
	}
	return nil
}

// attempts is the number of the last attempt, 0 if none began.
func (l jobLog) attempts() int {
	for i := len(l.Entries) - 1; i >= 0; i-- {
		if started := l.Entries[i].Event.Started; started != nil {
			return started.Attempt
		}
	}
	return 0
}

// class is the job's, "" where neither its log nor its id says it.
func (l jobLog) class(jobID string) schemas.Class {
	if len(l.Entries) > 0 && l.Entries[0].Event.Submitted != nil {
		if address, err := parseJobSubject(l.Entries[0].Event.Submitted.Subject); err == nil {
			return address.Class
		}
	}
	class, _, _ := parseSequenceID(jobID)
	return class
}

// usage adds up what the job has used so far; nil if it never started.
func (l jobLog) usage() *schemas.Usage {
	var u *schemas.Usage
	for _, e := range l.Entries {
		switch {
		case e.Event.Started != nil:
			if u == nil {
				u = &schemas.Usage{}
			}
			u.PromptTokens = e.Event.Started.PromptTokens
		case e.Event.Delta != nil && u != nil:
			u.CompletionTokens += len(e.Event.Delta.Tokens)
		}
	}
	return u
}

// accept adds a stored message to the log, if it is its next event.
func (q *Queue) accept(ctx context.Context, l *jobLog, jobID string, m storedMessage) {
	if m.Sequence <= l.Last {
		return
	}
	l.Last = m.Sequence
	event, err := schemas.DecodeEvent(m.Data)
	switch {
	case errors.Is(err, schemas.ErrNewerVersion):
		l.Newer = true
	case err != nil, event.Job != jobID, event.N != l.n()+1, l.ended():
		q.metrics.junk.Inc()
		q.logOf(ctx, jobID).WarnContext(ctx, "entry in a job's log is no event of it", slog.Uint64(schemas.LogSequence, m.Sequence))
	default:
		l.Entries = append(l.Entries, logEntry{Sequence: m.Sequence, Event: event, Time: m.Time, Trace: traceOf(ctx, m.Header)})
	}
}

// readLog brings l up to the end that the stream's leader knows. A zero jobLog
// is read from the start.
func (q *Queue) readLog(ctx context.Context, owner, jobID string, l *jobLog) error {
	return q.readSubject(ctx, EventSubject(owner, jobID), jobID, l)
}

// readSubject is readLog where the owner's token is no slug.
func (q *Queue) readSubject(ctx context.Context, subject, jobID string, l *jobLog) error {
	return q.retry(ctx, func(ctx context.Context) error { return q.readSubjectOnce(ctx, subject, jobID, l) })
}

func (q *Queue) readSubjectOnce(ctx context.Context, subject, jobID string, l *jobLog) error {
	l.Connection = q.link.connection()
	end, found, err := q.leaderGet(ctx, streamEvents, getRequest{LastFor: subject})
	if err != nil || !found || end.Sequence <= l.Last {
		return err
	}
	// Most logs are read when they hold one event, or one more than before.
	if event, err := schemas.DecodeEvent(end.Data); err == nil && event.N == l.n()+1 {
		q.accept(ctx, l, jobID, end)
		return nil
	}
	for l.Last < end.Sequence {
		before := l.Last
		_, _, err := q.directBatch(ctx, streamEvents, subject, l.Last+1, func(m storedMessage) bool {
			q.accept(ctx, l, jobID, m)
			return true
		})
		if err != nil {
			return err
		}
		if l.Last > before {
			continue
		}
		// The replica that answered lags: ask the leader.
		m, found, err := q.leaderGet(ctx, streamEvents, getRequest{Sequence: l.Last + 1, NextFor: subject})
		if err != nil {
			return err
		}
		if !found {
			return nil // purged meanwhile
		}
		q.accept(ctx, l, jobID, m)
	}
	return nil
}

// Log reads all events of a job; none if there are none. ErrUnavailable when
// ctx ends before the broker answered.
func (q *Queue) Log(ctx context.Context, owner, jobID string) ([]schemas.Event, error) {
	owner, err := checkJob(owner, jobID)
	if err != nil {
		return nil, err
	}
	var l jobLog
	if err := q.readLog(ctx, owner, jobID, &l); err != nil {
		return nil, err
	}
	return l.events(), nil
}

// checkJob applies the default owner and checks the id.
func checkJob(owner, jobID string) (string, error) {
	if owner == "" {
		owner = OwnerLocal
	}
	if !ValidJobID(jobID) {
		return "", fmt.Errorf("%w: job id %q", ErrInvalid, jobID)
	}
	return owner, nil
}

// holds reports whether a log still has an event that was read from it, or
// written to it. A sole broker that lost its power comes back without what it had
// not synced, and gives its sequences to other events.
func (q *Queue) holds(ctx context.Context, jobID string, known logEntry) (bool, error) {
	m, found, err := q.leaderGet(ctx, streamEvents, getRequest{Sequence: known.Sequence})
	if err != nil || !found {
		return false, err
	}
	event, err := schemas.DecodeEvent(m.Data)
	return err == nil && event.Job == jobID && event.N == known.Event.N && event.Time.Equal(known.Event.Time), nil
}

// appendEvent stores data as the event at a place of the subject, with the trace
// context of ctx unless it is a delta.
// ErrFenced if another came before, or if what is before is there no more. It
// returns the place with the event's own sequence; its last event is for the
// caller to fill in. When the answer is lost it tries again:
// the fence lets the event in once, and the writer's mark tells whether a
// refusal is due to our own first try. If ctx ends meanwhile the error is
// ErrUnavailable and it is not known whether the event was stored.
func (q *Queue) appendEvent(
	ctx context.Context, kind schemas.EventType, subject, mark string, at logEnd, data []byte,
) (logEnd, error) {
	uncertain := false
	start := time.Now()
	err := q.retryOn(ctx, subject, func(ctx context.Context) error {
		now := q.link.connection()
		if now != at.connection && at.known.Sequence > 0 {
			held, err := q.holds(ctx, at.known.Event.Job, at.known)
			if err != nil {
				return err
			}
			if !held {
				return ErrFenced
			}
		}
		at.connection = now
		header := nats.Header{
			jetstream.ExpectedStreamHeader:      {streamEvents},
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(at.after, 10)},
			headerWriter:                        {mark},
		}
		if kind != schemas.EventDelta {
			carryTrace(ctx, header)
		}
		ack, err := q.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data, Header: header}, jetstream.WithRetryAttempts(0))
		switch {
		case err == nil:
			at.after = ack.Sequence
			return nil
		case fenced(err):
			if !uncertain {
				return ErrFenced
			}
			end, found, err := q.leaderGet(ctx, streamEvents, getRequest{LastFor: subject})
			if err != nil {
				return err
			}
			if found && end.Header.Get(headerWriter) == mark {
				at.after = end.Sequence
				return nil
			}
			return ErrFenced
		case apiCode(err) == codeStoreFailed, apiCode(err) == codeNoResources:
			return fmt.Errorf("%w: event log: %w", ErrStorageFull, err)
		case transient(err):
			if !uncertain {
				q.metrics.uncertain.Inc()
			}
			uncertain = true
		}
		return fmt.Errorf("queue: append: %w", err)
	})
	switch {
	case errors.Is(err, ErrFenced):
		q.metrics.fenced.Inc()
	case err == nil:
		q.metrics.appendSeconds.Observe(time.Since(start).Seconds())
	}
	return at, err
}
