package queue

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// secretSize is the length of the deployment's secret, in bytes.
const secretSize = 32

// subjectSecret is the key in its bucket.
const subjectSecret = "$KV." + bucketSecrets + ".deployment"

// knownSecret is the secret as it was read over one connection: a broker that
// comes back may have lost it.
type knownSecret struct {
	value      [secretSize]byte
	connection uint64
}

// Secret returns the deployment's secret, 32 random bytes: the same for every
// process on this broker, and over restarts, for as long as the broker keeps it.
// Whoever asks first makes it. Derive from it with an HMAC and a purpose of your
// own; never show it. ErrUnavailable when ctx ends before the broker answered.
func (q *Queue) Secret(ctx context.Context) ([]byte, error) {
	if known := q.secret.Load(); known != nil && known.connection == q.link.connection() {
		return bytes.Clone(known.value[:]), nil
	}
	var known *knownSecret
	err := q.retry(ctx, func(ctx context.Context) (err error) {
		known, err = q.readSecret(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	q.secret.Store(known)
	return bytes.Clone(known.value[:]), nil
}

// readSecret reads the secret, or makes it where there is none: of several who
// make one at once, the server takes the first, and the others read it.
func (q *Queue) readSecret(ctx context.Context) (*knownSecret, error) {
	for {
		known := &knownSecret{connection: q.link.connection()}
		// A key that was removed leaves a message without data.
		m, found, err := q.leaderGet(ctx, bucketStream(bucketSecrets), getRequest{LastFor: subjectSecret})
		switch {
		case err != nil:
			return nil, err
		case found && len(m.Data) == secretSize:
			copy(known.value[:], m.Data)
			return known, nil
		case found && len(m.Data) > 0:
			return nil, fmt.Errorf("queue: the deployment's secret has %d bytes, want %d", len(m.Data), secretSize)
		}
		// crypto/rand.Read never fails; it ends the process if the system has no
		// entropy.
		_, _ = rand.Read(known.value[:])
		_, err = q.js.PublishMsg(ctx, &nats.Msg{
			Subject: subjectSecret, Data: known.value[:],
			Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(m.Sequence, 10)}},
		}, jetstream.WithRetryAttempts(0))
		switch {
		case err == nil:
			return known, nil
		case !fenced(err):
			return nil, fmt.Errorf("queue: make the deployment's secret: %w", err)
		}
	}
}
