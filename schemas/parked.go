package schemas

import (
	"fmt"
	"time"
)

// Parked is a job that was given up because its workers died: what is needed to
// find out why, and to submit it again. It is the entry of a dead job in the
// queue.
type Parked struct {
	// Version is the schema version that the document was written in.
	Version int `json:"v"`
	// Job is the job's id.
	Job string `json:"job" jsonschema:"minLength=1,maxLength=128,pattern=^[A-Za-z0-9_-]*$"`
	// Owner is whose job it is.
	Owner string `json:"owner" jsonschema:"minLength=1"`
	// Model is the plain name of the model.
	Model string `json:"model" jsonschema:"minLength=1,maxLength=200"`
	// Class is the job's class.
	Class Class `json:"class" jsonschema:"enum=interactive,enum=normal,enum=batch"`
	// Subject is where the job was published.
	Subject string `json:"subject" jsonschema:"minLength=1"`
	// RequestID goes on every log line of the request; empty where it had none.
	RequestID string `json:"request_id,omitempty"`
	// StoredAt is when the server stored the job.
	StoredAt time.Time `json:"stored_at"`
	// ParkedAt is the clock of who gave it up.
	ParkedAt time.Time `json:"parked_at"`
	// ParkedBy is the id of the worker that gave it up, without trying it.
	ParkedBy string `json:"parked_by" jsonschema:"minLength=1"`
	// Code is that of the job's end.
	Code Code `json:"code" jsonschema:"minLength=1"`
	// Message is what its client was told.
	Message string `json:"message" jsonschema:"minLength=1"`
	// Attempts are its claims that left a trace in its log, oldest first; of many
	// the last 64.
	Attempts []Attempt `json:"attempts,omitempty" jsonschema:"maxItems=64"`
	// Tokens is how many were made, of all attempts together.
	Tokens int `json:"tokens" jsonschema:"minimum=0"`
	// LastTokens are the last ids in its log, at most 64.
	LastTokens []int32 `json:"last_tokens,omitempty" jsonschema:"maxItems=64"`
	// LastText is the end of what it had said, at most 1,024 bytes.
	LastText string `json:"last_text,omitempty"`
	// Log is the end of its log: events as they are stored, at most 32.
	Log []string `json:"log,omitempty" jsonschema:"maxItems=32"`
	// Body is the job as it was published; empty where Input is set.
	Body string `json:"body,omitempty"`
	// Input is set where the job is kept in the object store, in the bucket dead.
	Input *InputRef `json:"input,omitempty"`
}

// Attempt is one worker's try of a job.
type Attempt struct {
	// Worker is the worker's id, kept over its restarts.
	Worker string `json:"worker" jsonschema:"minLength=1"`
	// Incarnation is drawn anew at each start of the worker process.
	Incarnation string `json:"incarnation" jsonschema:"minLength=1"`
	// Began is the worker's clock.
	Began time.Time `json:"began"`
	// Started is whether the model had begun with it; else the worker had only
	// prepared it, or let it wait.
	Started bool `json:"started"`
	// Alone is whether the worker computed nothing else beside it.
	Alone bool `json:"alone"`
	// Tokens is how many it brought into the log.
	Tokens int `json:"tokens" jsonschema:"minimum=0"`
	// End is how it ended.
	End AttemptEnd `json:"end" jsonschema:"enum=died,enum=gave_back,enum=lost"`
	// Counted is whether the job was given up for it, among others: a death
	// after which the log did not grow.
	Counted bool `json:"counted"`
	// Reason is why it gave the job back, or how its engine failed.
	Reason string `json:"reason,omitempty"`
	// Exit is how the process ended; left out where nobody told, as of a worker
	// without a supervisor.
	Exit *Exit `json:"exit,omitempty"`
}

// AttemptEnd is how an [Attempt] ended.
type AttemptEnd string

// The ends of attempts.
const (
	// AttemptDied: the worker is gone, and had the job.
	AttemptDied AttemptEnd = "died"
	// AttemptGaveBack: it gave the job back unharmed.
	AttemptGaveBack AttemptEnd = "gave_back"
	// AttemptLost: another worker got the job, and this one is not known to have
	// died with it.
	AttemptLost AttemptEnd = "lost"
)

// Exit is how a worker's process ended, as its supervisor saw it.
type Exit struct {
	// Status is the operating system's word for it, like "exit status 2" or
	// "signal: segmentation fault".
	Status string `json:"status" jsonschema:"minLength=1"`
	// Code is the exit code; -1 after a signal.
	Code int `json:"code" jsonschema:"minimum=-1"`
	// Hung is whether the supervisor killed it for giving no sign of life.
	Hung bool `json:"hung,omitempty"`
	// Failure is what the process itself said last, if it could.
	Failure string `json:"failure,omitempty"`
	// Time is the supervisor's clock.
	Time time.Time `json:"time"`
}

// MaxAttempts bounds the attempts that a [Parked] lists, MaxParkedLog its events
// and MaxLastTokens its token ids.
const (
	MaxAttempts   = 64
	MaxParkedLog  = 32
	MaxLastTokens = 64
)

// Validate reports the first field that cannot be accepted, as a
// [*FieldError].
func (p Parked) Validate() error {
	switch {
	case !readable(p.Version):
		return badVersion(p.Version)
	case !ValidJobID(p.Job):
		return invalid("job", "must be 1 … %d characters of A-Z a-z 0-9 _ -", MaxJobID)
	case !p.Class.known():
		return invalid("class", "must be interactive, normal or batch, not %s", quote(string(p.Class)))
	case (p.Body == "") == (p.Input == nil):
		return invalid("body", "must be there, or else input")
	}
	if err := checkName("model", p.Model); err != nil {
		return err
	}
	if err := checkWords(
		word{"owner", p.Owner}, word{"subject", p.Subject}, word{"parked_by", p.ParkedBy},
		word{"code", string(p.Code)}, word{"message", p.Message},
	); err != nil {
		return err
	}
	for _, t := range []word{{"request_id", p.RequestID}, {"last_text", p.LastText}, {"body", p.Body}} {
		if err := checkText(t.field, t.text); err != nil {
			return err
		}
	}
	if err := p.validateLists(); err != nil {
		return err
	}
	if p.Input != nil {
		return p.Input.validate("input")
	}
	return nil
}

func (p Parked) validateLists() error {
	for _, l := range []struct {
		field      string
		have, most int
	}{
		{"attempts", len(p.Attempts), MaxAttempts},
		{"last_tokens", len(p.LastTokens), MaxLastTokens},
		{"log", len(p.Log), MaxParkedLog},
	} {
		if l.have > l.most {
			return invalid(l.field, "must hold at most %d, not %d", l.most, l.have)
		}
	}
	if err := checkCounts(count{"tokens", p.Tokens}); err != nil {
		return err
	}
	if err := checkTokens("last_tokens", p.LastTokens); err != nil {
		return err
	}
	for i, line := range p.Log {
		if err := checkText(fmt.Sprintf("log[%d]", i), line); err != nil {
			return err
		}
	}
	for i, a := range p.Attempts {
		if err := a.validate(fmt.Sprintf("attempts[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func (a Attempt) validate(field string) error {
	if err := checkWords(word{field + ".worker", a.Worker}, word{field + ".incarnation", a.Incarnation}); err != nil {
		return err
	}
	switch a.End {
	case AttemptDied, AttemptGaveBack, AttemptLost:
	default:
		return invalid(field+".end", "must be died, gave_back or lost, not %s", quote(string(a.End)))
	}
	if err := checkCounts(count{field + ".tokens", a.Tokens}); err != nil {
		return err
	}
	if err := checkText(field+".reason", a.Reason); err != nil || a.Exit == nil {
		return err
	}
	return a.Exit.validate(field + ".exit")
}

// Validate reports the first field that cannot be accepted, as a
// [*FieldError].
func (e Exit) Validate() error { return e.validate("") }

func (e Exit) validate(field string) error {
	if field != "" {
		field += "."
	}
	if e.Code < -1 {
		return invalid(field+"code", "must be at least -1, not %d", e.Code)
	}
	if err := checkWords(word{field + "status", e.Status}); err != nil {
		return err
	}
	return checkText(field+"failure", e.Failure)
}
