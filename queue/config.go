package queue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Bounds limit what one class may store. They are properties of the streams:
// direct publishers meet them too.
type Bounds struct {
	// MaxJobs is how many jobs, waiting and running together, the class holds.
	MaxJobs int64
	// MaxBytes is how many bytes they may take, with their subjects and headers.
	MaxBytes int64
	// MaxJobsPerFlow is how many of them one owner may have in one flow.
	MaxJobsPerFlow int64
}

// Config tunes a [Queue]. Take [DefaultConfig] and change what you need; the
// zero value is not valid. All members of a cluster should use the same values
// of AckWait, RegistryTTL, Bounds, EventsMaxBytes, EventsMaxAge, MaxJobBytes,
// InputsMaxBytes and Replicas.
type Config struct {
	// AckWait is how long a claimed job may go without a heartbeat before the
	// server offers it to others; heartbeats go out every third of it. Default
	// 5 s, at least 100 ms.
	AckWait time.Duration
	// PollInterval is how often an idle claimer looks for jobs that no doorbell
	// announced: redelivered ones, and lost bells. Default 1 s.
	PollInterval time.Duration
	// StealAfter is how long a job is left to its flow's home while that is busy,
	// before any other worker takes it. Less costs agents their caches, more
	// leaves machines idle. 0 leaves it to nobody: who is first has it. Default
	// 250 ms.
	StealAfter time.Duration
	// RequestTimeout bounds one request to the server; what is uncertain after
	// it is settled by reading back and tried again. Default 2 s.
	RequestTimeout time.Duration
	// SubmitTimeout bounds Submit as a whole while the broker does not answer;
	// after it the caller gets ErrUnavailable. Default 5 s.
	SubmitTimeout time.Duration
	// ConnectTimeout bounds the first connection. Default 5 s.
	ConnectTimeout time.Duration
	// ReconnectWait is the pause between attempts to reconnect to the same
	// server; attempts never end. Default 250 ms.
	ReconnectWait time.Duration
	// FollowSilence is after how long without an event a Follower looks into
	// the log for a lost last event. Default 5 s.
	FollowSilence time.Duration
	// CancelGrace is how long Cancel leaves a running job to its worker before
	// it ends the job itself. Default 2 s.
	CancelGrace time.Duration
	// RegistryTTL is after how long without a refresh a worker's entry goes.
	// Entries are refreshed every third of it. Default 10 s, at least 1 s.
	RegistryTTL time.Duration

	// DefaultDeadline is how long a job may wait and run when it does not say.
	// Default 10 min, for batch 24 h.
	DefaultDeadline map[schemas.Class]time.Duration
	// TTLMargin is how much later than the deadline the server may drop a job's
	// message for good; it is only a backstop. Default 1 h, at least 1 s.
	TTLMargin time.Duration

	// LeaseTTL is how long a leader that is gone stays the leader (see Reconcile).
	// Default 10 s, at least 300 ms, at most 30 s.
	LeaseTTL time.Duration
	// ReconcileInterval is how often the leader looks; a stored job younger than
	// that is none of its business. Default 1 s, at least 10 ms.
	ReconcileInterval time.Duration
	// DeadlineGrace is how long past its deadline a job that runs is left to its
	// worker before the leader ends it. Default 5 s.
	DeadlineGrace time.Duration
	// ModelGrace is how long a stored job waits for a model that no worker has
	// announced: one that loads it for the first time may be about to. Default 1 min.
	ModelGrace time.Duration
	// SubmitGrace is how much longer than a Submit can take a job may be announced
	// in its log and not stored, before the leader ends it. Default 1 min.
	SubmitGrace time.Duration
	// EventRetention is how long a job's log is kept after its end. Default 1 h, at
	// least 1 s; the longest permitted deadline is EventsMaxAge less the retention,
	// or less an hour where that is more.
	EventRetention time.Duration

	// Bounds of each class. Defaults: interactive 1,000 jobs, 128 MiB, 256 per
	// flow and owner; normal 10,000, 512 MiB, 2,048; batch 100,000, 1 GiB, 20,000.
	Bounds map[schemas.Class]Bounds
	// EventsMaxBytes bounds all job logs together. Default 2 GiB.
	EventsMaxBytes int64
	// EventsMaxAge is the life of one event: the longest permitted deadline plus
	// the retention. Default 25 h.
	EventsMaxAge time.Duration
	// InlineBytes is how large a job may be to be kept in its message; a larger one
	// goes to the object store. Default 512 KiB, at least 1 KiB, at most 4 MiB; a
	// broker that takes only smaller messages lowers it.
	InlineBytes int64
	// MaxJobBytes is the largest job that Submit takes, and that is fetched from
	// the object store. Default 64 MiB, at least InlineBytes.
	MaxJobBytes int64
	// InputsMaxBytes bounds the object store of large jobs; the one of those that
	// are dead gets a quarter as much. Default 512 MiB.
	InputsMaxBytes int64
	// StorageHighWater is the part of a byte limit from which Submit answers
	// ErrStorageFull, so that running jobs can finish. Default 0.85.
	StorageHighWater float64
	// Replicas of every stream: 1, 3 or 5; 0 is 3 where the broker is a cluster,
	// else 1, and streams that were made with fewer get more. Default 0.
	Replicas int
	// MaxConsumers bounds the consumers of a class: 16 for each model. Default
	// 4,096, which is 256 models.
	MaxConsumers int
	// ApplyBounds lets Ensure bring the bounds of streams that exist to this
	// Config. Without it they stay as they were made, so that a worker started
	// with defaults does not undo a gateway's configuration. Default false.
	ApplyBounds bool

	// ReplyPrefixes are subject prefixes, each ending in ".", under which a
	// job's reply_to is honoured besides the owner's inbox. {owner} in a prefix
	// stands for the owner's slug. Default none.
	ReplyPrefixes []string
}

// DefaultConfig returns the defaults named at each field.
func DefaultConfig() Config {
	const mib = 1 << 20
	return Config{
		AckWait:        5 * time.Second,
		PollInterval:   time.Second,
		StealAfter:     250 * time.Millisecond,
		RequestTimeout: 2 * time.Second,
		SubmitTimeout:  5 * time.Second,
		ConnectTimeout: 5 * time.Second,
		ReconnectWait:  250 * time.Millisecond,
		FollowSilence:  5 * time.Second,
		CancelGrace:    2 * time.Second,
		RegistryTTL:    10 * time.Second,
		DefaultDeadline: map[schemas.Class]time.Duration{
			schemas.ClassInteractive: 10 * time.Minute,
			schemas.ClassNormal:      10 * time.Minute,
			schemas.ClassBatch:       24 * time.Hour,
		},
		TTLMargin:         time.Hour,
		LeaseTTL:          10 * time.Second,
		ReconcileInterval: time.Second,
		DeadlineGrace:     5 * time.Second,
		ModelGrace:        time.Minute,
		SubmitGrace:       time.Minute,
		EventRetention:    time.Hour,
		Bounds: map[schemas.Class]Bounds{
			schemas.ClassInteractive: {MaxJobs: 1_000, MaxBytes: 128 * mib, MaxJobsPerFlow: 256},
			schemas.ClassNormal:      {MaxJobs: 10_000, MaxBytes: 512 * mib, MaxJobsPerFlow: 2_048},
			schemas.ClassBatch:       {MaxJobs: 100_000, MaxBytes: 1024 * mib, MaxJobsPerFlow: 20_000},
		},
		EventsMaxBytes:   2048 * mib,
		EventsMaxAge:     25 * time.Hour,
		InlineBytes:      512 << 10,
		MaxJobBytes:      64 * mib,
		InputsMaxBytes:   512 * mib,
		StorageHighWater: 0.85,
		MaxConsumers:     4096,
	}
}

// Validate reports every field that is out of range, and every relation
// between fields that cannot work.
func (c Config) Validate() error {
	var problems []error
	atLeast := func(name string, have, least time.Duration) {
		if have < least {
			problems = append(problems, fmt.Errorf("%w: %s is %v, at least %v", ErrInvalid, name, have, least))
		}
	}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...))
		}
	}
	atLeast("AckWait", c.AckWait, 100*time.Millisecond)
	atLeast("PollInterval", c.PollInterval, 10*time.Millisecond)
	atLeast("StealAfter", c.StealAfter, 0)
	atLeast("RequestTimeout", c.RequestTimeout, 10*time.Millisecond)
	atLeast("SubmitTimeout", c.SubmitTimeout, c.RequestTimeout)
	atLeast("ConnectTimeout", c.ConnectTimeout, 10*time.Millisecond)
	atLeast("ReconnectWait", c.ReconnectWait, time.Millisecond)
	atLeast("FollowSilence", c.FollowSilence, 10*time.Millisecond)
	atLeast("CancelGrace", c.CancelGrace, 0)
	atLeast("RegistryTTL", c.RegistryTTL, time.Second)
	atLeast("TTLMargin", c.TTLMargin, time.Second)
	atLeast("LeaseTTL", c.LeaseTTL, 300*time.Millisecond)
	check(c.LeaseTTL <= leasesAge, "LeaseTTL is %v, at most %v", c.LeaseTTL, leasesAge)
	atLeast("ReconcileInterval", c.ReconcileInterval, 10*time.Millisecond)
	atLeast("DeadlineGrace", c.DeadlineGrace, 0)
	atLeast("ModelGrace", c.ModelGrace, 0)
	atLeast("SubmitGrace", c.SubmitGrace, 0)
	atLeast("EventRetention", c.EventRetention, time.Second)
	check(c.EventRetention < c.EventsMaxAge, "EventRetention %v is not shorter than EventsMaxAge %v", c.EventRetention, c.EventsMaxAge)
	for _, class := range schemas.Classes() {
		atLeast("DefaultDeadline of "+string(class), c.DefaultDeadline[class], time.Second)
		check(c.DefaultDeadline[class] <= c.EventsMaxAge,
			"EventsMaxAge %v is shorter than the %s deadline %v: a log would lose its head",
			c.EventsMaxAge, class, c.DefaultDeadline[class])
		b := c.Bounds[class]
		check(b.MaxJobs > 0 && b.MaxBytes > 0 && b.MaxJobsPerFlow > 0, "Bounds of %s: every bound is positive", class)
		check(b.MaxJobsPerFlow <= b.MaxJobs, "Bounds of %s: MaxJobsPerFlow %d is over MaxJobs %d",
			class, b.MaxJobsPerFlow, b.MaxJobs)
	}
	check(c.EventsMaxBytes > 0, "EventsMaxBytes is %d, want a positive number", c.EventsMaxBytes)
	const leastInline, mostInline = 1 << 10, 4 << 20
	check(c.InlineBytes >= leastInline && c.InlineBytes <= mostInline,
		"InlineBytes is %d, want %d to %d", c.InlineBytes, leastInline, mostInline)
	check(c.MaxJobBytes >= c.InlineBytes, "MaxJobBytes is %d, less than InlineBytes, %d", c.MaxJobBytes, c.InlineBytes)
	check(c.InputsMaxBytes > 0, "InputsMaxBytes is %d, want a positive number", c.InputsMaxBytes)
	check(c.StorageHighWater > 0 && c.StorageHighWater <= 1, "StorageHighWater is %v, want above 0, at most 1", c.StorageHighWater)
	check(slices.Contains([]int{0, 1, 3, 5}, c.Replicas), "Replicas is %d, want 1, 3 or 5, or 0 for what fits the broker", c.Replicas)
	check(c.MaxConsumers >= Flows, "MaxConsumers is %d, want at least %d", c.MaxConsumers, Flows)
	for _, prefix := range c.ReplyPrefixes {
		subject := strings.ReplaceAll(prefix, "{owner}", "owner")
		check(strings.HasSuffix(subject, ".") && concreteSubject(strings.TrimSuffix(subject, ".")) &&
			!strings.HasPrefix(subject, "semantic.") && !strings.HasPrefix(subject, "$"),
			"ReplyPrefixes: %q: want a prefix that ends in a dot, outside semantic. and $", prefix)
	}
	return errors.Join(problems...)
}
