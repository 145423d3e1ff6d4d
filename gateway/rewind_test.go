package gateway

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// A sole broker comes back without its last writes, as after a power cut: who is
// reading is told, in the stream, and so is who comes back with a chunk that was
// lost. Nobody is shown what is written in its place as if it went on.
func TestRewoundLogIsSaid(t *testing.T) {
	store := t.TempDir()
	srv := queuetest.Start(t, func(o *embedded.Options) { o.StoreDir = store })
	b := startBeside(t, srv)
	words, giveBack := make(chan string), make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		for {
			select {
			case word, more := <-words:
				if !more {
					j.done()
					return
				}
				j.delta(word)
			case <-giveBack:
				if err := j.d.HandBack(ctx); err != nil {
					t.Errorf("hand back: %v", err)
				}
				return
			case <-ctx.Done():
				return
			}
		}
	})
	resp := b.post(chatBody("", true), headerDurable, "true")
	words <- "kept "
	stream := newSSEReader(t, resp.Body)
	_, _ = stream.next()
	kept, _ := stream.next()

	disk := t.TempDir()
	srv.Stop()
	if err := os.CopyFS(disk, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	srv.Resume(t)
	words <- "lost "
	lost, _ := stream.next()
	if text(t, []sseEvent{kept, lost}) != "kept lost " {
		t.Fatalf("read %+v, %+v", kept, lost)
	}
	srv.Stop()
	if err := os.RemoveAll(store); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(store, os.DirFS(disk)); err != nil {
		t.Fatal(err)
	}
	srv.Resume(t)

	rest := stream.rest()
	if len(rest) != 1 || rest[0].id != "" || !strings.Contains(rest[0].data, string(schemas.CodeLogRewound)) {
		t.Errorf("the stream ends with %+v", rest)
	}
	job, token := resp.Header.Get(headerJob), resp.Header.Get(headerOwnerToken)
	wantError(t, b.events(job, token, lost.id), schemas.CodeLogRewound)
	again := newSSEReader(t, b.events(job, token, kept.id).Body)
	giveBack <- struct{}{} // to be run anew: its writer was overtaken by the past
	close(words)
	if got := text(t, again.rest()); got != "" {
		t.Errorf("behind what was kept comes %q", got)
	}
}
