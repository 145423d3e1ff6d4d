package queue_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

// Every state that a stream can be in is told, and looking changes none of them.
func TestTopology(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := open(t, srv)
	_, js := stranger(t, srv)
	state := func(name string) queue.StreamReport {
		t.Helper()
		reports, err := q.Topology(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range reports {
			if r.Stream == name {
				return r
			}
		}
		t.Fatalf("no stream %s in %+v", name, reports)
		return queue.StreamReport{}
	}
	now := state("DEAD").Want
	if r := state("DEAD"); r.State != queue.StreamMissing || now == "" {
		t.Errorf("%+v", r)
	}
	if _, err := js.Stream(t.Context(), "DEAD"); err == nil {
		t.Error("looking made the stream")
	}
	if err := q.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	original := streamConfig(t, js, "DEAD")
	for _, c := range []struct {
		version string
		discard jetstream.DiscardPolicy
		want    queue.StreamState
		usable  bool
	}{
		{now, jetstream.DiscardNew, queue.StreamCurrent, true},
		{"1.0", jetstream.DiscardOld, queue.StreamOlder, false},
		{"1.999", jetstream.DiscardOld, queue.StreamNewer, true},
		{now, jetstream.DiscardOld, queue.StreamChanged, false},
		{"2.0", jetstream.DiscardNew, queue.StreamIncompatible, false},
		{"", jetstream.DiscardNew, queue.StreamForeign, false},
	} {
		changed := original
		changed.Discard, changed.Metadata = c.discard, map[string]string{"semantic.topology": c.version}
		if _, err := js.UpdateStream(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		r := state("DEAD")
		if r.State != c.want || r.Have != c.version || r.State.Usable() != c.usable {
			t.Errorf("%q: %+v, want %s", c.version, r, c.want)
		}
		if got := streamConfig(t, js, "DEAD"); got.Discard != c.discard || got.Metadata["semantic.topology"] != c.version {
			t.Errorf("%q: looking changed it: %+v", c.version, got)
		}
	}
}

// A stream that was changed by hand is set back with its messages and bounds;
// one that is not semantic's is not touched, and what the server cannot change is
// its refusal.
func TestRepair(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	_, js := stranger(t, srv)
	c := streamConfig(t, js, "DEAD")
	c.Discard, c.MaxBytes = jetstream.DiscardOld, 5<<20
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "semantic.dead.m.o.j", []byte("evidence")); err != nil {
		t.Fatal(err)
	}
	if err := q.Repair(t.Context(), "DEAD"); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "DEAD")
	if err != nil {
		t.Fatal(err)
	}
	if info := stream.CachedInfo(); info.Config.Discard != jetstream.DiscardNew || info.Config.MaxBytes != 5<<20 || info.State.Msgs != 1 {
		t.Errorf("after the repair: %+v", info)
	}

	c.Metadata = map[string]string{}
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := q.Repair(t.Context(), "DEAD"); err != nil {
		t.Fatal(err)
	}
	if got := streamConfig(t, js, "DEAD"); got.Discard != jetstream.DiscardOld {
		t.Errorf("a foreign stream was changed: %+v", got)
	}
	if err := q.Repair(t.Context(), "THEIRS"); err == nil {
		t.Error("repaired a stream that semantic does not have")
	}

	if err := js.DeleteStream(t.Context(), "EVENTS"); err != nil {
		t.Fatal(err)
	}
	memory := streamConfig(t, js, "KV_agents")
	memory.Name, memory.Subjects, memory.Storage = "EVENTS", []string{"semantic.events.*.*"}, jetstream.MemoryStorage
	if _, err := js.CreateStream(t.Context(), memory); err != nil {
		t.Fatal(err)
	}
	if err := q.Repair(t.Context(), "EVENTS"); err == nil || !strings.Contains(err.Error(), "storage") {
		t.Errorf("error %v, want the server's about the storage", err)
	}
}
