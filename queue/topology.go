package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// The topology's version, in each stream's metadata as "major.minor". A minor
// step is applied in place by the newer release and is one that the older can
// live with; a major step needs a migration.
//
//	1.0  the first
//	1.1  jobs are stored in the 16 flows only, not under any other token
//	1.2  dead jobs are told apart by their owners
const (
	topologyMajor = 1
	topologyMinor = 2
	metaTopology  = "semantic.topology"
)

const (
	streamEvents = "EVENTS"
	streamDead   = "DEAD"

	bucketWorkers = "workers"
	bucketModels  = "models"
	bucketAgents  = "agents"
	bucketLeases  = "leases"
	bucketSecrets = "secrets"
	bucketKeys    = "keys"
	bucketExits   = "exits"

	// Object stores: the inputs of large jobs, and those of dead ones.
	storeInputs = "inputs"
	storeDead   = "dead"
)

// exitsAge is how long the end of a worker's process is remembered.
const exitsAge = 24 * time.Hour

// leasesAge is after how long a lease that nobody renews is gone in any case.
const leasesAge = 30 * time.Second

// dedupWindow is for how long the server refuses a second job with the same id
// by itself. After it, the log's first event is the lock.
const dedupWindow = 2 * time.Minute

func jobsStream(class schemas.Class) string { return "JOBS_" + strings.ToUpper(string(class)) }

func bucketStream(bucket string) string { return "KV_" + bucket }

func objectStream(store string) string { return "OBJ_" + store }

func topologyVersion(major, minor int) string { return strconv.Itoa(major) + "." + strconv.Itoa(minor) }

// streams declares every stream, with the bounds of the configuration.
func (c Config) streams() []jetstream.StreamConfig {
	var list []jetstream.StreamConfig
	for _, class := range schemas.Classes() {
		b := c.Bounds[class]
		list = append(list, jetstream.StreamConfig{
			Name:                 jobsStream(class),
			Description:          "semantic: jobs of class " + string(class),
			Subjects:             jobSubjects(class),
			Retention:            jetstream.WorkQueuePolicy,
			Discard:              jetstream.DiscardNew,
			DiscardNewPerSubject: true,
			MaxMsgs:              b.MaxJobs,
			MaxBytes:             b.MaxBytes,
			MaxMsgsPerSubject:    b.MaxJobsPerFlow,
			MaxConsumers:         c.MaxConsumers,
			AllowDirect:          true,
			AllowMsgTTL:          true,
			Duplicates:           dedupWindow,
			RePublish: &jetstream.RePublish{
				Source:      classFilter(class),
				Destination: prefixWake + "{{wildcard(1)}}." + string(class) + ".{{wildcard(2)}}.{{wildcard(3)}}",
				HeadersOnly: true,
			},
		})
	}
	list = append(list,
		jetstream.StreamConfig{
			Name:        streamEvents,
			Description: "semantic: the jobs' logs",
			Subjects:    []string{prefixEvents + "*.*"},
			Discard:     jetstream.DiscardNew,
			MaxBytes:    c.EventsMaxBytes,
			MaxAge:      c.EventsMaxAge,
			AllowDirect: true,
			RePublish: &jetstream.RePublish{
				Source:      prefixEvents + "*.*",
				Destination: prefixReply + "{{wildcard(1)}}.{{wildcard(2)}}",
			},
		},
		jetstream.StreamConfig{
			Name:        streamDead,
			Description: "semantic: dead jobs with their evidence",
			Subjects:    []string{subjectsDead},
			Discard:     jetstream.DiscardNew,
			MaxBytes:    128 << 20,
			AllowDirect: true,
			// A second entry of a job takes the place of the first.
			MaxMsgsPerSubject: 1,
		},
		bucket(bucketWorkers, "the live workers", c.RegistryTTL),
		bucket(bucketModels, "every model ever announced", 0),
		bucket(bucketAgents, "reports of agents' caches", time.Hour),
		bucket(bucketLeases, "who leads", leasesAge),
		bucket(bucketSecrets, "the deployment's secret", 0),
		bucket(bucketKeys, "the API keys, hashed", 0),
		bucket(bucketExits, "how workers' processes ended", exitsAge),
		// Removed with the jobs' logs; their age is a backstop.
		objectStore(storeInputs, "large jobs", c.InputsMaxBytes, c.EventsMaxAge),
		objectStore(storeDead, "large jobs that are dead", c.InputsMaxBytes/deadShare, 0),
	)
	for i := range list {
		list[i].Storage = jetstream.FileStorage
		list[i].Replicas = c.Replicas
		list[i].Metadata = map[string]string{metaTopology: topologyVersion(topologyMajor, topologyMinor)}
	}
	return list
}

// bucket declares a key-value bucket as the stream that it is, so that it is
// versioned and checked like the others. With a TTL the server leaves markers
// for expired entries, so that watchers see them go.
func bucket(name, description string, ttl time.Duration) jetstream.StreamConfig {
	s := jetstream.StreamConfig{
		Name:              bucketStream(name),
		Description:       "semantic: " + description,
		Subjects:          []string{"$KV." + name + ".>"},
		Discard:           jetstream.DiscardNew,
		MaxMsgsPerSubject: 1,
		MaxBytes:          64 << 20,
		MaxAge:            ttl,
		AllowRollup:       true,
		DenyDelete:        true,
		AllowDirect:       true,
	}
	if ttl > 0 {
		s.Duplicates = min(ttl, dedupWindow)
		s.AllowMsgTTL = true
		s.SubjectDeleteMarkerTTL = max(ttl, time.Second)
	}
	return s
}

// deadShare: the store of large dead jobs has this part of the bound of large jobs.
const deadShare = 4

// objectStore declares an object store as the stream that it is.
func objectStore(name, description string, maxBytes int64, maxAge time.Duration) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        objectStream(name),
		Description: "semantic: " + description,
		Subjects:    []string{"$O." + name + ".C.>", "$O." + name + ".M.>"},
		Discard:     jetstream.DiscardNew,
		MaxBytes:    maxBytes,
		MaxAge:      maxAge,
		AllowRollup: true,
		AllowDirect: true,
	}
}

// Ensure makes the streams that are missing and checks those that exist: one
// that is foreign, older, or was changed by hand is a [*TopologyError] for
// each, and is left as it is. Bounds of existing streams are changed only with
// Config.ApplyBounds. Idempotent; several processes may call it at once.
func (q *Queue) Ensure(ctx context.Context) error {
	var problems []error
	for _, want := range q.declared() {
		err := q.retry(ctx, func(ctx context.Context) error { return q.ensureStream(ctx, want) })
		var topology *TopologyError
		switch {
		case err == nil:
		case errors.As(err, &topology):
			problems = append(problems, err)
		case apiCode(err) == codeNoPeers:
			return fmt.Errorf("%w: %s needs %d members: %w", ErrNoQuorum, want.Name, want.Replicas, err)
		default:
			return fmt.Errorf("queue: ensure %s: %w", want.Name, err)
		}
	}
	return errors.Join(problems...)
}

// replicas is how many of each stream there are to be.
func (q *Queue) replicas() int {
	switch {
	case q.config.Replicas > 0:
		return q.config.Replicas
	case q.nc.ConnectedClusterName() != "":
		return clusterReplicas
	}
	return 1
}

// clusterReplicas keep a stream going while one member of three is away.
const clusterReplicas = 3

func (q *Queue) ensureStream(ctx context.Context, want jetstream.StreamConfig) error {
	var have jetstream.Stream
	err := q.permitted(ctx, apiPrefix+"STREAM.INFO."+want.Name, func(ctx context.Context) (err error) {
		have, err = q.js.Stream(ctx, want.Name)
		return err //nolint:wrapcheck // wrapped below
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return q.createStream(ctx, want)
	case err != nil:
		return fmt.Errorf("%w", err)
	}
	config := have.CachedInfo().Config
	update, err := compareStream(config, want, q.config.ApplyBounds)
	grow := q.grows(config, want)
	if err != nil || !update && !grow {
		return err
	}
	err = q.updateStream(ctx, config, want)
	if errors.Is(err, ErrForbidden) && !update {
		return nil // whoever may will do it
	}
	return err
}

// grows reports whether a stream gets more replicas, as an automatic number of
// them has it.
func (q *Queue) grows(have, want jetstream.StreamConfig) bool {
	return q.config.Replicas == 0 && have.Replicas < want.Replicas
}

// updateStream changes a stream to what this release makes; its bounds only with
// Config.ApplyBounds.
func (q *Queue) updateStream(ctx context.Context, have, want jetstream.StreamConfig) error {
	// Metadata of the server's own is kept.
	metadata := maps.Clone(have.Metadata)
	maps.Copy(metadata, want.Metadata)
	want.Metadata = metadata
	want.MaxConsumers = have.MaxConsumers // the server does not change it
	if replicas, grow := want.Replicas, q.grows(have, want); !q.config.ApplyBounds {
		copyBounds(&want, have)
		if grow {
			want.Replicas = replicas
		}
	}
	err := q.permitted(ctx, apiPrefix+"STREAM.UPDATE."+want.Name, func(ctx context.Context) error {
		_, err := q.js.UpdateStream(ctx, want)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

func (q *Queue) createStream(ctx context.Context, want jetstream.StreamConfig) error {
	err := q.permitted(ctx, apiPrefix+"STREAM.CREATE."+want.Name, func(ctx context.Context) error {
		_, err := q.js.CreateStream(ctx, want)
		return err //nolint:wrapcheck // wrapped below
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
		// Somebody made it meanwhile: look again.
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, ErrForbidden):
		return fmt.Errorf("%w: a gateway makes them when it starts: %w", ErrNoTopology, err)
	}
	return createError(want, err)
}

// createError says what to do about a stream that cannot be made.
func createError(want jetstream.StreamConfig, err error) error {
	switch apiCode(err) {
	case codeStorageResources, codeNoResources:
		return fmt.Errorf("%w: %s reserves %d MiB, which the broker does not have; lower its bound or give the broker more: %w",
			ErrStorageFull, want.Name, want.MaxBytes>>20, err)
	}
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return nil
}

// compareStream reports whether have needs an update to become want, or why it
// must not be touched.
func compareStream(have, want jetstream.StreamConfig, applyBounds bool) (update bool, err error) {
	problem := &TopologyError{
		Stream: want.Name, Have: have.Metadata[metaTopology], Want: want.Metadata[metaTopology],
		Differences: structureDifferences(have, want),
	}
	major, minor, ok := parseVersion(problem.Have)
	switch {
	case !ok:
		problem.Have = ""
		return false, problem
	case major != topologyMajor:
		return false, problem
	case minor > topologyMinor:
		return false, nil // a newer release changed it, in a way that we can live with
	case minor < topologyMinor:
		return true, nil
	case len(problem.Differences) > 0:
		return false, problem
	}
	return applyBounds && len(boundDifferences(have, want)) > 0, nil
}

func parseVersion(version string) (major, minor int, ok bool) {
	a, b, found := strings.Cut(version, ".")
	major, errMajor := strconv.Atoi(a)
	minor, errMinor := strconv.Atoi(b)
	return major, minor, found && errMajor == nil && errMinor == nil
}

// structureDifferences lists what makes have another kind of stream.
func structureDifferences(have, want jetstream.StreamConfig) []string {
	var d differences
	d.add("subjects", have.Subjects, want.Subjects)
	d.add("retention", have.Retention, want.Retention)
	d.add("storage", have.Storage, want.Storage)
	d.add("discard", have.Discard, want.Discard)
	d.add("discard_new_per_subject", have.DiscardNewPerSubject, want.DiscardNewPerSubject)
	d.add("allow_direct", have.AllowDirect, want.AllowDirect)
	d.add("allow_msg_ttl", have.AllowMsgTTL, want.AllowMsgTTL)
	d.add("allow_rollup_hdrs", have.AllowRollup, want.AllowRollup)
	d.add("republish", rePublishText(have.RePublish), rePublishText(want.RePublish))
	d.add("mirror", have.Mirror != nil, want.Mirror != nil)
	d.add("sources", len(have.Sources), len(want.Sources))
	d.add("subject_transform", have.SubjectTransform != nil, want.SubjectTransform != nil)
	d.add("sealed", have.Sealed, want.Sealed)
	return d
}

// boundDifferences lists what an operator may tune.
func boundDifferences(have, want jetstream.StreamConfig) []string {
	var d differences
	d.add("max_msgs", unlimited(have.MaxMsgs), unlimited(want.MaxMsgs))
	d.add("max_bytes", unlimited(have.MaxBytes), unlimited(want.MaxBytes))
	d.add("max_msgs_per_subject", unlimited(have.MaxMsgsPerSubject), unlimited(want.MaxMsgsPerSubject))
	d.add("max_age", have.MaxAge, want.MaxAge)
	d.add("num_replicas", have.Replicas, want.Replicas)
	return d
}

func copyBounds(to *jetstream.StreamConfig, from jetstream.StreamConfig) {
	to.MaxMsgs, to.MaxBytes, to.MaxMsgsPerSubject = from.MaxMsgs, from.MaxBytes, from.MaxMsgsPerSubject
	to.MaxAge, to.Replicas = from.MaxAge, from.Replicas
	to.Duplicates, to.SubjectDeleteMarkerTTL = from.Duplicates, from.SubjectDeleteMarkerTTL
}

// unlimited makes the two spellings of "no limit" one.
func unlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

func rePublishText(r *jetstream.RePublish) string {
	if r == nil {
		return "none"
	}
	text := r.Source + " → " + r.Destination
	if r.HeadersOnly {
		text += " (headers only)"
	}
	return text
}

type differences []string

func (d *differences) add(field string, have, want any) {
	if h, w := fmt.Sprint(have), fmt.Sprint(want); h != w {
		*d = append(*d, fmt.Sprintf("%s: have %s, want %s", field, h, w))
	}
}
