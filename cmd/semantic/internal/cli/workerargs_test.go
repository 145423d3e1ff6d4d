package cli

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/queue/embedded"
)

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
