package queue

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/schemas"
)

var errTODO = errors.New("queue: not written yet")

// Options are what [Open] needs. Only one of URL and InProcess.
type Options struct {
	// URL of the server, or several separated by commas.
	URL string
	// InProcess, when set, connects without a socket (embedded.Server).
	InProcess interface {
		InProcessConn() (net.Conn, error)
	}
	// Name shows in the server's connection list.
	Name string
	// CredsFile is a NATS credentials file; Token a plain token; CAFile the
	// certificate authority that signed the server's certificate. All optional.
	CredsFile, Token, CAFile string
	// Logger defaults to discarding.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
	// TracerProvider makes the spans; nil means none.
	TracerProvider trace.TracerProvider
	// Config tunes the queue; the zero Config means DefaultConfig.
	Config Config
}

// Queue is a connection to the broker. Safe for concurrent use.
type Queue struct{}

// Open connects; from then on the connection is restored for ever. Errors:
// ErrUnavailable, ErrUnauthorized, ErrJetStreamUnavailable, ErrInvalid.
func Open(ctx context.Context, o Options) (*Queue, error) { return nil, errTODO }

// Ensure makes the streams that are missing and checks those that exist; a
// foreign or older one is a *TopologyError and is left alone. Idempotent.
func (q *Queue) Ensure(ctx context.Context) error { return errTODO }

// Close drains the connection and joins every goroutine. Idempotent.
func (q *Queue) Close(ctx context.Context) error { return errTODO }

// Healthy returns nil while connected, else ErrUnavailable with the cause.
func (q *Queue) Healthy() error { return errTODO }

// Config returns the configuration in use.
func (q *Queue) Config() Config { return Config{} }

// Submission is a job to be stored.
type Submission struct {
	// JobID is the id; "" draws a new one.
	JobID string
	// Owner is the identity of who asks; "" means OwnerLocal.
	Owner string
	// Class defaults to normal.
	Class schemas.Class
	// RequestID goes on every log line of the request.
	RequestID string
	Job       schemas.Job
}

// Ticket is the receipt for a stored job.
type Ticket struct {
	JobID, Owner, Subject string
	Class                 schemas.Class
	Flow                  int
	// Sequence is the job's sequence in the stream of its class; 0 if the job
	// was stored by an earlier Submit and its place is not known.
	Sequence uint64
	// StoredAt is when the server stored it (this machine's clock at the answer).
	StoredAt time.Time
	// Attached is set when the same job had been submitted before.
	Attached bool
}

// Submit stores a job durably. The same id and body again attaches to the job.
// Errors: ErrQueueFull, ErrStorageFull, ErrUnavailable, ErrConflict (same id,
// other body), ErrTooLarge, ErrInvalid.
func (q *Queue) Submit(ctx context.Context, s Submission) (Ticket, error) { return Ticket{}, errTODO }

// Follow reads a job's events from the first with N > after. It may be called
// before the job has any event. ErrLogRewound: the log ends before after.
func (q *Queue) Follow(ctx context.Context, owner, jobID string, after int64) (*Follower, error) {
	return nil, errTODO
}

// Follower reads one job's events. For one goroutine at a time; Close may be
// called from any.
type Follower struct{}

// Next blocks for the next event: in order, no gap, no repeat. io.EOF after
// the terminal event. Gaps, silence and reconnects are repaired from the log.
func (f *Follower) Next(ctx context.Context) (schemas.Event, error) { return schemas.Event{}, errTODO }

// Close ends the subscription. Idempotent.
func (f *Follower) Close() {}

// Log reads all events of a job; empty if there are none.
func (q *Queue) Log(ctx context.Context, owner, jobID string) ([]schemas.Event, error) {
	return nil, errTODO
}

// Cancel ends a job: at once if nothing started, else by its worker, and after
// CancelGrace by itself. Returns nil when the job has ended, however it ended.
func (q *Queue) Cancel(ctx context.Context, owner, jobID, reason string) error { return errTODO }

// Expire ends a job whose deadline passed. nil if the job had ended otherwise.
func (q *Queue) Expire(ctx context.Context, owner, jobID string, deadline time.Duration) error {
	return errTODO
}

// ClaimOptions says who claims what. All fields are required.
type ClaimOptions struct {
	Model, WorkerID, Incarnation string
}

// NewClaimer starts listening for the doorbell of a model.
func (q *Queue) NewClaimer(ctx context.Context, o ClaimOptions) (*Claimer, error) {
	return nil, errTODO
}

// Claimer claims jobs of one model. Next is for one goroutine.
type Claimer struct{}

// Next blocks until a job is claimed. Call it only with room for a job.
func (c *Claimer) Next(ctx context.Context) (*Delivery, error) { return nil, errTODO }

// Close stops pulling; Next returns ErrClosed. Idempotent.
func (c *Claimer) Close() {}

// Delivery is one claimed job. The goroutine that got it owns it; KeepAlive
// may run beside the other methods, and Adopt may be called from any.
type Delivery struct {
	JobID, Owner, Model             string
	Class                           schemas.Class
	Flow                            int
	RequestID, ReplyTo, TraceParent string
	// StoredAt is when the server stored the job, by its clock.
	StoredAt time.Time
	// Sequence is the job's sequence in the stream of its class.
	Sequence uint64
	// Redelivered tells that the server had offered the job before.
	Redelivered bool
}

// Key identifies the job among all: owner and id. A worker that already runs a
// job with this key calls Adopt on the delivery it has.
func (d *Delivery) Key() string { return "" }

// Job decodes the body, strictly: *schemas.FieldError, schemas.ErrNewerVersion.
func (d *Delivery) Job() (schemas.Job, error) { return schemas.Job{}, errTODO }

// Log returns the events read at the claim. Do not change them.
func (d *Delivery) Log() []schemas.Event { return nil }

// Deaths counts the attempts in the log whose worker is known to have died.
func (d *Delivery) Deaths() int { return 0 }

// Append stores the next event. Version, Job, N and Time are set here.
// ErrFenced: the job is another's now, stop. ErrTerminal: the job had ended.
// It waits out a broker that is away, until ctx ends.
func (d *Delivery) Append(ctx context.Context, e schemas.Event) error { return errTODO }

// KeepAlive beats every AckWait/3 until ctx ends; run it in a goroutine.
func (d *Delivery) KeepAlive(ctx context.Context) error { return errTODO }

// Ack removes the job from the queue. Only after its terminal event
// (ErrNotTerminal).
func (d *Delivery) Ack(ctx context.Context) error { return errTODO }

// HandBack gives the job to others at once and rings their bell.
func (d *Delivery) HandBack(ctx context.Context) error { return errTODO }

// Adopt makes d, which is being run, answer for newer, which is the same job
// offered again: d's heartbeats and ack go to both. newer must not be used
// afterwards. ErrInvalid if it is another job.
func (d *Delivery) Adopt(newer *Delivery) error { return errTODO }

// ControlCancel is the kind of a control message that ends one job.
const ControlCancel = "cancel"

// ControlMessage is a request to a worker.
type ControlMessage struct {
	Kind  string `json:"kind"`
	Owner string `json:"owner"`
	JobID string `json:"job"`
	// Reason is why, for the cancelled event.
	Reason string `json:"reason,omitempty"`
}

// Control listens for messages to a worker.
func (q *Queue) Control(ctx context.Context, workerID string) (*ControlFeed, error) {
	return nil, errTODO
}

// ControlFeed is a worker's incoming messages.
type ControlFeed struct{}

// Next blocks for the next message. Messages may repeat. ErrClosed after Close.
func (f *ControlFeed) Next(ctx context.Context) (ControlMessage, error) {
	return ControlMessage{}, errTODO
}

// Close ends the feed. Idempotent.
func (f *ControlFeed) Close() {}

// Register enters a worker into the registry and keeps the entry fresh.
// *FingerprintError when a live worker of the same model differs.
func (q *Queue) Register(ctx context.Context, s schemas.WorkerStatus) (*Registration, error) {
	return nil, errTODO
}

// Registration is a worker's entry. Safe for concurrent use.
type Registration struct{}

// Update replaces the entry's status.
func (r *Registration) Update(ctx context.Context, s schemas.WorkerStatus) error { return errTODO }

// Close removes the entry and joins the refresher. Idempotent.
func (r *Registration) Close(ctx context.Context) error { return errTODO }

// Workers lists the live workers, by id; served from a watched cache after the
// first call.
func (q *Queue) Workers(ctx context.Context) ([]schemas.WorkerStatus, error) { return nil, errTODO }

// Models lists every model ever announced, sorted.
func (q *Queue) Models(ctx context.Context) ([]string, error) { return nil, errTODO }

// Depth is how many jobs of a model and class wait and run.
type Depth struct {
	Model           string
	Class           schemas.Class
	Queued, Running int64
}

// Depth counts stored jobs. Queued and Running add up to the stream's count.
func (q *Queue) Depth(ctx context.Context) ([]Depth, error) { return nil, errTODO }
