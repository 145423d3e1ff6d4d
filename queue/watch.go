package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// bucketWatch keeps a cache of a key-value bucket up to date. Its goroutine
// starts with the first reader and ends with the Queue. The functions are called
// on that goroutine alone, and are set before it starts.
type bucketWatch struct {
	q      *Queue
	bucket string
	// fill takes all entries in place of what there was: at first, and whenever
	// the connection was lost. change takes one that is new, other, or gone.
	fill   func([]jetstream.KeyValueEntry)
	change func(jetstream.KeyValueEntry)
	// instead, where it is set, does all of it until ctx ends, in its own way; it
	// calls filled.
	instead func(ctx context.Context)

	// mu guards what follows; a leaf.
	mu     sync.Mutex
	stop   context.CancelFunc // nil until started
	closed bool

	// ready is closed when the cache was filled for the first time.
	ready     chan struct{}
	readyOnce sync.Once
	stopped   chan struct{}
}

func newBucketWatch(q *Queue, bucket string) *bucketWatch {
	return &bucketWatch{q: q, bucket: bucket, ready: make(chan struct{}), stopped: make(chan struct{})}
}

// filled lets the readers go on that wait for the first filling.
func (w *bucketWatch) filled() { w.readyOnce.Do(func() { close(w.ready) }) }

// start starts the watch if it is not running and waits for the first filling.
func (w *bucketWatch) start(ctx context.Context) error {
	select {
	case <-w.stopped:
		return ErrClosed
	default:
	}
	select {
	case <-w.ready:
		return nil
	default:
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return ErrClosed
	}
	if w.stop == nil {
		var watching context.Context
		// The watch outlives the call that happened to be first.
		watching, w.stop = context.WithCancel(context.WithoutCancel(ctx))
		go w.run(watching)
	}
	w.mu.Unlock()
	// The watch would wait for the bucket for ever; say that it is not there.
	err := w.q.retryOn(ctx, apiPrefix+"STREAM.INFO."+bucketStream(w.bucket), func(ctx context.Context) error {
		if _, err := w.q.js.KeyValue(ctx, w.bucket); err != nil {
			return fmt.Errorf("queue: bucket %s: %w", w.bucket, err)
		}
		return nil
	})
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("%w: %w", ErrNoTopology, err)
	}
	if err != nil {
		return err
	}
	select {
	case <-w.ready:
		return nil
	case <-w.stopped:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: bucket %s: %w", ErrUnavailable, w.bucket, ctx.Err())
	}
}

// close ends the watch and joins it.
func (w *bucketWatch) close() {
	w.mu.Lock()
	w.closed = true
	stop := w.stop
	w.mu.Unlock()
	if stop != nil {
		stop()
		<-w.stopped
	}
}

// run watches until ctx ends; after a reconnect, or when the watch breaks, it
// begins anew.
func (w *bucketWatch) run(ctx context.Context) {
	defer close(w.stopped)
	if w.instead != nil {
		w.instead(ctx)
		return
	}
	pause := retryFirst
	for ctx.Err() == nil {
		if err := w.q.link.wait(ctx); err != nil {
			return
		}
		filled, err := w.watch(ctx)
		if filled {
			pause = retryFirst
		}
		if err != nil && ctx.Err() == nil {
			w.q.log.Debug("watch broke", slog.String(schemas.LogBucket, w.bucket), slog.Any(schemas.LogError, err))
			if sleep(ctx, pause) != nil {
				return
			}
			pause = min(2*pause, retryMost)
		}
	}
}

// watch fills and updates the cache until the connection changes.
func (w *bucketWatch) watch(ctx context.Context) (filled bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, changed := w.q.link.state()
	watcher, err := w.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = watcher.Stop() }() // fails only if the connection is closed
	var all []jetstream.KeyValueEntry
	for {
		select {
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return filled, fmt.Errorf("queue: bucket %s: %w", w.bucket, ErrUnavailable)
			case entry == nil:
				filled = true
				w.fill(all)
				w.filled()
				all = nil
			case filled:
				w.change(entry)
			default:
				all = append(all, entry)
			}
		case <-changed:
			return filled, nil
		case <-ctx.Done():
			return filled, nil
		}
	}
}

func (w *bucketWatch) open(ctx context.Context) (jetstream.KeyWatcher, error) {
	kv, err := w.q.js.KeyValue(ctx, w.bucket)
	if err != nil {
		return nil, fmt.Errorf("queue: bucket %s: %w", w.bucket, err)
	}
	watcher, err := kv.WatchAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("queue: watch %s: %w", w.bucket, err)
	}
	return watcher, nil
}
