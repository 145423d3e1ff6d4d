package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// expiryGrace is how long after its deadline a running job's worker may take to
// end it by itself.
const expiryGrace = 2 * time.Second

// cancelBound is how long Ctrl-C waits for the job's end.
const cancelBound = 10 * time.Second

func newSubmitCommand(a *app) *cobra.Command {
	s := &submitRun{app: a}
	cmd := &cobra.Command{
		Use:   "submit [PROMPT]",
		Short: "Submit a job to the queue and stream its answer",
		Long: `Submit a job straight to the queue, without a gateway, and stream its answer.
Without a PROMPT, or with -, the prompt is read from stdin. Ctrl-C cancels the job.
The answer goes on where it was after a restart of the broker or of the worker.`,
		Example: `  semantic submit "Why is the sky blue?"
  semantic submit --class batch --deadline 2h --max-tokens 200 - < prompt.txt
  semantic submit --json --seed 7 "A haiku"        # the events of the job, one a line`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return s.run(cmd, c, given)
		},
	}
	addConfigFlags(cmd, append(brokerFlags(), "model")...)
	s.job.add(cmd)
	cmd.Flags().BoolVar(&s.asJSON, "json", false, "print the job's events as JSON, one a line")
	return cmd
}

// jobFlags make a job from the command line.
type jobFlags struct {
	samplingFlags
	format   formatFlags
	class    string
	deadline time.Duration
	system   string
	stop     []string
	agent    string
}

func (j *jobFlags) add(cmd *cobra.Command) {
	j.samplingFlags.add(cmd)
	j.format.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&j.class, "class", string(schemas.ClassNormal), "`CLASS` of the job: interactive, normal or batch")
	flags.DurationVar(&j.deadline, "deadline", 0, "`TIME` the job may wait and run (default: the class's)")
	flags.StringVar(&j.system, "system", "", "system `PROMPT`")
	flags.StringArrayVar(&j.stop, "stop", nil, "end the answer before this `TEXT`; may be repeated")
	flags.StringVar(&j.agent, "agent", "", "`NAME` of the agent that asks, for fairness")
}

// jobClass is the class, checked.
func (j *jobFlags) jobClass() (schemas.Class, error) {
	class := schemas.Class(j.class)
	if !slices.Contains(schemas.Classes(), class) {
		return "", usagef("--class: %q is not interactive, normal or batch", j.class)
	}
	return class, nil
}

// anyModel stands for a model whose name is not known yet.
const anyModel = "any"

// maxDeadline bounds --deadline.
const maxDeadline = schemas.MaxDeadlineMS * time.Millisecond

// build makes the job, but for its model; cmd tells which flags were given.
func (j *jobFlags) build(cmd *cobra.Command, prompt string) (schemas.Job, error) {
	if cmd.Flags().Changed("deadline") && (j.deadline < time.Millisecond || j.deadline > maxDeadline) {
		return schemas.Job{}, usagef("--deadline: %s is not between %s and %s", j.deadline, time.Millisecond, maxDeadline)
	}
	if err := j.check(cmd); err != nil {
		return schemas.Job{}, err
	}
	if err := checkSystem(j.system); err != nil {
		return schemas.Job{}, err
	}
	job := schemas.Job{
		Version: schemas.Version, Model: anyModel,
		Temperature: j.temperature(cmd), TopP: j.topP(cmd), Seed: j.seed(cmd), MaxTokens: j.maxTokens(cmd),
		Stop: j.stop, DeadlineMS: j.deadline.Milliseconds(), Agent: j.agent,
	}
	if j.system != "" {
		job.Messages = append(job.Messages, schemas.Message{Role: schemas.RoleSystem, Content: j.system})
	}
	job.Messages = append(job.Messages, schemas.Message{Role: schemas.RoleUser, Content: prompt})
	if err := j.format.setJob(&job); err != nil {
		return schemas.Job{}, err
	}
	if err := job.Validate(); err != nil {
		return schemas.Job{}, jobFault(err)
	}
	return job, nil
}

// jobFault tells what is wrong with a job in the words of the command line.
func jobFault(err error) error {
	field := new(schemas.FieldError)
	if !errors.As(err, &field) {
		return err
	}
	name := field.Field
	if end := strings.IndexAny(name, "[."); end >= 0 {
		name = name[:end]
	}
	switch name {
	case "stop", "agent", "model", "grammar":
		return usagef("--%s: %s", name, field.Reason)
	case "response_format":
		return usagef("--json-schema: %s", field.Reason)
	case "deadline_ms":
		return usagef("--deadline: %s", field)
	}
	return &usageError{err: err}
}

// submitRun is one run of the submit command.
type submitRun struct {
	app    *app
	job    jobFlags
	asJSON bool
}

func (s *submitRun) run(cmd *cobra.Command, c *config.Loaded, given []string) error {
	ctx := cmd.Context()
	class, err := s.job.jobClass()
	if err != nil {
		return err
	}
	prompt, err := s.app.promptFrom(given)
	if err != nil {
		return err
	}
	job, err := s.job.build(cmd, prompt) // what is wrong with it, no queue need be asked
	if err != nil {
		return err
	}
	if c.Source("log-level") == "default" {
		s.app.Log = discardLog() // the terminal is for the answer
	}
	o, err := s.app.brokerOptions(c, "semantic submit")
	if err != nil {
		return err
	}
	o.Connection = s.connection
	q, err := s.app.connect(ctx, o)
	if err != nil {
		return stopOr(ctx, err)
	}
	defer s.app.closeQueue(ctx, q)
	if job.Model, err = queueModel(ctx, q, c.Model); err != nil {
		return err
	}
	id := queue.NewJobID() // known here, whatever becomes of the answer
	ticket, err := q.Submit(ctx, queue.Submission{JobID: id, Class: class, Job: job, RequestID: "req_" + randomHex(16)})
	if err != nil {
		return s.unsubmitted(ctx, q, id, err)
	}
	return s.follow(ctx, q, ticket, q.Deadline(job, class))
}

// connection tells who waits why nothing comes. The answer goes on by itself where
// it was: it is read from the job's log.
func (s *submitRun) connection(connected bool) {
	if connected {
		s.app.notef("(connected again)\n")
		return
	}
	s.app.notef("\n(the connection to the broker is lost; waiting for it)\n")
}

// queueModel is the model of a job: the one that was named, if a worker ever
// announced it, else the only one. A job for a model that nobody knows would
// wait until its deadline for nothing.
func queueModel(ctx context.Context, q *queue.Queue, named string) (string, error) {
	workers, err := q.Workers(ctx)
	if err != nil {
		return "", brokerHint(err)
	}
	var ready []string
	for _, w := range workers {
		if !w.Draining && !slices.Contains(ready, w.Model) {
			ready = append(ready, w.Model)
		}
	}
	all, err := q.Models(ctx)
	if err != nil {
		return "", brokerHint(err)
	}
	if named == "" {
		return onlyModel(all, ready)
	}
	if slices.Contains(all, named) {
		return named, nil
	}
	known := "none yet"
	if len(all) > 0 {
		known = strings.Join(all, ", ")
	}
	return "", withHint(fmt.Errorf("no worker has announced the model %q; known: %s", named, known),
		"Start one: `semantic worker --model %s`.", named)
}

// unsubmitted is the error of a Submit. Where that leaves open whether the job
// is stored, it is cancelled, so that none runs that nobody follows.
func (s *submitRun) unsubmitted(ctx context.Context, q canceller, id string, err error) error {
	if ctx.Err() == nil && !errors.Is(err, queue.ErrUnavailable) {
		return submitHint(err)
	}
	bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelBound)
	defer stop()
	s.app.notef("Not known to be stored: cancelling job %s.\n", id)
	if failed := q.Cancel(bounded, queue.OwnerLocal, id, "requested"); failed != nil {
		err = fmt.Errorf("job %s may have been stored, and may still run: %w", id, err)
	} else {
		err = fmt.Errorf("job %s was cancelled: %w", id, err)
	}
	if ctx.Err() != nil {
		return withCode(err, exitInterrupted)
	}
	return submitHint(err)
}

// canceller is what unsubmitted needs of a [queue.Queue].
type canceller interface {
	Cancel(ctx context.Context, owner, jobID, reason string) error
}

func submitHint(err error) error {
	switch {
	case errors.As(err, new(*schemas.FieldError)):
		return jobFault(err)
	case errors.Is(err, queue.ErrQueueFull):
		return withHint(err, "Try again later, or use another --class.")
	case errors.Is(err, queue.ErrStorageFull):
		return withHint(err, "The broker's storage is nearly full; jobs that end make room, their logs only as they age, after up to 25 h.")
	}
	return brokerHint(err)
}

// follow prints the job's events until it ends; when ctx ends before, or nobody
// reads the answer any more, it cancels the job, and when the deadline passes
// and no worker says so, it ends the job itself.
func (s *submitRun) follow(ctx context.Context, q *queue.Queue, t queue.Ticket, deadline time.Duration) error {
	follower, err := q.Follow(ctx, t.Owner, t.JobID, 0)
	if err != nil {
		return brokerHint(err)
	}
	defer follower.Close()
	printer := &eventPrinter{out: s.app.Out, asJSON: s.asJSON}
	waiting, stop := context.WithDeadline(ctx, t.StoredAt.Add(deadline+expiryGrace))
	defer stop()
	for {
		event, err := follower.Next(waiting)
		switch {
		case ctx.Err() != nil:
			_ = printer.endLine() // the stop is the news
			if err := s.cancel(ctx, q, t); err != nil {
				return err
			}
			return withCode(fmt.Errorf("job %s was cancelled", t.JobID), exitInterrupted)
		case errors.Is(err, context.DeadlineExceeded) && waiting.Err() != nil:
			if err := q.Expire(ctx, t.Owner, t.JobID, deadline); err != nil {
				return fmt.Errorf("job %s: %w", t.JobID, err)
			}
			waiting = ctx // its end is in the log now
			continue
		case err != nil:
			return fmt.Errorf("job %s: %w", t.JobID, err)
		}
		err = printer.print(event)
		switch over := event.Type.Terminal(); {
		case err == nil && !over:
			continue
		case err == nil:
			err = printer.endLine()
		case !over:
			err = errors.Join(err, s.cancel(ctx, q, t))
		}
		if err != nil {
			return err
		}
		return s.ended(t, event)
	}
}

// eventPrinter prints a job's events: the text of the answer, or JSON lines.
type eventPrinter struct {
	out     io.Writer
	asJSON  bool
	midLine bool
}

func (p *eventPrinter) print(e schemas.Event) error {
	if p.asJSON {
		line, err := schemas.EncodeEvent(e)
		if err != nil {
			return err
		}
		return printTo(p.out, "%s\n", line)
	}
	text := textOf(e)
	if text == "" {
		return nil
	}
	p.midLine = !strings.HasSuffix(text, "\n")
	return printTo(p.out, "%s", text)
}

// endLine ends the line that the answer left open.
func (p *eventPrinter) endLine() error {
	if !p.midLine {
		return nil
	}
	p.midLine = false
	return printTo(p.out, "\n")
}

// textOf is what the event adds to the answer.
func textOf(e schemas.Event) string {
	switch {
	case e.Delta != nil:
		return e.Delta.Text
	case e.Done != nil:
		return e.Done.Text
	}
	return ""
}

// ended turns the last event into the command's result.
func (s *submitRun) ended(t queue.Ticket, e schemas.Event) error {
	switch e.Type {
	case schemas.EventDone:
		if e.Done.FinishReason == schemas.FinishLength && !s.asJSON {
			s.app.notef("(the answer was cut at its length limit)\n")
		}
		return nil
	case schemas.EventFailed:
		return fmt.Errorf("job %s failed: %s (%s)", t.JobID, e.Failed.Message, e.Failed.Code)
	case schemas.EventExpired:
		deadline := time.Duration(e.Expired.DeadlineMS) * time.Millisecond
		return withHint(fmt.Errorf("job %s passed its deadline of %s", t.JobID, deadline), "Give it more with --deadline.")
	default:
		return fmt.Errorf("job %s was cancelled", t.JobID)
	}
}

// cancel ends the job, since nobody waits for it any more.
func (s *submitRun) cancel(ctx context.Context, q *queue.Queue, t queue.Ticket) error {
	bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelBound)
	defer stop()
	if err := q.Cancel(bounded, t.Owner, t.JobID, "requested"); err != nil {
		return fmt.Errorf("job %s could not be cancelled: %w", t.JobID, err)
	}
	return nil
}
