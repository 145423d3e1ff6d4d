package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamState is how a stream on the server compares with the one that this
// release makes.
type StreamState string

// The states of a stream.
const (
	// StreamCurrent: as this release makes it.
	StreamCurrent StreamState = "current"
	// StreamMissing: not there; Ensure makes it.
	StreamMissing StreamState = "missing"
	// StreamOlder: of an older minor version; Ensure brings it up in place.
	StreamOlder StreamState = "older"
	// StreamNewer: of a newer minor version, which this release can work with.
	StreamNewer StreamState = "newer"
	// StreamChanged: of this version, but changed by hand. Ensure refuses it;
	// Repair sets it right.
	StreamChanged StreamState = "changed"
	// StreamIncompatible: of another major version. Only a release that knows
	// both can bring it over.
	StreamIncompatible StreamState = "incompatible"
	// StreamForeign: not made by semantic.
	StreamForeign StreamState = "foreign"
)

// Usable reports whether this release can work with the stream as it is.
func (s StreamState) Usable() bool { return s == StreamCurrent || s == StreamNewer }

// StreamReport is what one stream of the topology is like.
type StreamReport struct {
	// Stream is the stream's name.
	Stream string `json:"stream"`
	// State compares it with what this release makes.
	State StreamState `json:"state"`
	// Have and Want are topology versions; Have is empty for a stream that is
	// missing or foreign.
	Have string `json:"have,omitempty"`
	Want string `json:"want"`
	// Differences lists what keeps it from being used, as "field: have X, want Y".
	Differences []string `json:"differences,omitempty"`
}

// declared are the streams that this user may see.
func (q *Queue) declared() []jetstream.StreamConfig {
	config := q.config
	config.Replicas = q.replicas()
	return slices.DeleteFunc(config.streams(), func(s jetstream.StreamConfig) bool { return !q.creds.Role.sees(s.Name) })
}

// Topology compares every stream that this user may see with what this release makes, and changes
// nothing. Bounds are the operator's and not compared. ErrUnavailable if ctx
// ends before the broker answered.
func (q *Queue) Topology(ctx context.Context) ([]StreamReport, error) {
	var reports []StreamReport
	for _, want := range q.declared() {
		report, _, err := q.inspect(ctx, want)
		if err != nil {
			return nil, err
		}
		reports = append(reports, report)
	}
	return reports, nil
}

// Repair sets a stream back that was changed by hand, as far as the server can
// change it in place; its messages and its bounds stay. Streams in any other
// state are left alone. The server's refusal is the error.
func (q *Queue) Repair(ctx context.Context, name string) error {
	for _, want := range q.declared() {
		if want.Name != name {
			continue
		}
		report, have, err := q.inspect(ctx, want)
		if err != nil || report.State != StreamChanged {
			return err
		}
		return q.retryOn(ctx, apiPrefix+"STREAM.UPDATE."+name, func(ctx context.Context) error { return q.updateStream(ctx, have, want) })
	}
	return fmt.Errorf("%w: %q is no stream of semantic", ErrInvalid, name)
}

// inspect compares one stream, and returns it as it is.
func (q *Queue) inspect(ctx context.Context, want jetstream.StreamConfig) (StreamReport, jetstream.StreamConfig, error) {
	report := StreamReport{Stream: want.Name, Want: want.Metadata[metaTopology]}
	var have jetstream.StreamConfig
	err := q.retryOn(ctx, apiPrefix+"STREAM.INFO."+want.Name, func(ctx context.Context) error {
		stream, err := q.js.Stream(ctx, want.Name)
		if err != nil {
			return fmt.Errorf("queue: stream %s: %w", want.Name, err)
		}
		have = stream.CachedInfo().Config
		return nil
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		report.State = StreamMissing
		return report, have, nil
	}
	if err != nil {
		return report, have, err
	}
	report.Have = have.Metadata[metaTopology]
	older, err := compareStream(have, want, false)
	problem := new(TopologyError)
	switch {
	case errors.As(err, &problem):
		report.Have, report.Differences = problem.Have, problem.Differences
		switch major, _, known := parseVersion(problem.Have); {
		case !known:
			report.State = StreamForeign
		case major != topologyMajor:
			report.State = StreamIncompatible
		default:
			report.State = StreamChanged
		}
	case older:
		report.State = StreamOlder
	case report.Have != report.Want:
		report.State = StreamNewer
	default:
		report.State = StreamCurrent
	}
	return report, have, nil
}
