package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// headerOwnerToken proves, where there are no API keys, that a job is its
// client's: the gateway sends it with the job's id, and the client brings it when
// it asks for the job. It is a function of the job and of the deployment's secret,
// so any gateway can check it and none stores it.
const headerOwnerToken = "X-Semantic-Owner-Token"

// Purposes of what is derived from the deployment's secret.
const (
	purposeOwnerToken  = "owner token"
	purposeIdempotency = "idempotency key"
)

// derive makes of the deployment's secret one that belongs to the words, in
// their order.
func (g *Gateway) derive(ctx context.Context, purpose string, words ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, g.config.QueueTimeout)
	defer cancel()
	secret, err := g.queue.Secret(ctx)
	if err != nil {
		return nil, fmt.Errorf("the deployment's secret: %w", err)
	}
	mac := hmac.New(sha256.New, secret)
	for _, word := range append([]string{purpose}, words...) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(word))))
		mac.Write([]byte(word))
	}
	return mac.Sum(nil), nil
}

// ownerToken is the token of a job that was submitted at a time: another job under
// the same Idempotency-Key, once this one is forgotten, has the same id and
// another token.
func (g *Gateway) ownerToken(ctx context.Context, owner, job string, submitted time.Time) (string, error) {
	token, err := g.derive(ctx, purposeOwnerToken, owner, job, strconv.FormatInt(submitted.UnixNano(), 10))
	return hex.EncodeToString(token), err
}

// brings reports whether a request shows that the job is its client's: by the key
// that it came with, which made the owner, or by the job's token.
func (g *Gateway) brings(r *http.Request, state queue.JobState) (bool, error) {
	submitted := state.SubmittedAt()
	switch {
	case state.Owner != ownerLocal:
		return true, nil
	case submitted.IsZero():
		return false, nil
	}
	want, err := g.ownerToken(r.Context(), state.Owner, state.JobID, submitted)
	return err == nil && hmac.Equal([]byte(r.Header.Get(headerOwnerToken)), []byte(want)), err
}

// noJob is the answer for a job that does not exist, and for one that is another
// client's: the two must not be told apart.
func noJob(job string) *failure {
	return &failure{code: schemas.CodeJobNotFound, message: fmt.Sprintf(
		"There is no job %q, or it is not yours. It must be asked for with the API key that it was sent with or, "+
			"where there are no keys, with the %s of its response.", shown(job), headerOwnerToken)}
}

// jobOf finds the job that a request's path names.
func (g *Gateway) jobOf(r *http.Request) (queue.JobState, *failure) {
	c, job := callOf(r), r.PathValue("id")
	if !queue.ValidJobID(job) {
		return queue.JobState{}, noJob(job)
	}
	state, f := g.stateOf(r.Context(), c.owner, job)
	if f != nil {
		return queue.JobState{}, f
	}
	mine, err := g.brings(r, state)
	if err != nil {
		return queue.JobState{}, queueFailure(err)
	}
	if !mine {
		return queue.JobState{}, noJob(job)
	}
	c.job, c.model, c.class, c.accepted = job, state.Model, state.Class, true
	c.modelLabel = g.models.label(r.Context(), state.Model)
	c.about()
	return state, nil
}

func (g *Gateway) stateOf(ctx context.Context, owner, job string) (queue.JobState, *failure) {
	ctx, cancel := context.WithTimeout(ctx, g.config.QueueTimeout)
	defer cancel()
	state, err := g.queue.State(ctx, owner, job)
	switch {
	case errors.Is(err, queue.ErrNoJob):
		return queue.JobState{}, noJob(job)
	case err != nil:
		return queue.JobState{}, queueFailure(err)
	}
	return state, nil
}
