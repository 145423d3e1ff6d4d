package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// decoder reads a body of one route.
type decoder = func([]byte, openai.DecodeOptions) (*openai.Request, []string, error)

// chatCompletions answers POST /v1/chat/completions.
func (g *Gateway) chatCompletions(w http.ResponseWriter, r *http.Request) {
	g.answerJob(w, r, openai.DecodeChatRequest)
}

// completions answers POST /v1/completions.
func (g *Gateway) completions(w http.ResponseWriter, r *http.Request) {
	g.answerJob(w, r, openai.DecodeCompletionRequest)
}

// answerJob makes a job of a request, and of the job's log its answer.
func (g *Gateway) answerJob(w http.ResponseWriter, r *http.Request, decode decoder) {
	c := callOf(r)
	body, f, err := g.readJSON(w, r)
	if err != nil {
		c.leave(err)
		return
	}
	if f != nil {
		refuse(w, r, f)
		return
	}
	sub, f := g.submission(r, body, decode)
	if len(c.warnings) > 0 {
		w.Header().Set(headerWarning, warningHeader(c.warnings))
	}
	if f == nil {
		f = g.tooLate(r.Context(), sub)
	}
	if f != nil {
		refuse(w, r, f)
		return
	}
	release := g.openStream(w, r)
	if release == nil {
		return
	}
	defer release()
	g.serveJob(w, r, sub)
}

// warningHeader names ignored fields. Their names are the client's text, so
// they are kept short and plain.
func warningHeader(fields []string) string {
	const most = 1024
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, "ignored unknown parameters: "+strings.Join(fields, ", "))
	if len(plain) > most {
		plain = plain[:most] + "..."
	}
	return plain
}

// submission turns a body and its headers into a job to submit.
func (g *Gateway) submission(r *http.Request, body []byte, decode decoder) (queue.Submission, *failure) {
	c := callOf(r)
	req, warnings, err := decode(body, openai.DecodeOptions{UnknownFields: openai.UnknownFields(g.config.UnknownFields)})
	if err != nil {
		return queue.Submission{}, fieldFailure(err)
	}
	c.warnings = warnings

	key, f := idempotencyKey(r)
	if f != nil {
		return queue.Submission{}, f
	}
	onDisconnect, f := onDisconnectFrom(r)
	if f != nil {
		return queue.Submission{}, f
	}

	job := req.Job()
	requested := job.Model
	ctx, cancel := context.WithTimeout(r.Context(), g.config.QueueTimeout)
	defer cancel()
	model, known, err := g.models.resolve(ctx, requested)
	if errors.Is(err, errUnknownModel) {
		c.modelLabel = modelUnknown
		return queue.Submission{}, g.models.notFound(requested, known)
	}
	if err != nil {
		return queue.Submission{}, queueFailure(err)
	}
	if model != requested {
		job.Model, c.alias = model, requested
	}
	c.model, c.modelLabel = model, model
	c.about()

	class, f := classFrom(r, req.Class)
	if f != nil {
		return queue.Submission{}, f
	}
	c.class = class
	deadline, f := g.deadlineFrom(r, class)
	if f != nil {
		return queue.Submission{}, f
	}
	job.DeadlineMS, job.API.OnDisconnect = deadline.Milliseconds(), onDisconnect
	job.Agent = agentFrom(r, job.Agent)
	if err := job.Validate(); err != nil {
		return queue.Submission{}, jobFailure(err)
	}

	c.agent, c.stream = job.Agent, job.API.Stream
	sub := queue.Submission{JobID: queue.NewJobID(), Owner: c.owner, Class: class, RequestID: c.id, Job: job}
	if key != "" {
		if err := g.keyed(r, &sub, key, requested); err != nil {
			return queue.Submission{}, queueFailure(err)
		}
	}
	return sub, nil
}

// fieldFailure maps a refused field to its code.
func fieldFailure(err error) *failure {
	e := openai.RequestError(err)
	if e == nil {
		return &failure{code: schemas.CodeInternal, message: "The request could not be read.", cause: err}
	}
	return endFailure(e)
}

// jobFailure maps a refused field of the job. What only a header sets is named
// as that header.
func jobFailure(err error) *failure {
	var e *schemas.FieldError
	if !errors.As(err, &e) {
		return fieldFailure(err)
	}
	named := *e
	switch e.Field {
	case "agent":
		named.Field = headerAgent
	case "deadline_ms":
		named.Field = headerDeadline
	}
	return fieldFailure(&named)
}

// serveJob stores the job and carries its events to the client. A repeat under an
// Idempotency-Key gets those of the job that is there.
func (g *Gateway) serveJob(w http.ResponseWriter, r *http.Request, sub queue.Submission) {
	c := callOf(r)
	x := &exchange{g: g, call: c, owner: sub.Owner, job: sub.JobID, onDisconnect: sub.Job.API.OnDisconnect}
	x.deadline = time.Duration(sub.Job.DeadlineMS) * time.Millisecond
	c.job = sub.JobID
	c.about()

	// Not on the request's context: a client that leaves now would leave it
	// uncertain whether there is a job to cancel.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), g.config.QueueTimeout)
	defer cancel()
	if sub.Owner == ownerLocal {
		// Before there is a job whose token could not be made.
		if _, err := g.queue.Secret(ctx); err != nil {
			g.probe.tell(err)
			refuse(w, r, queueFailure(err))
			return
		}
	}
	ticket, err := g.queue.Submit(ctx, sub)
	g.probe.tell(err)
	if ticket.Attached || errors.Is(err, queue.ErrConflict) {
		if f := g.repeated(r, sub.Owner, sub.JobID, err); f != nil {
			refuse(w, r, f)
			return
		}
	}
	c.accepted = err == nil
	w.Header().Set(headerJob, sub.JobID)
	keyed := sub.RequestHash != ""
	if err == nil && sub.Owner == ownerLocal {
		token, failed := g.ownerToken(ctx, sub.Owner, sub.JobID, ticket.SubmittedAt)
		if failed != nil { // the broker went away in between
			refuse(w, r, queueFailure(failed))
			x.abandon(r.Context())
			return
		}
		w.Header().Set(headerOwnerToken, token)
	}
	if err != nil {
		f := queueFailure(err)
		refuse(w, r, f)
		if f.code == schemas.CodeQueueUnavailable {
			// It may have been stored all the same.
			_ = http.NewResponseController(w).Flush()
			if keyed && x.onDisconnect != schemas.DisconnectKeep {
				x.onDisconnect, x.uncertain = schemas.DisconnectGrace, sub.RequestHash // for the repeat
			}
			x.abandon(r.Context())
		}
		return
	}
	x.storedAt = time.Now()
	if ticket.Attached {
		state, f := g.stateOf(ctx, sub.Owner, sub.JobID)
		if f != nil {
			refuse(w, r, f)
			return
		}
		x.follow(state)
	} else {
		c.progress.stored = x.storedAt
	}

	options := openai.StreamOptions{Model: sub.Job.Model, API: sub.Job.API}
	var to responder = &wholeResponder{w: w, r: r, options: options}
	if sub.Job.API.Stream {
		to = newStreamResponder(w, r, options, nil)
	}
	x.carry(w, r, to)
}

// wholeResponder answers with one body at the job's end.
type wholeResponder struct {
	w       http.ResponseWriter
	r       *http.Request
	options openai.StreamOptions
	events  []schemas.Event
}

func (p *wholeResponder) event(e schemas.Event) error {
	p.events = append(p.events, e)
	if !e.Type.Terminal() {
		return nil
	}
	answer, err := openai.Answer(p.events, p.options)
	var end *openai.Error
	switch {
	case errors.As(err, &end):
		p.fail(endFailure(end))
	case err != nil:
		p.fail(&failure{code: schemas.CodeInternal, message: "The answer could not be put together.", cause: err})
	default:
		writeJSON(p.w, p.r, http.StatusOK, answer)
	}
	return nil
}

// begin: the status is that of the end.
func (p *wholeResponder) begin() error { return nil }

// idle: there is no way to keep a plain response alive.
func (p *wholeResponder) idle() error { return nil }

func (p *wholeResponder) fail(f *failure) { refuse(p.w, p.r, f) }

// streamResponder answers with server-sent events.
type streamResponder struct {
	w      http.ResponseWriter
	r      *http.Request
	sse    *sseWriter
	stream *openai.Stream
	format string
	// after is the last chunk that the client has; nil if it has none.
	after *schemas.ChunkID
}

func newStreamResponder(w http.ResponseWriter, r *http.Request, o openai.StreamOptions, after *schemas.ChunkID) *streamResponder {
	return &streamResponder{
		w: w, r: r,
		sse:    newSSEWriter(w, callOf(r).tracked),
		stream: openai.NewStream(o),
		format: o.API.Format,
		after:  after,
	}
}

// begin tells the client its job's id, so that one which is cut off early can
// look for its answer.
func (p *streamResponder) begin() error { return p.sse.begin() }

func (p *streamResponder) event(e schemas.Event) error {
	if end := openai.EndError(e, p.format); end != nil {
		f := endFailure(end)
		if !p.sse.committed {
			p.fail(f)
			return nil
		}
		callOf(p.r).fail(f)
	}
	for _, chunk := range p.stream.Event(e) {
		if p.after != nil && !chunk.ID.After(*p.after) {
			continue
		}
		p.sse.data(chunk.ID.String(), chunk.Data)
	}
	if e.Type == schemas.EventDone {
		p.sse.data("", []byte(openai.DoneData))
	}
	switch e.Type {
	case schemas.EventSubmitted, schemas.EventRequeued:
		// Not a worker's word that it can be answered: it may yet be refused.
		return nil
	default:
	}
	if err := p.sse.flush(); err != nil {
		return err
	}
	return p.sse.begin()
}

func (p *streamResponder) idle() error {
	p.sse.comment("waiting")
	return p.sse.flush()
}

// fail sends an HTTP error while that is possible, else an error in the stream.
// It has no id: it is not of the job's log, and a client that comes back
// shall find what follows.
func (p *streamResponder) fail(f *failure) {
	if !p.sse.committed {
		refuse(p.w, p.r, f)
		return
	}
	callOf(p.r).fail(f)
	p.sse.data("", f.body())
	// A client that is gone by now has nothing to be told.
	_ = p.sse.flush()
}
