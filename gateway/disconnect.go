package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Headers by which a request says what becomes of its job when its client leaves.
const (
	// headerDurable: the job runs to its end or deadline.
	headerDurable = "X-Semantic-Durable"
	// headerResumable: the client has a while to come back.
	headerResumable = "X-Semantic-Resumable"
)

// onDisconnectFrom reads the two headers.
func onDisconnectFrom(r *http.Request) (schemas.OnDisconnect, *failure) {
	durable, f := flagFrom(r, headerDurable)
	if f != nil {
		return "", f
	}
	resumable, f := flagFrom(r, headerResumable)
	switch {
	case f != nil:
		return "", f
	case durable && resumable:
		return "", &failure{code: schemas.CodeInvalidRequest, param: headerResumable, message: fmt.Sprintf(
			"%s and %s exclude each other: send one of them.", headerDurable, headerResumable)}
	case durable:
		return schemas.DisconnectKeep, nil
	case resumable:
		return schemas.DisconnectGrace, nil
	}
	return "", nil
}

func flagFrom(r *http.Request, header string) (bool, *failure) {
	given, there := r.Header[header]
	switch value := strings.Join(given, ", "); {
	case !there, strings.EqualFold(value, "false"):
		return false, nil
	case strings.EqualFold(value, "true"):
		return true, nil
	default:
		return false, &failure{code: schemas.CodeInvalidRequest, param: header, message: fmt.Sprintf(
			"%s is true or false, not %q.", header, shown(value))}
	}
}

// abandon does with a job whose reader is gone from here what its request asked
// for, and returns what a client that can still read is to be told. A stopping
// gateway leaves the job alone: its clients leave because it stops. The request's context
// has ended, so the calls run on one of their own.
func (x *exchange) abandon(ctx context.Context) *failure {
	if x.g.tracker.isStopping() {
		return x.cut()
	}
	gone := func(format string, args ...any) *failure {
		return &failure{code: schemas.CodeCancelled, message: fmt.Sprintf(
			"The client closed its side of the connection, which counts as leaving: the job %s %s.", x.job, fmt.Sprintf(format, args...))}
	}
	switch x.onDisconnect {
	case schemas.DisconnectKeep:
		return gone("goes on")
	case schemas.DisconnectGrace:
		x.grace(ctx)
		return gone("is cancelled in %v unless somebody comes to read it", x.g.config.ResumeGrace)
	case schemas.DisconnectCancel, "":
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.g.config.QueueTimeout)
	defer cancel()
	attended, err := x.g.queue.Attended(bounded, x.owner, x.job)
	switch {
	case attended:
		return gone("goes on, since another client reads it")
	case err == nil:
		err = x.g.cancelLeft(bounded, x.owner, x.job)
	}
	if err != nil {
		x.call.log.WarnContext(ctx, "a job whose client left could not be cancelled; it runs to its end or deadline",
			schemas.LogError, err)
	}
	return gone("is cancelled")
}

// cancelLeft cancels the job of a client that left.
func (g *Gateway) cancelLeft(ctx context.Context, owner, job string) error {
	if err := g.queue.Cancel(ctx, owner, job, reasonDisconnected); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	g.metrics.cancellations.WithLabelValues(causeLeft).Inc()
	return nil
}

// grace gives a client the time to come back, to this gateway or another. A reader
// that comes answers for the job from then on, when it leaves.
func (x *exchange) grace(ctx context.Context) {
	g, owner, job, log := x.g, x.owner, x.job, x.call.log
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.graces.Go(func() {
		select {
		case <-g.tracker.stopped:
			cancel()
		case <-ctx.Done():
		}
	})
	g.graces.Go(func() {
		defer cancel()
		mine := false
		came, err := g.queue.AwaitReader(ctx, owner, job, g.config.ResumeGrace)
		bounded, stop := context.WithTimeout(ctx, g.config.QueueTimeout)
		defer stop()
		if err == nil && !came {
			mine, err = x.announced(bounded)
		}
		if err == nil && mine {
			err = g.cancelLeft(bounded, owner, job)
		}
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "a job whose client did not come back could not be cancelled; it runs to its end or deadline",
				schemas.LogError, err)
		}
	})
}

// announced reports whether the job is that of x's request. Under a key for which
// nothing was stored there is none, and an end would only keep the key from its
// repeat; or there is an earlier one, perhaps another client's.
func (x *exchange) announced(ctx context.Context) (bool, error) {
	if x.uncertain == "" {
		return true, nil
	}
	state, err := x.g.queue.State(ctx, x.owner, x.job)
	if errors.Is(err, queue.ErrNoJob) {
		return false, nil
	}
	if err != nil || len(state.Events) == 0 {
		return false, err
	}
	first := state.Events[0].Submitted
	return first != nil && first.RequestHash == x.uncertain, nil
}
