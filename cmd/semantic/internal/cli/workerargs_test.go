package cli

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue/embedded"
)

// The worker of `semantic serve` leaves jobs to others as long as serve was told.
func TestWorkerArgsStealAfter(t *testing.T) {
	nats, err := embedded.Start(t.Context(), embedded.Options{Host: "127.0.0.1", Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer nats.Stop()
	for want, given := range map[time.Duration][]string{250 * time.Millisecond: nil, 3 * time.Second: {"--steal-after", "3s"}} {
		serve := newServeCommand(&app{})
		if err := serve.ParseFlags(given); err != nil {
			t.Fatal(err)
		}
		told, err := config.Load(config.LoadOptions{Flags: serve.Flags()})
		if err != nil {
			t.Fatal(err)
		}
		args := (&serveProcess{config: told, nats: nats}).workerArgs()
		at := slices.Index(args, "--steal-after")
		child := newWorkerCommand(&app{})
		if err := child.ParseFlags(args[at : at+2]); err != nil {
			t.Fatal(err)
		}
		heard, err := config.Load(config.LoadOptions{Flags: child.Flags(), Environ: []string{"SEMANTIC_STEAL_AFTER=9s"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := queueConfig(heard).StealAfter; got != want {
			t.Errorf("%q: the worker waits for %v, want %v", given, got, want)
		}
	}
}

// The worker of `semantic serve` lets a Mac sleep where serve was told to.
func TestWorkerArgsPreventSleep(t *testing.T) {
	nats, err := embedded.Start(t.Context(), embedded.Options{Host: "127.0.0.1", Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer nats.Stop()
	for _, want := range []bool{false, true} {
		s := &serveProcess{config: &config.Loaded{Config: config.Config{NoPreventSleep: want, NATSHost: "127.0.0.1"}}, nats: nats}
		args := s.workerArgs()
		at := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "--no-prevent-sleep") })
		child := newWorkerCommand(&app{})
		if err := child.ParseFlags(args[at : at+1]); err != nil {
			t.Fatal(err)
		}
		against := []string{"SEMANTIC_NO_PREVENT_SLEEP=" + strconv.FormatBool(!want)}
		heard, err := config.Load(config.LoadOptions{Flags: child.Flags(), Environ: against})
		if err != nil || heard.NoPreventSleep != want {
			t.Errorf("the worker hears %v, want %v (%v)", heard.NoPreventSleep, want, err)
		}
	}
}

// The worker of `semantic serve` honours the reply prefixes that serve was
// given, as they were given, and none where none were.
func TestWorkerArgsReplyPrefixes(t *testing.T) {
	nats, err := embedded.Start(t.Context(), embedded.Options{Host: "127.0.0.1", Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer nats.Stop()
	for _, want := range [][]string{{"replies.{owner}.", `a,b."c".`}, nil} {
		s := &serveProcess{config: &config.Loaded{Config: config.Config{ReplyPrefixes: want, NATSHost: "127.0.0.1"}}, nats: nats}
		cmd := newWorkerCommand(&app{In: new(bytes.Buffer), Out: io.Discard, Err: io.Discard})
		at := slices.Index(s.workerArgs(), "--reply-prefixes")
		if at < 0 {
			t.Fatal("the worker is not told the reply prefixes")
		}
		if err := cmd.ParseFlags(s.workerArgs()[at : at+2]); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.LoadOptions{Flags: cmd.Flags(), Environ: []string{"SEMANTIC_REPLY_PREFIXES=other."}})
		if err != nil {
			t.Fatal(err)
		}
		if got := queueConfig(c).ReplyPrefixes; !slices.Equal(got, want) {
			t.Errorf("the worker honours %q, want %q", got, want)
		}
	}
}

// The engine of `semantic serve` works as serve was told to, and without a word
// as the engine's own defaults say.
func TestWorkerArgsEngine(t *testing.T) {
	changed := engine.DefaultConfig()
	changed.BatchWindow, changed.InterTokenBound = 3*time.Millisecond, 2.75
	changed.BufferTokens, changed.BufferBytes, changed.SlowConsumerTimeout = 7, 700, 1500*time.Millisecond
	for _, c := range []struct {
		given []string
		want  engine.Config
	}{
		{nil, engine.DefaultConfig()},
		{
			[]string{
				"--batch-window", "3ms", "--inter-token-bound", "2.75", "--buffer-tokens", "7", "--buffer-bytes", "700",
				"--slow-consumer-timeout", "1.5s",
			}, changed,
		},
	} {
		serve := newServeCommand(&app{})
		if err := serve.ParseFlags(c.given); err != nil {
			t.Fatal(err)
		}
		told, err := config.Load(config.LoadOptions{Flags: serve.Flags()})
		if err != nil {
			t.Fatal(err)
		}
		child := newWorkerCommand(&app{})
		if err := child.ParseFlags(engineArgs(told)); err != nil {
			t.Fatal(err)
		}
		heard, err := config.Load(config.LoadOptions{Flags: child.Flags(), Environ: []string{"SEMANTIC_BATCH_WINDOW=9s"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := engineConfig(heard); got != c.want {
			t.Errorf("%q: the worker's engine has %+v, want %+v", c.given, got, c.want)
		}
	}
}

// What is large to the queue, and how many deaths are too many, is as was told.
func TestQueueAndWorkerSettings(t *testing.T) {
	serve := newServeCommand(&app{})
	if err := serve.ParseFlags([]string{"--inline-bytes", "2048", "--max-attempts", "7", "--max-body", "99",
		"--event-retention", "3h", "--model-grace", "5s"}); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.LoadOptions{Flags: serve.Flags()})
	if err != nil {
		t.Fatal(err)
	}
	if q := queueConfig(c); q.InlineBytes != 2048 || q.Validate() != nil {
		t.Errorf("the queue's limit is %d", q.InlineBytes)
	} else if q.EventRetention != 3*time.Hour || q.ModelGrace != 5*time.Second || q.EventsMaxAge != 27*time.Hour {
		t.Errorf("the queue keeps logs for %v, events for %v, and waits %v for a model", q.EventRetention, q.EventsMaxAge, q.ModelGrace)
	}
	nats, err := embedded.Start(t.Context(), embedded.Options{Host: "127.0.0.1", Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer nats.Stop()
	arguments := (&serveProcess{config: c, nats: nats}).workerArgs()
	if at := slices.Index(arguments, "--max-attempts"); at < 0 || arguments[at+1] != "7" {
		t.Errorf("the worker is told %q", arguments)
	}
}

// The worker of `semantic serve` has the acknowledgement wait that serve was told.
func TestWorkerArgsAckWait(t *testing.T) {
	nats, err := embedded.Start(t.Context(), embedded.Options{Host: "127.0.0.1", Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer nats.Stop()
	serve := newServeCommand(&app{})
	if err := serve.ParseFlags([]string{"--ack-wait", "700ms"}); err != nil {
		t.Fatal(err)
	}
	told, err := config.Load(config.LoadOptions{Flags: serve.Flags()})
	if err != nil {
		t.Fatal(err)
	}
	child := newWorkerCommand(&app{})
	args := (&serveProcess{config: told, nats: nats}).workerArgs()
	at := slices.Index(args, "--ack-wait")
	if err := child.ParseFlags(args[at : at+2]); err != nil {
		t.Fatal(err)
	}
	heard, err := config.Load(config.LoadOptions{Flags: child.Flags(), Environ: []string{"SEMANTIC_ACK_WAIT=9s"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := queueConfig(heard).AckWait; got != 700*time.Millisecond {
		t.Errorf("the worker waits for %v", got)
	}
}
