package queue

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// tryKey is the key of the bucket leases that TryStore writes: nobody reads it.
const tryKey = "try"

// TryStore stores so many bytes that nobody reads, in place of those of the last
// call, and returns nil once the broker has them. A broker answers questions for a
// while after it has become unable to store: when its disk is full, and in a
// cluster without a quorum until its leaders have noticed. A full disk has room for
// a message that fits into the last block of a file; one of 64 KiB does not.
// Errors: ErrUnavailable if there is no answer within ctx or
// Config.RequestTimeout, ErrStorageFull, ErrForbidden, ErrClosed.
func (q *Queue) TryStore(ctx context.Context, bytes int) error {
	if err := q.Healthy(); err != nil {
		return err
	}
	data := make([]byte, bytes)
	_, _ = rand.Read(data) // never fails; a file system may store nothing of what it can compress
	return q.once(ctx, func(ctx context.Context) error {
		_, err := q.js.PublishMsg(ctx, &nats.Msg{
			Subject: "$KV." + bucketLeases + "." + tryKey, Data: data,
			Header: nats.Header{jetstream.ExpectedStreamHeader: {bucketStream(bucketLeases)}},
		}, jetstream.WithRetryAttempts(0))
		switch code := apiCode(err); {
		case code == codeStoreFailed, code == codeNoResources:
			return fmt.Errorf("%w: %w", ErrStorageFull, err)
		case err != nil:
			return fmt.Errorf("queue: try to store: %w", err)
		}
		return nil
	})
}

// Storage is how full the fullest of the streams was that a job of the class
// needs, as a share of its limit, when [Queue.Accepting] last asked, and from
// which share on jobs are refused. 0 before, and where there is no limit.
func (q *Queue) Storage(class schemas.Class) (used, mark float64) {
	q.pressure.mu.Lock()
	defer q.pressure.mu.Unlock()
	return q.pressure.read[pressureOf{class: class}].used, q.config.StorageHighWater
}
