package queue

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// FullError is an [ErrQueueFull] with what its client should know.
type FullError struct {
	Class schemas.Class
	Model string
	// Flow is the job's. OwnFlow is set where the owner's jobs in it are too many,
	// and not those of the class.
	Flow    int
	OwnFlow bool
	// Stored is how many jobs there are, waiting and running, of at most Limit.
	Stored, Limit int64
	// Waiting is how many jobs of the model and class wait; as of up to a second
	// ago. -1 where it could not be read.
	Waiting int64
	// RetryAfter is when a place should be free, by how fast jobs have left the
	// class lately and how many others were refused: 1 s to 1 min.
	RetryAfter time.Duration

	cause error
}

// Error says which bound was met.
func (e *FullError) Error() string {
	of := "of class " + string(e.Class)
	if e.OwnFlow {
		of = fmt.Sprintf("of this owner in flow %s of class %s", flowToken(e.Flow), e.Class)
	}
	return fmt.Sprintf("%v: %d jobs %s wait or run, of at most %d: %v", ErrQueueFull, e.Stored, of, e.Limit, e.cause)
}

// Is makes it an ErrQueueFull.
func (e *FullError) Is(target error) bool { return target == ErrQueueFull }

// Unwrap is the broker's refusal.
func (e *FullError) Unwrap() error { return e.cause }

// crowdAge is how long what is known of a crowd is used, and how far back
// refusals count.
const crowdAge = time.Second

// crowds know who waits in front of full classes, without asking the broker for
// each refusal.
type crowds struct {
	mu      sync.Mutex
	classes map[schemas.Class]*crowd
}

type crowd struct {
	// waiting is by model, as of readAt.
	waiting map[string]int64
	readAt  time.Time
	// refused counts since refusedSince; before is the count of the time before.
	refused, before int64
	refusedSince    time.Time
}

// refuse counts a refusal, and returns how many there were of late, and how many
// jobs of the model wait.
func (q *Queue) refuse(ctx context.Context, model string, class schemas.Class) (lately, waiting int64) {
	now := time.Now()
	q.crowds.mu.Lock()
	if q.crowds.classes == nil {
		q.crowds.classes = make(map[schemas.Class]*crowd)
	}
	c := q.crowds.classes[class]
	if c == nil {
		c = &crowd{refusedSince: now}
		q.crowds.classes[class] = c
	}
	if gone := now.Sub(c.refusedSince); gone >= crowdAge {
		c.before, c.refused, c.refusedSince = c.refused, 0, now
		if gone >= 2*crowdAge {
			c.before = 0
		}
	}
	c.refused++
	lately = max(c.refused, c.before)
	stale := now.Sub(c.readAt) >= crowdAge
	if stale {
		c.readAt = now // others use the old reading while this call takes a new one
	}
	waiting = -1
	if c.waiting != nil {
		waiting = c.waiting[model]
	}
	q.crowds.mu.Unlock()
	if !stale {
		return lately, waiting
	}
	counts, err := q.waitingIn(ctx, class)
	if err != nil {
		return lately, -1
	}
	q.crowds.mu.Lock()
	defer q.crowds.mu.Unlock()
	c.waiting = counts
	return lately, counts[model]
}

// waitingIn counts the waiting jobs of a class by model.
func (q *Queue) waitingIn(ctx context.Context, class schemas.Class) (map[string]int64, error) {
	depths := make(map[string]*Depth)
	err := q.once(ctx, func(ctx context.Context) error {
		return q.countClass(ctx, class, func(model string, _ schemas.Class) *Depth {
			if depths[model] == nil {
				depths[model] = &Depth{}
			}
			return depths[model]
		})
	})
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int64)
	for model, d := range depths {
		counts[model] = d.Queued
	}
	return counts, nil
}

// Position estimates how many jobs of a model and class wait before one that was
// stored at a time, from how many wait and where that time is between those of the
// oldest and of the newest job of the class; and how long it should take until its
// turn, by how fast jobs have left the class of late: 0 where too little was seen
// to say. Classes and flows take turns, so that it may be taken earlier or later.
// ErrUnavailable if the broker does not answer.
func (q *Queue) Position(
	ctx context.Context, model string, class schemas.Class, stored time.Time,
) (ahead int64, wait time.Duration, err error) {
	counts, err := q.waitingIn(ctx, class)
	if err != nil {
		return 0, 0, err
	}
	err = q.once(ctx, func(ctx context.Context) error {
		info, err := q.streamState(ctx, jobsStream(class), "")
		if err != nil {
			return err
		}
		s := info.State
		q.rates.add(class, s, time.Now())
		if span := s.LastTime.Sub(s.FirstTime); span > 0 {
			part := min(max(stored.Sub(s.FirstTime).Seconds()/span.Seconds(), 0), 1)
			ahead = int64(math.Round(part * float64(max(counts[model]-1, 0))))
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	wait, _ = q.Wait(class, ahead+1)
	return ahead, wait, nil
}

// Wait is how long so many jobs of a class should take to leave it, by how fast
// jobs have left it in the last half minute; false where too little was seen to
// say.
func (q *Queue) Wait(class schemas.Class, jobs int64) (time.Duration, bool) {
	rate, known := q.rates.rate(class, time.Now())
	if !known || rate <= 0 {
		return 0, false
	}
	return time.Duration(float64(jobs) / rate * float64(time.Second)), true
}

// Waiting is how many jobs of a model and class are stored and not claimed.
// ErrUnavailable if the broker does not answer.
func (q *Queue) Waiting(ctx context.Context, model string, class schemas.Class) (int64, error) {
	counts, err := q.waitingIn(ctx, class)
	return counts[model], err
}
