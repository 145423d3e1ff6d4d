package gateway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// openStream counts a request that waits for its job, or refuses it where there
// are too many. release, where it is not nil, is called when it waits no more.
func (g *Gateway) openStream(w http.ResponseWriter, r *http.Request) (release func()) {
	if g.streams.Add(1) <= int64(g.config.MaxOpenStreams) {
		return func() { g.streams.Add(-1) }
	}
	g.streams.Add(-1)
	refuse(w, r, &failure{code: schemas.CodeTooManyStreams, message: fmt.Sprintf(
		"This gateway has %d requests open, as many as it may. Send the request again in a moment, or to another gateway.",
		g.config.MaxOpenStreams)})
	return nil
}

// tooLate refuses a job that should not have its turn before its deadline; nil
// where it should, where too little was seen to say, or where nobody wants to
// know.
func (g *Gateway) tooLate(ctx context.Context, sub queue.Submission) *failure {
	if !g.config.RefuseLate {
		return nil
	}
	waiting, err := g.queue.Waiting(ctx, sub.Job.Model, sub.Class)
	if err != nil {
		return queueFailure(err)
	}
	deadline := time.Duration(sub.Job.DeadlineMS) * time.Millisecond
	wait, known := g.queue.Wait(sub.Class, waiting+1)
	if !known || wait <= deadline {
		return nil
	}
	if _, none := g.stateOf(ctx, sub.Owner, sub.JobID); none == nil {
		return nil // a repeat, of what was accepted
	}
	return &failure{code: schemas.CodeDeadlineExceeded, message: fmt.Sprintf(
		"%d requests wait for %s in class %s, and at the rate of the last half minute it would take about %v until this one has its turn: "+
			"longer than its deadline of %v. It was not accepted.",
		waiting, sub.Job.Model, sub.Class, wait.Round(time.Second), deadline)}
}
