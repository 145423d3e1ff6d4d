package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// The types' tags are read once: events are decoded for every token.
var (
	jobBinder    = strictjson.For[Job]()
	eventBinder  = strictjson.For[Event]()
	workerBinder = strictjson.For[WorkerStatus]()
	inputBinder  = strictjson.For[Input]()
	parkedBinder = strictjson.For[Parked]()
	exitBinder   = strictjson.For[Exit]()
)

// DecodeJob reads and validates a job. Its errors are [*FieldError] and
// [ErrNewerVersion].
func DecodeJob(data []byte) (Job, error) {
	return decode(data, Version, jobBinder, Job.Validate)
}

// DecodeEvent reads and validates an event. Its errors are [*FieldError] and
// [ErrNewerVersion].
func DecodeEvent(data []byte) (Event, error) {
	return decode(data, Version, eventBinder, Event.Validate)
}

// DecodeWorkerStatus reads and validates a registry entry. Its errors are
// [*FieldError] and [ErrNewerVersion].
func DecodeWorkerStatus(data []byte) (WorkerStatus, error) {
	return decode(data, WorkerVersion, workerBinder, WorkerStatus.Validate)
}

// ReadWorkerStatus is DecodeWorkerStatus for who looks which workers there are: an
// entry of a newer release is read as far as this one knows it. [ErrNewerVersion]
// only where that cannot be done.
func ReadWorkerStatus(data []byte) (WorkerStatus, error) {
	w, err := DecodeWorkerStatus(data)
	if !errors.Is(err, ErrNewerVersion) {
		return w, err
	}
	var known WorkerStatus
	if json.Unmarshal(data, &known) != nil || known.Validate() != nil {
		return WorkerStatus{}, err
	}
	return known, nil
}

// DecodeInput reads and validates what stands for a large job. Its errors are
// [*FieldError] and [ErrNewerVersion].
func DecodeInput(data []byte) (Input, error) {
	return decode(data, InputVersion, inputBinder, Input.Validate)
}

// DecodeParked reads and validates a dead job. Its errors are [*FieldError] and
// [ErrNewerVersion].
func DecodeParked(data []byte) (Parked, error) {
	return decode(data, Version, parkedBinder, Parked.Validate)
}

// DecodeExit reads and validates how a worker's process ended. Its errors are
// [*FieldError].
func DecodeExit(data []byte) (Exit, error) {
	return decode(data, Version, exitBinder, Exit.Validate)
}

// EncodeJob validates the job and writes it as JSON; a zero Version is
// written as [Version]. What it writes, [DecodeJob] reads as the same job (empty
// lists and maps as nil). Its errors are [*FieldError].
func EncodeJob(j Job) ([]byte, error) {
	if j.Version == 0 {
		j.Version = Version
	}
	return encode(j, j.Validate())
}

// EncodeEvent validates the event and writes it as JSON; a zero Version is
// written as [Version], and Time in UTC. What it writes, [DecodeEvent] reads
// as the same event (empty lists as nil). Its errors are [*FieldError].
func EncodeEvent(e Event) ([]byte, error) {
	if e.Version == 0 {
		e.Version = Version
	}
	e.Time = e.Time.UTC()
	return encode(e, e.Validate())
}

// EncodeWorkerStatus validates the entry and writes it as JSON; a zero
// Version is written as [WorkerVersion], and the times in UTC. Its errors are
// [*FieldError].
func EncodeWorkerStatus(w WorkerStatus) ([]byte, error) {
	if w.Version == 0 {
		w.Version = WorkerVersion
	}
	w.StartedAt, w.UpdatedAt = w.StartedAt.UTC(), w.UpdatedAt.UTC()
	return encode(w, w.Validate())
}

// EncodeInput validates what stands for a large job and writes it as JSON, the
// same for the same input; a zero Version is written as [InputVersion]. Its errors
// are [*FieldError].
func EncodeInput(i Input) ([]byte, error) {
	if i.Version == 0 {
		i.Version = InputVersion
	}
	return encode(i, i.Validate())
}

// EncodeParked validates the dead job and writes it as JSON; a zero Version is
// written as [Version], and the times in UTC. Its errors are [*FieldError].
func EncodeParked(p Parked) ([]byte, error) {
	if p.Version == 0 {
		p.Version = Version
	}
	p.StoredAt, p.ParkedAt = p.StoredAt.UTC(), p.ParkedAt.UTC()
	p.Attempts = slices.Clone(p.Attempts)
	for i := range p.Attempts {
		a := &p.Attempts[i]
		a.Began = a.Began.UTC()
		if a.Exit != nil {
			exit := *a.Exit
			exit.Time = exit.Time.UTC()
			a.Exit = &exit
		}
	}
	return encode(p, p.Validate())
}

// EncodeExit validates how a process ended and writes it as JSON, with its time in
// UTC. Its errors are [*FieldError].
func EncodeExit(e Exit) ([]byte, error) {
	e.Time = e.Time.UTC()
	return encode(e, e.Validate())
}

// decode reads a document whose newest version is newest.
func decode[T any](data []byte, newest int, binder strictjson.Binder[T], validate func(T) error) (T, error) {
	var zero T
	root, err := strictjson.Parse(data)
	if err != nil {
		return zero, fieldError(err)
	}
	// Before anything else: a newer document may differ in everything but this.
	if v, ok := root.Get("v"); ok {
		if n, ok := v.Int(); ok && n > int64(newest) {
			return zero, fmt.Errorf("%w: its version is %d, the newest read here is %d", ErrNewerVersion, n, newest)
		}
	}
	t, err := binder.Bind(root)
	if err != nil {
		return zero, fieldError(err)
	}
	if err := validate(t); err != nil {
		return zero, err
	}
	return t, nil
}

func encode(doc any, invalid error) ([]byte, error) {
	if invalid != nil {
		return nil, invalid
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return nil, &FieldError{Reason: err.Error(), Code: CodeInvalidRequest}
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
