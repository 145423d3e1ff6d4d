package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// Delivery is one claimed job. The goroutine that runs the job owns it; its
// methods may be called from several goroutines, and appends are made one at a
// time. The exported fields do not change.
type Delivery struct {
	// JobID is the id from the message's header, or made of its sequence; Owner,
	// Model, Class and Flow are read from the subject, never from the body.
	JobID, Owner, Model string
	Class               schemas.Class
	Flow                int
	// RequestID is from the message's header; may be empty.
	RequestID string
	// ReplyTo is where events are also published; empty where the job names
	// none, or one that is not allowed.
	ReplyTo string
	// StoredAt is when the server stored the job, by its clock.
	StoredAt time.Time
	// Sequence is the job's sequence in the stream of its class.
	Sequence uint64
	// Deliveries is how often the server has offered the job, this time included.
	Deliveries uint64
	// ClaimedAt is when the message came here, by this machine's clock.
	ClaimedAt time.Time

	q       *Queue
	claimer *Claimer
	logger  *slog.Logger
	o       ClaimOptions
	body    []byte
	log     jobLog // as read at the claim
	trace   trace.SpanContext

	// jobMu guards what is decoded of body; held while the job is fetched.
	jobMu   sync.Mutex
	decoded bool
	job     schemas.Job
	jobErr  error
	input   *schemas.Input // where body only stands for the job
	whole   []byte         // the job itself then, once it is loaded

	// lost is closed when the job is known to be another's.
	lost     chan struct{}
	lostOnce sync.Once

	// messages are the deliveries that this one answers for: its own, and those
	// adopted. Guarded by messagesMu, a leaf.
	messagesMu sync.Mutex
	messages   []*nats.Msg

	// appendMu is held for the whole of an append: one is in flight at a time.
	// It guards what follows.
	appendMu sync.Mutex
	writer   string // marks this delivery's events
	at       logEnd // of the next event
	n        int64  // number of the last event
	ended    bool
	// attempts is the number of the last one; running says that nothing took it back.
	attempts int
	running  bool
	// uncertain is set when it is not known whether the last append landed.
	uncertain bool
}

// newDelivery reads what the message says, and the job's log.
func (q *Queue) newDelivery(ctx context.Context, m *nats.Msg, o ClaimOptions) (*Delivery, error) {
	address, err := parseJobSubject(m.Subject)
	if err != nil {
		return nil, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("queue: claimed message: %w", err)
	}
	header := m.Header
	d := &Delivery{
		JobID: deliveredID(header.Get(schemas.HeaderJobID), address.Class, meta.Sequence.Stream),
		Owner: address.Owner, Model: address.Model, Class: address.Class, Flow: address.Flow,
		RequestID: header.Get(schemas.HeaderRequestID), trace: traceOf(ctx, header), ClaimedAt: time.Now(),
		StoredAt: meta.Timestamp, Sequence: meta.Sequence.Stream, Deliveries: meta.NumDelivered,
		q: q, o: o, body: m.Data, lost: make(chan struct{}), messages: []*nats.Msg{m}, writer: NewJobID(),
	}
	ctx = aboutMessage(ctx, header, m.Subject)
	d.logger = q.logOf(ctx, d.JobID)
	if replyTo := header.Get(schemas.HeaderReplyTo); replyTo != "" {
		if replyAllowed(replyTo, d.Owner, q.config.ReplyPrefixes) {
			d.ReplyTo = replyTo
		} else {
			q.metrics.repliesRefused.Inc()
			d.logger.WarnContext(ctx, "reply_to is not under the owner's inbox and is not used",
				slog.String(schemas.LogOwner, d.Owner), slog.String(schemas.LogReplyTo, replyTo))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, q.config.AckWait/2)
	defer cancel()
	if err := q.readLog(ctx, d.Owner, d.JobID, &d.log); err != nil {
		return nil, err
	}
	d.at, d.n, d.ended = d.log.end(), d.log.n(), d.log.ended()
	d.attempts, d.running = d.log.attempts(), d.log.running() != nil
	return d, nil
}

// Key identifies the job among all: owner and id. A worker that already runs a
// job with this key calls Adopt on the delivery that it has.
func (d *Delivery) Key() string { return ticketKey(d.Owner, d.JobID) }

// Job is the job as it was published, read strictly: *schemas.FieldError, or
// schemas.ErrNewerVersion where the job or its log was written by a newer
// release: hand it back. Large jobs are to be loaded first (Load).
func (d *Delivery) Job() (schemas.Job, error) {
	if d.log.Newer {
		return schemas.Job{}, fmt.Errorf("queue: log of %s: %w", d.JobID, schemas.ErrNewerVersion)
	}
	d.jobMu.Lock()
	defer d.jobMu.Unlock()
	d.decode()
	return d.job, d.jobErr
}

// Agent is the agent that the job names, also of a large job that is not loaded;
// empty where there is none, or it cannot be read.
func (d *Delivery) Agent() string {
	d.jobMu.Lock()
	defer d.jobMu.Unlock()
	d.decode()
	if d.input != nil {
		return d.input.Agent
	}
	return d.job.Agent
}

// PeekDeadline is how long a job that this release cannot read may wait, from
// its StoredAt: what its body says under deadline_ms, as far as that can be read
// and a log lives, else the class's default.
func (d *Delivery) PeekDeadline() time.Duration { return d.q.config.peekDeadline(d.body, d.Class) }

// peekDeadline is that of a job's message, readable or not.
func (c Config) peekDeadline(message []byte, class schemas.Class) time.Duration {
	otherwise := c.DefaultDeadline[class]
	var body map[string]json.RawMessage
	if err := json.Unmarshal(message, &body); err != nil {
		return otherwise
	}
	var ms float64
	if err := json.Unmarshal(body["deadline_ms"], &ms); err != nil || !(ms >= 1) {
		return otherwise
	}
	return time.Duration(min(ms, float64(c.longestDeadline().Milliseconds())) * float64(time.Millisecond))
}

// Log returns the events read at the claim. A copy: change it freely.
func (d *Delivery) Log() []schemas.Event { return d.log.events() }

// Guilt is what the job's log as read at the claim, and the registry as it is now,
// say about workers that died on the job. Right after an outage of the broker, when
// every entry may have run out, only incarnations that were replaced count as dead.
func (d *Delivery) Guilt() Guilt { return guiltOf(d.log.events(), d.o.Incarnation, d.isDead) }

// Charge makes the job's flow pay for tokens, of prompts that had to be computed,
// in its turns at this claimer. What turns out not to be needed is given back by a
// negative number.
func (d *Delivery) Charge(tokens int) {
	d.claimer.mu.Lock()
	defer d.claimer.mu.Unlock()
	d.claimer.charges[slices.Index(schemas.Classes(), d.Class)][d.Flow] += tokens
}

// BrokerTime is what the broker's clock said at a time of this machine's, as far as
// their difference is known. StoredAt, and the times of the log, are the broker's.
func (d *Delivery) BrokerTime(here time.Time) time.Time { return d.q.skew.brokerTime(here) }

// Lost is closed when an append was fenced: the job is another's now.
func (d *Delivery) Lost() <-chan struct{} { return d.lost }

// Append stores the next event; Version, Job, N and Time are set here. One
// append is in flight at a time, others wait. While the broker is away it
// waits, and what is uncertain is settled by reading back. When it is stored,
// the event is also published to ReplyTo.
//
// Errors: ErrFenced (the job is another's now: stop), ErrTerminal (the job has
// ended), ErrStorageFull (not stored), *schemas.FieldError (not stored),
// schemas.ErrNewerVersion (a newer release writes this log: its events cannot be
// numbered here). When
// ctx ends first: ErrUnavailable, and the event may or may not be in the log;
// the next Append finds out before it stores anything.
func (d *Delivery) Append(ctx context.Context, e schemas.Event) error {
	d.appendMu.Lock()
	defer d.appendMu.Unlock()
	ctx = withModel(WithRequestID(ctx, d.RequestID), d.Model)
	if d.log.Newer {
		return fmt.Errorf("queue: log of %s: %w", d.JobID, schemas.ErrNewerVersion)
	}
	for {
		if err := d.settle(ctx); err != nil {
			return err
		}
		if d.ended {
			return ErrTerminal
		}
		e.Version, e.Job, e.N, e.Time = schemas.Version, d.JobID, d.n+1, time.Now()
		data, err := schemas.EncodeEvent(e)
		if err != nil {
			return err
		}
		mark := d.writer + "." + strconv.FormatInt(e.N, 10)
		before := d.at.after
		at, err := d.q.appendEvent(ctx, e.Type, EventSubject(d.Owner, d.JobID), mark, d.at, data)
		switch {
		case err == nil:
			d.stored(at.after, e, at.connection)
			d.publishReply(at.after, data)
			return nil
		case errors.Is(err, ErrFenced):
			if err := d.overtaken(ctx); err != nil {
				return err
			}
			if d.at.after != before {
				continue
			}
			d.lose()
			return err
		case errors.Is(err, ErrUnavailable):
			d.uncertain = true
		}
		return err
	}
}

// overtaken looks at what came before a refused append and moves on where that
// is not another writer's: an earlier append of ours, given up as lost, that
// landed after all; or entries that are no events (junk must not cost a job
// its worker).
func (d *Delivery) overtaken(ctx context.Context) error {
	if d.uncertain {
		before := d.at.after
		if err := d.readBack(ctx); err != nil || d.at.after != before {
			return err
		}
	}
	since := jobLog{Last: d.at.after}
	if d.n > 0 {
		since.Entries = []logEntry{{Event: schemas.Event{N: d.n}}}
	}
	known := len(since.Entries)
	if err := d.q.readLog(ctx, d.Owner, d.JobID, &since); err != nil {
		return err
	}
	if len(since.Entries) == known && !since.Newer {
		d.at.after = since.Last
	}
	return nil
}

// settle finds out about an append whose answer was lost.
func (d *Delivery) settle(ctx context.Context) error {
	select {
	case <-d.lost:
		return ErrFenced
	default:
	}
	if !d.uncertain {
		return nil
	}
	return d.readBack(ctx)
}

// readBack looks whether the log's last event is ours, and if so goes on from
// there.
func (d *Delivery) readBack(ctx context.Context) error {
	return d.q.retry(ctx, func(ctx context.Context) error {
		connection := d.q.link.connection()
		end, found, err := d.q.leaderGet(ctx, streamEvents, getRequest{LastFor: EventSubject(d.Owner, d.JobID)})
		if err != nil || !found || end.Sequence <= d.at.after {
			return err
		}
		event, err := schemas.DecodeEvent(end.Data)
		if err != nil || event.N != d.n+1 || end.Header.Get(headerWriter) != d.writer+"."+strconv.FormatInt(event.N, 10) {
			return nil //nolint:nilerr // not ours: the fence will tell
		}
		d.stored(end.Sequence, event, connection)
		d.publishReply(end.Sequence, end.Data)
		return nil
	})
}

// stored moves on to the place after an event that the log has, as was seen over
// that connection.
func (d *Delivery) stored(sequence uint64, e schemas.Event, connection uint64) {
	d.at = logEnd{after: sequence, known: logEntry{Sequence: sequence, Event: e}, connection: connection}
	d.n, d.ended, d.uncertain = e.N, e.Type.Terminal(), false
	d.q.metrics.appends.WithLabelValues(string(e.Type)).Inc()
	switch {
	case e.Started != nil:
		d.attempts, d.running = e.Started.Attempt, true
	case e.Requeued != nil:
		d.running = false
		d.q.metrics.requeued(d.Class, e.Requeued.Reason)
	case d.ended:
		d.q.metrics.ended(d.Class, e, d.attempts, d.running)
	}
}

func (d *Delivery) lose() { d.lostOnce.Do(func() { close(d.lost) }) }

// publishReply sends an event that the log accepted to the job's reply_to. It
// may get lost; the log is the truth.
func (d *Delivery) publishReply(sequence uint64, data []byte) {
	if d.ReplyTo == "" {
		return
	}
	if err := d.q.publishReply(d.ReplyTo, sequence, data); err != nil {
		d.logger.Debug("reply not sent", slog.Any(schemas.LogError, err))
	}
}

func (q *Queue) publishReply(replyTo string, sequence uint64, data []byte) error {
	err := q.nc.PublishMsg(&nats.Msg{
		Subject: replyTo, Data: data, Header: nats.Header{headerSequence: {strconv.FormatUint(sequence, 10)}},
	})
	if err != nil {
		return fmt.Errorf("queue: reply: %w", err)
	}
	return nil
}

// repeatLast sends the last logged event to reply_to again: the worker before
// may have died between the two. Readers drop repeats by their number.
func (d *Delivery) repeatLast() {
	if d.ReplyTo == "" || len(d.log.Entries) == 0 {
		return
	}
	end := d.log.Entries[len(d.log.Entries)-1]
	if data, err := schemas.EncodeEvent(end.Event); err == nil {
		d.publishReply(end.Sequence, data)
	}
}

// held returns the messages this delivery answers for.
func (d *Delivery) held() []*nats.Msg {
	d.messagesMu.Lock()
	defer d.messagesMu.Unlock()
	return append([]*nats.Msg(nil), d.messages...)
}

// KeepAlive sends a heartbeat every third of AckWait until ctx ends, then
// returns nil; ErrFenced when the job was lost meanwhile. Run it in a goroutine
// beside the job's.
func (d *Delivery) KeepAlive(ctx context.Context) error {
	ticker := time.NewTicker(d.q.config.AckWait / 3)
	defer ticker.Stop()
	for {
		_, changed := d.q.link.state()
		select {
		case <-ticker.C:
		case <-changed: // take the job back at once after an outage
		case <-d.lost:
			return ErrFenced
		case <-ctx.Done():
			return nil
		}
		for _, m := range d.held() {
			_ = m.InProgress() // a lost beat is made up by the next
		}
	}
}
