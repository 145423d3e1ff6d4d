package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

func TestTimeline(t *testing.T) {
	const step = time.Millisecond
	e := start(t, simulate(t, sim.Options{DecodeStep: step}), config(func(c *engine.Config) { c.PrefillChunk = 64 }))
	prompt := tokenize(t, e, strings.Repeat("again ", 100)+"words=20")
	before := mustCollect(t, submit(t, e, engine.Request{ID: "before", Prompt: prompt, MaxTokens: 3}))
	s := submit(t, e, engine.Request{ID: "a", Prompt: prompt, Emitted: before.tokens, MaxTokens: 8})
	got := mustCollect(t, s)
	times := s.Timeline()

	order := []time.Time{times.Submitted, times.Admitted, times.FirstRow}
	var prompts, replayed int
	for _, read := range times.Reads {
		order = append(order, read.At)
		if read.Took < step || read.Rows <= 0 || read.Rows > 64 {
			t.Errorf("read %+v", read)
		}
		if read.Replay {
			replayed += read.Rows
		} else {
			prompts += read.Rows
		}
	}
	order = append(order, times.FirstToken, times.LastToken, times.Ended)
	for i, at := range order {
		if at.IsZero() || i > 0 && at.Before(order[i-1]) {
			t.Fatalf("the times are not in order at %d: %+v", i, times)
		}
	}
	if want := (len(prompt)+63)/64 + 1; prompts != len(prompt) || replayed != 3 || len(times.Reads) != want {
		t.Errorf("%d prompt and %d replayed rows in %d reads, want %d, 3 and %d", prompts, replayed, len(times.Reads), len(prompt), want)
	}
	if times.Prompt != len(prompt) || times.Generated != 5 || len(got.tokens) != 5 || times.Preemptions != 0 || times.Pauses != nil {
		t.Errorf("timeline %+v of %d tokens", times, len(got.tokens))
	}
	want := engine.Timings{
		Waiting: times.FirstRow.Sub(times.Submitted), Prefill: times.FirstToken.Sub(times.FirstRow), Decode: times.Ended.Sub(times.FirstToken),
	}
	if got.last.Timings != want {
		t.Errorf("timings %+v of the chunk, %+v of the timeline", got.last.Timings, want)
	}
}

// A timeline can be read at any time; what has not happened is zero.
func TestTimelineOfWhatRuns(t *testing.T) {
	g := newGate()
	e := start(t, simulate(t, sim.Options{DecodeStep: time.Second, Clock: g}), engine.Config{})
	s := submit(t, e, engine.Request{ID: "a", Prompt: ask(t, e, "a", 10)})
	<-g.entered
	times := s.Timeline()
	if times.Admitted.IsZero() || times.FirstRow.IsZero() || !times.FirstToken.IsZero() || !times.Ended.IsZero() || times.Reads != nil {
		t.Errorf("timeline %+v in the first step", times)
	}
	defer g.open()()
	s.Cancel()
	if _, err := collect(t.Context(), s); !errors.Is(err, engine.ErrCancelled) {
		t.Fatalf("it ended with %v", err)
	}
	if times := s.Timeline(); times.Ended.IsZero() {
		t.Errorf("timeline %+v after the end", times)
	}
}

// The times without a place are listed up to a bound; all are counted.
func TestTimelineOfThePreempted(t *testing.T) {
	e := start(t, simulate(t, sim.Options{Sequences: 1}), config(func(c *engine.Config) {
		c.BufferTokens, c.SlowConsumerTimeout = 1, time.Hour
	}))
	unread := submit(t, e, engine.Request{ID: "unread", Prompt: ask(t, e, "unread", 1000)})
	var got result
	for unread.Timeline().Preemptions <= 16 {
		chunk, err := unread.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got.tokens = append(got.tokens, chunk.Tokens...)
		mustCollect(t, submit(t, e, engine.Request{ID: "other", Prompt: ask(t, e, "other", 2)}))
	}
	rest := mustCollect(t, unread)
	line := unread.Timeline()
	if line.Preemptions <= 16 || len(line.Pauses) != 16 {
		t.Fatalf("%d preemptions, %d pauses", line.Preemptions, len(line.Pauses))
	}
	at := line.FirstRow
	for i, pause := range line.Pauses {
		if pause.From.Before(at) || pause.To.Before(pause.From) {
			t.Errorf("pause %d is from %v to %v", i, pause.From, pause.To)
		}
		at = pause.To
	}
	if n := len(got.tokens) + len(rest.tokens); line.Generated != n {
		t.Errorf("%d tokens generated, %d read", line.Generated, n)
	}
}
