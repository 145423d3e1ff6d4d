package queue

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Statuses that answer a pull request: there is no job, and none came in time.
const (
	statusNoMessages = "404"
	statusTimeout    = "408"
)

// pullRequest asks a consumer for messages: for those that it has now, or for as
// many as come within Expires, in nanoseconds.
type pullRequest struct {
	Batch   int           `json:"batch"`
	NoWait  bool          `json:"no_wait,omitempty"`
	Expires time.Duration `json:"expires,omitempty"`
}

// puller asks consumers for one job at a time, as nats.go's Fetch does, with two
// differences. A job is told from the server's word that there is none by its
// subject: Fetch takes an empty job with the header Status for the latter, and it
// would never be ended. And an answer is awaited for as long as any request's, not
// for a second: what comes later is lost until the claim runs out. For one
// goroutine at a time.
type puller struct {
	q       *Queue
	sub     *nats.Subscription
	answers chan *nats.Msg
}

// one asks a consumer for a job, which may stay away for wait; nil if there is none.
// It is not given up when somebody's context ends: a job that came after that would
// be lost to everybody for AckWait.
func (p *puller) one(stream, consumer string, wait time.Duration) (*nats.Msg, error) {
	_, changed := p.q.link.state()
	request, err := json.Marshal(pullRequest{Batch: 1, NoWait: wait == 0, Expires: wait})
	if err != nil {
		return nil, fmt.Errorf("queue: pull: %w", err)
	}
	if p.sub == nil {
		p.answers = make(chan *nats.Msg, 1)
		if p.sub, err = p.q.nc.ChanSubscribe(p.q.nc.NewInbox(), p.answers); err != nil {
			return nil, fmt.Errorf("queue: pull: %w", err)
		}
	}
	inbox := p.sub.Subject
	if err := p.q.nc.PublishRequest(apiPrefix+"CONSUMER.MSG.NEXT."+stream+"."+consumer, inbox, request); err != nil {
		return nil, fmt.Errorf("queue: pull: %w", err)
	}
	timer := time.NewTimer(wait + p.q.config.RequestTimeout)
	defer timer.Stop()
	var m *nats.Msg
	select {
	case m = <-p.answers:
	case <-timer.C:
	case <-changed:
	}
	if m == nil && len(p.answers) > 0 {
		m = <-p.answers // it came together with what ends the waiting
	}
	switch {
	case m == nil:
		// What comes yet would be taken for the answer to the next request.
		p.close()
		return nil, fmt.Errorf("queue: pull: %w", nats.ErrTimeout)
	case m.Subject != inbox:
		return m, nil // a job comes under its own subject, whatever its headers say
	}
	switch status := m.Header.Get("Status"); status {
	case statusNoMessages, statusTimeout:
		return nil, nil
	default:
		return nil, fmt.Errorf("queue: pull: the server says %s %s", status, m.Header.Get("Description"))
	}
}

func (p *puller) close() {
	if p.sub != nil {
		_ = p.sub.Unsubscribe() // fails only if the connection is closed
		p.sub = nil
	}
}
