package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/schemas"
)

// Phase is where a job is in a worker's hands.
type Phase string

// The phases.
const (
	// PhasePreparing: claimed, its prompt is being read.
	PhasePreparing Phase = "preparing"
	// PhaseWaiting: it waits in the engine for its place.
	PhaseWaiting Phase = "waiting"
	// PhaseRunning: it is being computed.
	PhaseRunning Phase = "running"
	// PhaseEnding: computed; its last events are being written.
	PhaseEnding Phase = "ending"
)

// RunningJob is a job in a worker's hands.
type RunningJob struct {
	JobID string        `json:"job"`
	Owner string        `json:"owner"`
	Class schemas.Class `json:"class"`
	// Agent is as the job names it; may be empty.
	Agent string `json:"agent,omitempty"`
	// RequestID is in the log lines of the job; may be empty.
	RequestID string `json:"request_id,omitempty"`
	Phase     Phase  `json:"phase"`
	// Attempt is that of its started event; 0 before.
	Attempt int `json:"attempt"`
	// ClaimedAt and StartedAt are by the worker's clock; StartedAt is nil before
	// the start.
	ClaimedAt time.Time  `json:"claimed_at"`
	StartedAt *time.Time `json:"started_at,omitempty"`
	// PromptTokens is the length of its prompt, 0 before the start.
	PromptTokens int `json:"prompt_tokens"`
	// Tokens is how many were generated, earlier attempts included.
	Tokens int `json:"tokens"`
	// TokensPerSecond is the rate of this attempt since its first token.
	TokensPerSecond float64 `json:"tokens_per_second"`
}

// WorkerReport is what a worker says about itself when it is asked.
type WorkerReport struct {
	Worker      string `json:"worker"`
	Incarnation string `json:"incarnation"`
	Draining    bool   `json:"draining"`
	// Tokens is how many it has generated since it started: the difference of two
	// reports is what it did between them.
	Tokens uint64 `json:"tokens"`
	// Jobs are in its hands, the longest there first; at most MaxReported.
	Jobs []RunningJob `json:"jobs"`
	// LeftOut is how many more there are.
	LeftOut int `json:"left_out,omitempty"`
	// Drained is set in the last word of a drain.
	Drained *Drained `json:"drained,omitempty"`
	// Settings are what may be changed while the worker runs; nil from a release
	// that knows no such thing.
	Settings *WorkerSettings `json:"settings,omitempty"`

	// Before are the settings before the change that this answers; nil in answers to
	// other messages.
	Before *WorkerSettings `json:"before,omitempty"`
	// Refused is why the change was not made; empty where it was.
	Refused string `json:"refused,omitempty"`
	// Unknown is the kind of the message, where the worker does not know it.
	Unknown string `json:"unknown,omitempty"`
}

// Drained is what became of the jobs that a worker had when its drain began.
type Drained struct {
	// Ended came to their end, HandedOver went back to the queue, and Left stay
	// claimed until others may take them: the broker was away.
	Ended      int `json:"ended"`
	HandedOver int `json:"handed_over"`
	Left       int `json:"left"`
}

// MaxReported bounds the jobs of a report, which must fit into one message.
const MaxReported = 512

// Times of a question.
const (
	// ReportTimeout is how long a worker has to answer.
	ReportTimeout = time.Second
	// askAgain is after how long it is asked again: the question, or the answer, may
	// get lost.
	askAgain = 300 * time.Millisecond
)

// question is one that a worker was asked, with the answers as they come.
type question struct {
	sub      *nats.Subscription
	messages chan *nats.Msg
}

func (a *question) close() { _ = a.sub.Unsubscribe() } // fails only if the connection is closed

// ask sends a message to a worker and waits for the first answer; more may follow.
// ErrSilent if there is none, ErrUnavailable, *ForbiddenError.
func (q *Queue) ask(ctx context.Context, subject, workerID string, m ControlMessage) (*question, WorkerReport, error) {
	m.Answer, m.By, m.RequestID = NewJobID(), actor(ctx), requestOf(ctx)
	body, err := json.Marshal(m)
	if err != nil {
		return nil, WorkerReport{}, fmt.Errorf("queue: %w", err)
	}
	a := &question{messages: make(chan *nats.Msg, 8)}
	if a.sub, err = q.nc.ChanSubscribe(answerSubject(m.Answer), a.messages); err != nil {
		return nil, WorkerReport{}, errors.Join(ErrUnavailable, err)
	}
	var r WorkerReport
	err = q.permitted(ctx, subject, func(ctx context.Context) error {
		asking, cancel := q.link.attempt(ctx, ReportTimeout)
		defer cancel()
		again := time.NewTicker(askAgain)
		defer again.Stop()
		for {
			if err := q.nc.Publish(subject, body); err != nil {
				return errors.Join(ErrUnavailable, err)
			}
			select {
			case m := <-a.messages:
				var err error
				r, err = readReport(m, workerID)
				return err
			case <-again.C:
			case <-asking.Done():
				return asking.Err()
			}
		}
	})
	switch health := q.link.health(); {
	case err == nil:
		return a, r, nil
	case errors.Is(err, ErrForbidden), errors.Is(err, ErrSilent):
	case health != nil:
		err = health
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("%w: %s, within %s", ErrSilent, workerID, ReportTimeout)
	}
	a.close()
	return nil, WorkerReport{}, err
}

func readReport(m *nats.Msg, workerID string) (WorkerReport, error) {
	var r WorkerReport
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return WorkerReport{}, fmt.Errorf("%w: %s: its answer cannot be read: %w", ErrSilent, workerID, err)
	}
	return r, nil
}

// Report asks a worker what it runs. ErrSilent if it does not answer within
// ReportTimeout; ErrUnavailable if the broker is away, or ctx ends;
// *ForbiddenError.
func (q *Queue) Report(ctx context.Context, workerID string) (WorkerReport, error) {
	a, r, err := q.ask(ctx, reportSubject(workerID), workerID, ControlMessage{Kind: ControlReport})
	if err != nil {
		return WorkerReport{}, err
	}
	a.close()
	return r, nil
}

// LiveWorker is a registered worker with what it says itself.
type LiveWorker struct {
	schemas.WorkerStatus
	// Report is nil where it did not answer: Silent says why.
	Report *WorkerReport `json:"report"`
	Silent error         `json:"-"`
}

// Reports asks every registered worker at once; by id. One that does not answer
// is there too. Errors are those of Workers.
func (q *Queue) Reports(ctx context.Context) ([]LiveWorker, error) {
	// What the registry remembers before the broker went away is no answer.
	if err := q.Healthy(); err != nil {
		return nil, err
	}
	workers, err := q.Workers(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]LiveWorker, len(workers))
	var asked sync.WaitGroup
	for i, status := range workers {
		list[i].WorkerStatus = status
		asked.Go(func() {
			r, err := q.Report(ctx, status.ID)
			if err != nil {
				list[i].Silent = err
				return
			}
			list[i].Report = &r
		})
	}
	asked.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	return list, nil
}
