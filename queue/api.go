package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream error codes that this package acts on.
const (
	codeNoPeers             = 10005
	codeClusterNotAvailable = 10006
	codeSystemUnavailable   = 10008
	codeNoLeader            = 10009
	codeNoMessage           = 10037
	codeNotEnabledAccount   = 10039
	codeNoResources         = 10023
	codeInsufficientPeers   = 10044
	codeStorageResources    = 10047
	codeFence               = 10071
	codeNotEnabled          = 10076
	codeStoreFailed         = 10077
	codeStreamOffline       = 10118
	codeFenceReplicated     = 10164
)

// apiCode is the JetStream error code in err, or 0.
func apiCode(err error) int {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return int(api.ErrorCode)
	}
	return 0
}

// fenced reports whether the expected last sequence was not the last one.
func fenced(err error) bool {
	code := apiCode(err)
	return code == codeFence || code == codeFenceReplicated
}

// noRoom reports whether a limit of storage kept a message out.
func noRoom(err error) bool {
	code := apiCode(err)
	return code == codeStoreFailed || code == codeNoResources
}

// storedMessage is a message as read back from a stream.
type storedMessage struct {
	Sequence uint64
	Subject  string
	Header   nats.Header
	Data     []byte
	Time     time.Time
}

// getRequest is the body of STREAM.MSG.GET and DIRECT.GET.
type getRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	// MultiLast asks for the last message of each subject; directGet only.
	MultiLast []string `json:"multi_last,omitempty"`
	Batch     int      `json:"batch,omitempty"`
	MaxBytes  int      `json:"max_bytes,omitempty"`
}

// leaderGet reads one message from the stream's leader. nats.go's own GetMsg
// asks any replica where direct access is on, and a replica may lag: fencing
// needs the truth. False if there is no such message.
func (q *Queue) leaderGet(ctx context.Context, stream string, r getRequest) (storedMessage, bool, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return storedMessage{}, false, fmt.Errorf("queue: %w", err)
	}
	var reply *nats.Msg
	subject := apiPrefix + "STREAM.MSG.GET." + stream
	err = q.permitted(ctx, subject, func(ctx context.Context) error {
		reply, err = q.nc.RequestWithContext(ctx, subject, body)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return storedMessage{}, false, fmt.Errorf("queue: read %s: %w", stream, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return storedMessage{}, false, fmt.Errorf("queue: read %s: %w", stream, err)
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == codeNoMessage {
			return storedMessage{}, false, nil
		}
		return storedMessage{}, false, fmt.Errorf("queue: read %s: %w", stream, answer.Error)
	}
	m := storedMessage{
		Sequence: answer.Message.Sequence, Subject: answer.Message.Subject,
		Data: answer.Message.Data, Time: answer.Message.Time,
	}
	if len(answer.Message.Header) > 0 {
		// A header that cannot be read is a stranger's; the message counts all
		// the same.
		m.Header, _ = nats.DecodeHeadersMsg(answer.Message.Header)
	}
	return m, true, nil
}

// Statuses of an answer: behind its last message, and where nobody answers. Others
// say that there is no message.
const (
	endOfBatch   = "204"
	noResponders = "503"
)

// Limits of one batch read, well under what a connection may have pending.
const (
	batchMessages = 1024
	batchBytes    = 4 << 20
)

// directBatch reads messages of one subject from a sequence on, in order, until
// visit returns false. It returns the next sequence to read and whether there
// may be more. The answer may come from a replica that lags.
func (q *Queue) directBatch(
	ctx context.Context, stream, subject string, from uint64, visit func(storedMessage) bool,
) (next uint64, more bool, err error) {
	return q.directGet(ctx, stream, getRequest{Sequence: from, NextFor: subject, Batch: batchMessages, MaxBytes: batchBytes}, visit)
}

// directGet is a read with several messages for an answer; what it returns is
// that of directBatch.
func (q *Queue) directGet(
	ctx context.Context, stream string, r getRequest, visit func(storedMessage) bool,
) (next uint64, more bool, err error) {
	from := r.Sequence
	body, err := json.Marshal(r)
	if err != nil {
		return from, false, fmt.Errorf("queue: %w", err)
	}
	// Not a synchronous subscription, which takes a stored message for a status.
	answers, inbox := make(chan *nats.Msg, max(r.Batch, len(r.MultiLast))+1), q.nc.NewInbox()
	sub, err := q.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return from, false, fmt.Errorf("queue: read %s: %w", stream, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // only fails when the connection is gone
	if err := q.nc.PublishRequest(apiPrefix+"DIRECT.GET."+stream, inbox, body); err != nil {
		return from, false, fmt.Errorf("queue: read %s: %w", stream, err)
	}
	for {
		var m *nats.Msg
		select {
		case m = <-answers:
		case <-ctx.Done():
			return from, false, fmt.Errorf("queue: read %s: %w", stream, ctx.Err())
		}
		// A stored message has its place, also one that pretends to be a status.
		if status := m.Header.Get("Status"); status != "" && m.Header.Get(headerSequence) == "" {
			if status == noResponders {
				return from, false, fmt.Errorf("queue: read %s: %w", stream, nats.ErrNoResponders)
			}
			pending, _ := strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
			return from, status == endOfBatch && pending > 0, nil
		}
		got, err := directMessage(m)
		if err != nil {
			return from, false, fmt.Errorf("queue: read %s: %w", stream, err)
		}
		from = got.Sequence + 1
		if !visit(got) {
			return from, false, nil
		}
	}
}

// directMessage reads what the server put into the headers of a direct answer.
// The stored message may carry such headers of its own; the server's come last.
func directMessage(m *nats.Msg) (storedMessage, error) {
	sequence, err := strconv.ParseUint(last(m.Header.Values(headerSequence)), 10, 64)
	if err != nil {
		return storedMessage{}, fmt.Errorf("sequence: %w", err)
	}
	subject := last(m.Header.Values("Nats-Subject"))
	at, err := time.Parse(time.RFC3339Nano, last(m.Header.Values("Nats-Time-Stamp")))
	if err != nil {
		return storedMessage{}, fmt.Errorf("time: %w", err)
	}
	return storedMessage{Sequence: sequence, Subject: subject, Header: m.Header, Data: m.Data, Time: at}, nil
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// streamState is what STREAM.INFO tells about the stored messages.
func (q *Queue) streamState(ctx context.Context, name, filter string) (*jetstream.StreamInfo, error) {
	stream, err := q.stream(ctx, name)
	if err != nil {
		return nil, err
	}
	var opts []jetstream.StreamInfoOpt
	if filter != "" {
		opts = append(opts, jetstream.WithSubjectFilter(filter))
	}
	asked := time.Now()
	info, err := stream.Info(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("queue: info of %s: %w", name, err)
	}
	q.skew.add(info.TimeStamp, asked, time.Now())
	return info, nil
}

// stream returns a handle, which stays good for the life of the connection.
func (q *Queue) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if s, ok := q.streams.Load(name); ok {
		return s.(jetstream.Stream), nil //nolint:forcetypeassert // only this function stores
	}
	var s jetstream.Stream
	err := q.permitted(ctx, apiPrefix+"STREAM.INFO."+name, func(ctx context.Context) (err error) {
		s, err = q.js.Stream(ctx, name)
		return err //nolint:wrapcheck // wrapped below
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoTopology, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("queue: stream %s: %w", name, err)
	}
	q.streams.Store(name, s)
	return s, nil
}
