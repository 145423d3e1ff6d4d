package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// The types' tags are read once: events are decoded for every token.
var (
	jobBinder    = strictjson.For[Job]()
	eventBinder  = strictjson.For[Event]()
	workerBinder = strictjson.For[WorkerStatus]()
)

// DecodeJob reads and validates a job. Its errors are [*FieldError] and
// [ErrNewerVersion].
func DecodeJob(data []byte) (Job, error) {
	return decode(data, jobBinder, Job.Validate)
}

// DecodeEvent reads and validates an event. Its errors are [*FieldError] and
// [ErrNewerVersion].
func DecodeEvent(data []byte) (Event, error) {
	return decode(data, eventBinder, Event.Validate)
}

// DecodeWorkerStatus reads and validates a registry entry. Its errors are
// [*FieldError] and [ErrNewerVersion].
func DecodeWorkerStatus(data []byte) (WorkerStatus, error) {
	return decode(data, workerBinder, WorkerStatus.Validate)
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
// Version is written as [Version], and the times in UTC. Its errors are
// [*FieldError].
func EncodeWorkerStatus(w WorkerStatus) ([]byte, error) {
	if w.Version == 0 {
		w.Version = Version
	}
	w.StartedAt, w.UpdatedAt = w.StartedAt.UTC(), w.UpdatedAt.UTC()
	return encode(w, w.Validate())
}

func decode[T any](data []byte, binder strictjson.Binder[T], validate func(T) error) (T, error) {
	var zero T
	root, err := strictjson.Parse(data)
	if err != nil {
		return zero, fieldError(err)
	}
	// Before anything else: a newer document may differ in everything but this.
	if v, ok := root.Get("v"); ok {
		if n, ok := v.Int(); ok && n > Version {
			return zero, fmt.Errorf("%w: its version is %d, the newest read here is %d", ErrNewerVersion, n, Version)
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
