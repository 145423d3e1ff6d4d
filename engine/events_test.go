package engine_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

// What happens to a sequence is in the log under constant names, at debug, with
// its id.
func TestEventsInTheLog(t *testing.T) {
	var lines bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e, err := engine.New(engine.Options{
		Backend: simulate(t, sim.Options{Sequences: 2}), Logger: logger,
		Config: config(func(c *engine.Config) { c.BufferTokens, c.SlowConsumerTimeout = 3, time.Hour }),
	})
	if err != nil {
		t.Fatal(err)
	}
	unread := submit(t, e, engine.Request{ID: "unread", Prompt: ask(t, e, "common", 30)})
	<-unread.Started()
	mustCollect(t, submit(t, e, engine.Request{ID: "twin", Prompt: ask(t, e, "common", 30), MaxTokens: 5}))
	for _, id := range []string{"first", "second"} {
		s := submit(t, e, engine.Request{ID: id, Prompt: ask(t, e, "another"+id, 30)})
		<-s.Started()
		defer s.Cancel()
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string)
	for line := range strings.Lines(lines.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		event, _ := fields["event"].(string)
		id, _ := fields["sequence_id"].(string)
		if event == "" {
			continue
		}
		if id == "" || fields["level"] != "DEBUG" {
			t.Errorf("an event without id, or above debug: %s", line)
		}
		seen[event] += id + " "
	}
	for event, ids := range map[string][]string{
		"batch.admitted": {"unread ", "twin ", "first ", "second "},
		"batch.finished": {"unread ", "twin ", "first ", "second "},
		"cache.hit":      {"twin "},
		"cache.evict":    {" "}, // of whichever was blocked last
	} {
		for _, id := range ids {
			if !strings.Contains(seen[event], id) {
				t.Errorf("no %s of %s: %v", event, id, seen)
			}
		}
	}
}
