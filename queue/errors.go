package queue

import (
	"errors"
	"fmt"
	"strings"
)

// The errors of this package. All are found with errors.Is through any
// wrapping.
var (
	// ErrUnavailable: the broker, or its JetStream, cannot be reached now. The
	// connection is being restored for ever; try again.
	ErrUnavailable = errors.New("queue: broker unavailable")
	// ErrNoQuorum is the ErrUnavailable of a cluster of which too few members are
	// awake, or reach each other, to store anything.
	ErrNoQuorum = fmt.Errorf("%w: no quorum", ErrUnavailable)
	// ErrJetStreamUnavailable: the server was reached and has no JetStream, or
	// this account may not use it. Trying again does not help.
	ErrJetStreamUnavailable = errors.New("queue: JetStream is not available")
	// ErrUnauthorized: the server refused the credentials.
	ErrUnauthorized = errors.New("queue: not authorized")
	// ErrForbidden: the server does not let this user do that; see Role.
	ErrForbidden = errors.New("queue: not permitted")
	// ErrClosed: the Queue, or the part of it in use, was closed.
	ErrClosed = errors.New("queue: closed")
	// ErrInvalid: an argument is out of the grammar; nothing was sent.
	ErrInvalid = errors.New("queue: invalid argument")
	// ErrQueueFull: the class, or the owner's flow in it, holds no more jobs.
	ErrQueueFull = errors.New("queue: full")
	// ErrStorageFull: a storage limit of the broker is reached, or so near that
	// the rest is kept for running jobs.
	ErrStorageFull = errors.New("queue: storage full")
	// ErrTooLarge: the job is over Config.MaxJobBytes.
	ErrTooLarge = errors.New("queue: job too large")
	// ErrConflict: the job id is taken by a job with another body.
	ErrConflict = errors.New("queue: job id in use with another body")
	// ErrNotEmpty: a backup is not restored over messages.
	ErrNotEmpty = errors.New("queue: not empty")
	// ErrFenced: another writer owns the job's log now. Stop working on the
	// job; whoever holds it goes on from the log.
	ErrFenced = errors.New("queue: lost the job to another writer")
	// ErrNotTerminal: the job's log has no terminal event, so its message must
	// not be acknowledged.
	ErrNotTerminal = errors.New("queue: no terminal event in the log")
	// ErrTerminal: the job's log has its terminal event; nothing can follow.
	ErrTerminal = errors.New("queue: the job has ended")
	// ErrNoJob: the owner has no job with this id: it never was, or its log is
	// forgotten.
	ErrNoJob = errors.New("queue: no such job")
	// ErrKeyExists: an API key of this name exists.
	ErrKeyExists = errors.New("queue: key exists")
	// ErrUnknownModel: no worker ever announced the model, or it was forgotten.
	ErrUnknownModel = errors.New("queue: unknown model")
	// ErrNoKey: there is no API key of this name.
	ErrNoKey = errors.New("queue: no such key")
	// ErrKeysLeft: there are API keys; revoke them first.
	ErrKeysLeft = errors.New("queue: there are keys")
	// ErrNoTopology: the streams do not exist yet; see Ensure.
	ErrNoTopology = errors.New("queue: the streams do not exist yet")
	// ErrNotDead: there is no such dead job.
	ErrNotDead = errors.New("queue: no such dead job")
	// ErrNoWorker: no live worker is registered under the id.
	ErrNoWorker = errors.New("queue: no such worker")
	// ErrSilent: the worker did not answer. It may be gone, hang, sleep, or be of a
	// release that does not know the question.
	ErrSilent = errors.New("queue: the worker does not answer")
	// ErrLogRewound: the reader knows events that the log does not have: the
	// broker lost its last writes (see docs on durability).
	ErrLogRewound = errors.New("queue: log rewound")
)

// InputError says that a large job is not in the object store as its message says.
type InputError struct {
	// Store and Object name it.
	Store, Object string
	// Reason is what is wrong, as it follows the name.
	Reason string
}

// Error names the object.
func (e *InputError) Error() string {
	return fmt.Sprintf("the object %s of the store %s %s", e.Object, e.Store, e.Reason)
}

// TopologyError says that a stream on the server is not the one this release
// makes. Nothing was changed.
type TopologyError struct {
	// Stream is the stream's name.
	Stream string
	// Have and Want are topology versions. Have is "" for a stream that was not
	// made by semantic.
	Have, Want string
	// Differences lists what differs, as "field: have X, want Y".
	Differences []string
}

// Error names the stream, what differs and what to do.
func (e *TopologyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "queue: stream %s ", e.Stream)
	switch {
	case e.Have == "":
		b.WriteString("exists but was not made by semantic; rename it, or use another NATS account")
	case e.Have != e.Want:
		fmt.Fprintf(&b, "has topology version %s, this release needs %s", e.Have, e.Want)
	default:
		b.WriteString("was changed by hand")
	}
	if len(e.Differences) > 0 {
		b.WriteString(": ")
		b.WriteString(strings.Join(e.Differences, "; "))
	}
	return b.String()
}

// FingerprintError says that a live worker serves the same model name with
// other weights, runtime or template, so that streams could not move between
// the two.
type FingerprintError struct {
	Model        string
	Ours, Theirs string
	// Worker is the id of the live worker.
	Worker string
}

// Error shows both fingerprints.
func (e *FingerprintError) Error() string {
	return fmt.Sprintf("queue: model %q has fingerprint %s here but %s on the live worker %s; "+
		"serve it under another name, or stop that worker", e.Model, e.Ours, e.Theirs, e.Worker)
}
