package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// Where a client says which chunk it has seen last.
const (
	headerLastEventID = "Last-Event-ID"
	queryLastEventID  = "last_event_id"
)

// jobEvents answers GET /v1/jobs/{id}/events: the stream of a job, from its start or
// from behind the chunk that the client names. The stream is a pure function of the
// log, so it does not matter which gateway began it.
func (g *Gateway) jobEvents(w http.ResponseWriter, r *http.Request) {
	state, f := g.jobOf(r)
	if f != nil {
		refuse(w, r, f)
		return
	}
	after, f := lastEventID(r, state.JobID)
	var missed time.Time
	if f == nil && after != nil {
		missed, f = checkSeen(state, *after)
	}
	if f != nil {
		g.refusedResume(f)
		refuse(w, r, f)
		return
	}
	release := g.openStream(w, r)
	if release == nil {
		return
	}
	defer release()
	c := callOf(r)
	c.stream = true
	if after != nil {
		g.resumed(c, missed)
	}
	w.Header().Set(headerJob, state.JobID)
	api := apiOf(state)
	to := newStreamResponder(w, r, openai.StreamOptions{Model: state.Model, API: &api}, after)
	if after != nil {
		// The client is in mid-stream: also an error of the job belongs into it.
		if err := to.begin(); err != nil {
			c.leave(err)
			return
		}
	}
	x := &exchange{g: g, call: c, owner: state.Owner, job: state.JobID, onDisconnect: api.OnDisconnect}
	x.follow(state)
	x.carry(w, r, to)
}

// lastEventID reads what the client has seen; nil if it has seen nothing.
func lastEventID(r *http.Request, job string) (*schemas.ChunkID, *failure) {
	bad := func(param, format string, args ...any) (*schemas.ChunkID, *failure) {
		return nil, &failure{code: schemas.CodeInvalidRequest, param: param, message: fmt.Sprintf(format, args...)}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return bad("", "The query cannot be read: %s.", shown(err.Error()))
	}
	name, given := headerLastEventID, strings.Join(r.Header.Values(headerLastEventID), ", ")
	for parameter, values := range query {
		switch asked := strings.Join(values, ", "); {
		case parameter != queryLastEventID:
			return nil, &failure{code: schemas.CodeUnknownParameter, param: shown(parameter), message: fmt.Sprintf(
				"%q is no parameter of this route; it has %s.", shown(parameter), queryLastEventID)}
		case given != "" && asked != given:
			return bad(queryLastEventID, "%s and %s differ: send one of them.", queryLastEventID, headerLastEventID)
		default:
			name, given = queryLastEventID, asked
		}
	}
	if given == "" {
		return nil, nil //nolint:nilnil // no id is what a new reader has
	}
	id, err := schemas.ParseChunkID(given)
	switch {
	case err != nil:
		return bad(name, "%s: %s.", name, err)
	case id.Job != job:
		return bad(name, "%s is of another job: %q, and this one is %s.", name, shown(given), job)
	}
	return &id, nil
}

// refusedResume counts a stream that does not go on where its client wants it to.
func (g *Gateway) refusedResume(f *failure) {
	switch {
	case f.code == schemas.CodeLogRewound:
		g.metrics.resumes.WithLabelValues(resumeRewound).Inc()
	case f.param == headerLastEventID || f.param == queryLastEventID:
		g.metrics.resumes.WithLabelValues(resumeInvalid).Inc()
	}
}

// resumed counts a stream that goes on, of which the client has missed what
// happened since a time: nothing where that is zero.
func (g *Gateway) resumed(c *call, missed time.Time) {
	g.metrics.resumes.WithLabelValues(resumeGoesOn).Inc()
	gap := time.Duration(0)
	if !missed.IsZero() {
		gap = max(time.Since(missed), 0) // a worker's clock may be ahead
	}
	observe(g.metrics.resumeGap, gap, c.span)
}

// checkSeen refuses to go on behind a chunk that the log does not make: the broker
// has lost what was shown, and what follows now would be another answer's. It
// returns when the first chunk was written that comes after; zero if none was.
func checkSeen(s queue.JobState, seen schemas.ChunkID) (time.Time, *failure) {
	api := apiOf(s)
	stream := openai.NewStream(openai.StreamOptions{Model: s.Model, API: &api})
	found := false
	for _, e := range s.Events {
		if e.N > seen.N && !found {
			break
		}
		for _, chunk := range stream.Event(e) {
			switch {
			case chunk.ID == seen:
				found = true
			case found:
				return e.Time, nil
			}
		}
	}
	if found {
		return time.Time{}, nil
	}
	return time.Time{}, &failure{code: schemas.CodeLogRewound, message: fmt.Sprintf(
		"The log of the job has no chunk %s: it was lost, or never was. Read the job from its start, without %s.", seen, headerLastEventID)}
}
