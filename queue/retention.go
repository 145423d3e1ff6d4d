package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of what one pass does: how much it reads, and how many logs a second it
// purges singly. For that the server looks through all that it keeps beside a log,
// and whoever appends waits; what is at the beginning of the stream goes together,
// at no cost.
const (
	retentionPage  = 1024
	retentionPages = 32
	purgeRate      = 20
)

// retention follows EVENTS at the distance of the retention, in the order in which
// events were stored, and purges the logs that it finds ended. It remembers nothing
// else: what is old comes first in the stream, so a new leader begins at the
// beginning and is at once where it has to be, however many logs there are.
//
// As long as every log that it meets has ended, it purges the stream from its
// beginning. The first one that goes on stays at the beginning; until that ends,
// those after it are purged one by one. A log whose job is still stored, and by that
// not removed yet, is waited for: without it the message would be a new job.
type retention struct {
	// next is the first event that was not looked at. Before it there are only
	// events of logs that go on.
	next uint64
}

// oldLog is a log to be purged, up to its end.
type oldLog struct {
	subject string
	end     uint64
}

// sweep is what one pass does.
type sweep struct {
	// pinned is set once a log goes on.
	pinned bool
	// upTo is where the beginning of the stream ends that is to be purged; logs are
	// those that end in it.
	upTo uint64
	logs []oldLog
	// singly is how many more logs may be purged one by one.
	singly int
}

// purgeOld purges logs whose end is older than the retention. It begins when every
// stored job is known.
func (r *reconciler) purgeOld(ctx context.Context) error {
	if !r.knowsStored() {
		return nil
	}
	info, clock, err := r.q.look(ctx, streamEvents)
	if err != nil {
		return err
	}
	if r.old.next > info.State.LastSeq+1 {
		r.old.next = 0 // made anew
	}
	s := sweep{
		pinned: info.State.FirstSeq < r.old.next,
		singly: max(1, int(purgeRate*r.q.config.ReconcileInterval.Seconds())),
	}
	next := max(r.old.next, info.State.FirstSeq)
	cutoff := clock.now().Add(-r.q.config.EventRetention)
	if info.State.Msgs == 0 || info.State.FirstTime.After(cutoff) {
		return nil
	}
	var failed error
	limit := 1 // a look whether the next event is old
	for range retentionPages {
		list, more, err := r.eventPage(ctx, next, limit)
		if err != nil {
			failed = err
			break
		}
		for i, m := range list {
			if m.Time.After(cutoff) {
				list, more = list[:i], false
				break
			}
		}
		if len(list) == 0 {
			break
		}
		whole, err := r.sweepPage(ctx, &s, list, cutoff)
		if err != nil || !whole {
			failed = err
			break
		}
		next = list[len(list)-1].Sequence + 1
		if limit = retentionPage; !more {
			break
		}
	}
	if err := r.purgeBeginning(ctx, s); err != nil {
		return errors.Join(failed, err)
	}
	r.old.next = next // not before: what is passed over is never looked at again
	return failed
}

// sweepPage looks at some old events; false where they are to be looked at again,
// because their logs are too many to be purged in this pass, or one is waited for.
func (r *reconciler) sweepPage(ctx context.Context, s *sweep, page []storedMessage, cutoff time.Time) (whole bool, err error) {
	ends, err := r.endedLogs(ctx, page, func(m storedMessage) bool { return endOf(m) && !m.Time.After(cutoff) })
	if err != nil {
		return false, err
	}
	var single []oldLog
	seen := make(map[string]bool)
	whole = true
	for _, m := range page {
		end := ends[m.Subject]
		if end > 0 && r.logs[m.Subject] > 0 {
			whole = false
			break
		}
		s.pinned = s.pinned || end == 0
		switch {
		case !s.pinned:
			s.upTo = m.Sequence + 1
			if end == m.Sequence {
				s.logs = append(s.logs, oldLog{subject: m.Subject, end: end})
			}
		case end > 0 && !seen[m.Subject]:
			seen[m.Subject] = true
			single = append(single, oldLog{subject: m.Subject, end: end})
		}
	}
	if len(single) > s.singly {
		whole, single = false, single[:s.singly]
	}
	s.singly -= len(single)
	return whole, r.purgeLogs(ctx, single, r.purgeTo)
}

// purgeBeginning purges the beginning of the stream.
func (r *reconciler) purgeBeginning(ctx context.Context, s sweep) error {
	if s.upTo == 0 {
		return nil
	}
	// What the jobs had in the object store; their logs go together.
	err := r.purgeLogs(ctx, s.logs, func(context.Context, oldLog) error { return nil })
	if err != nil {
		return err
	}
	return r.drop(ctx, func(ctx context.Context) error {
		stream, err := r.q.stream(ctx, streamEvents)
		if err != nil {
			return err
		}
		if err := stream.Purge(ctx, jetstream.WithPurgeSequence(s.upTo)); err != nil {
			return fmt.Errorf("queue: purge logs: %w", err)
		}
		return nil
	})
}

// eventPage reads events from a sequence on.
func (r *reconciler) eventPage(ctx context.Context, from uint64, limit int) (list []storedMessage, more bool, err error) {
	request := getRequest{Sequence: from, NextFor: prefixEvents + "*.*", Batch: limit, MaxBytes: batchBytes}
	err = r.q.once(ctx, func(ctx context.Context) (err error) {
		list = list[:0]
		_, more, err = r.q.directGet(ctx, streamEvents, request, func(m storedMessage) bool {
			list = append(list, m)
			return true
		})
		return err
	})
	return list, more, err
}

// endedLogs are the ends of the logs that some events are of, as far as they have
// one that over accepts: among the events, or as the last entry of the log. A log
// whose job is still stored is read as a whole, for everybody may write to the logs
// of a broker without accounts.
func (r *reconciler) endedLogs(ctx context.Context, events []storedMessage, over func(storedMessage) bool) (map[string]uint64, error) {
	ends := make(map[string]uint64)
	var subjects []string
	note := func(m storedMessage) {
		if over(m) {
			ends[m.Subject] = m.Sequence
		}
	}
	for _, m := range events {
		if !concreteSubject(m.Subject) {
			continue
		}
		if _, known := ends[m.Subject]; !known {
			ends[m.Subject] = 0
			subjects = append(subjects, m.Subject)
		}
		note(m)
	}
	if err := r.q.multiLast(ctx, subjects, note); err != nil {
		return nil, err
	}
	for _, subject := range subjects {
		if ends[subject] == 0 || r.logs[subject] == 0 {
			continue
		}
		_, jobID, _ := logSubject(subject)
		var l jobLog
		if err := r.q.readSubject(ctx, subject, jobID, &l); err != nil {
			return nil, err
		}
		if !l.ended() {
			ends[subject] = 0
		}
	}
	return ends, nil
}

// purgeLogs calls purge for logs, and before each removes what its job had in the
// object store: a crash in between leaves the log, which is then found again.
func (r *reconciler) purgeLogs(ctx context.Context, logs []oldLog, purge func(context.Context, oldLog) error) error {
	if len(logs) == 0 {
		return nil
	}
	inputs, _, err := r.q.look(ctx, objectStream(storeInputs))
	if err != nil {
		return err
	}
	return each(ctx, logs, func(ctx context.Context, log oldLog) error {
		token, jobID, _ := logSubject(log.subject)
		if owner, err := Unslug(token); err == nil && inputs.State.Msgs > 0 {
			if err := r.q.removeInput(ctx, owner, jobID); err != nil {
				return err
			}
		}
		if err := purge(ctx, log); err != nil {
			return err
		}
		r.q.metrics.purged.Inc()
		return nil
	})
}

// purgeTo purges a log up to its end and no further: the id may be another job's
// since.
func (r *reconciler) purgeTo(ctx context.Context, log oldLog) error {
	return r.drop(ctx, func(ctx context.Context) error {
		stream, err := r.q.stream(ctx, streamEvents)
		if err != nil {
			return err
		}
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(log.subject), jetstream.WithPurgeSequence(log.end+1))
		if err != nil {
			return fmt.Errorf("queue: purge log: %w", err)
		}
		return nil
	})
}
