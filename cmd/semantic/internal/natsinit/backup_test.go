package natsinit_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestStandaloneStoreIntoACluster: a server alone has jobs, waiting, running
// and done, one of them without an id of its own. Its store is refused by a
// cluster of three, and a backup brings all of it there.
func TestStandaloneStoreIntoACluster(t *testing.T) {
	store := t.TempDir()
	old := queuetest.Start(t, func(o *embedded.Options) { o.StoreDir = store })
	q := queuetest.Open(t, old)
	submit := func(id string) {
		t.Helper()
		if _, err := q.Submit(within(t), queue.Submission{JobID: id, Owner: "key", Job: job(id)}); err != nil {
			t.Fatal(err)
		}
	}
	submit("done")
	claimer, err := q.NewClaimer(within(t), queue.ClaimOptions{Model: model, WorkerID: "w", Incarnation: "i"})
	if err != nil {
		t.Fatal(err)
	}
	next := func(c *queue.Claimer) *queue.Delivery {
		t.Helper()
		d, err := c.Next(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	add := func(d *queue.Delivery, events ...schemas.Event) {
		t.Helper()
		for _, e := range events {
			if err := d.Append(within(t), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := next(claimer)
	add(d, started("w"), delta("all"), done())
	if err := d.Ack(within(t)); err != nil {
		t.Fatal(err)
	}
	submit("running")
	add(next(claimer), started("w"), delta("half "))
	claimer.Close()
	submit("waiting")
	nc, err := nats.Connect(old.ClientURL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	body, err := schemas.EncodeJob(job("stranger"))
	if err != nil {
		t.Fatal(err)
	}
	ack, err := js(t, nc).Publish(within(t), queue.JobSubject(model, schemas.ClassNormal, 5, "local"), body)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	secret, err := q.Secret(within(t))
	if err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	list, err := q.Backup(within(t), backup)
	if err != nil || len(list) < 5 {
		t.Fatalf("backup: %+v, %v", list, err)
	}
	if _, err := q.Backup(within(t), backup); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("a second backup into the folder: %v", err)
	}
	if _, err := q.Restore(within(t), backup); !errors.Is(err, queue.ErrNotEmpty) {
		t.Errorf("restore where it came from: %v", err)
	}
	old.Stop()

	c := &cluster{dir: filepath.Join(t.TempDir(), "nats")}
	var o natsinit.Options
	for range 3 {
		o.Hosts = append(o.Hosts, net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t))))
	}
	if c.made, err = natsinit.Init(c.dir, o); err != nil {
		t.Fatal(err)
	}
	var hidden *embedded.HiddenStreamsError
	_, err = embedded.Start(within(t), embedded.Options{ConfigDir: c.made.Brokers[0], StoreDir: store, MaxStore: 16 << 30})
	if !errors.As(err, &hidden) || len(hidden.Streams) < 5 {
		t.Errorf("the store of a server alone in a cluster: %v", err)
	}
	for _, folder := range c.made.Brokers {
		server, err := embedded.Start(within(t), embedded.Options{ConfigDir: folder, StoreDir: t.TempDir(), MaxStore: 16 << 30})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Stop)
	}
	admin := c.join(t)
	// Streams that are there and empty give way.
	if err := admin.Ensure(within(t)); err != nil {
		t.Fatal(err)
	}
	// Three brokers in one process may be slow to take a stream; while a leader is
	// missing nobody answers. Who restores tries again, and may then meet the stream that
	// the first try began.
	ctx := within(t)
	restorer := c.open(t, "admin", func(o *queue.Options) { o.Config.RequestTimeout, o.Config.SubmitTimeout = patience/4, patience/4 })
	got, err := restorer.Restore(ctx, backup)
	for again := errors.Is(err, queue.ErrUnavailable); again && err != nil && ctx.Err() == nil; {
		t.Log(err)
		got, err = restorer.Restore(ctx, backup)
	}
	if err != nil || len(got) != len(list) {
		t.Fatalf("restore: %+v, %v", got, err)
	}
	if err := admin.Ensure(within(t)); err != nil {
		t.Fatalf("the restored streams: %v", err)
	}
	if again, err := admin.Secret(within(t)); err != nil || string(again) != string(secret) {
		t.Errorf("the secret is another: %v", err)
	}
	if log, err := admin.Log(within(t), "key", "done"); err != nil || len(log) != 4 || log[2].Delta.Text != "all" {
		t.Errorf("log of the job that is done: %+v, %v", log, err)
	}
	claimer, err = admin.NewClaimer(within(t), queue.ClaimOptions{Model: model, WorkerID: "new", Incarnation: "new-i"})
	if err != nil {
		t.Fatal(err)
	}
	defer claimer.Close()
	seen := make(map[string]*queue.Delivery)
	for range 3 {
		d := next(claimer)
		seen[d.JobID] = d
		add(d, started("new"), delta("rest"), done())
		if err := d.Ack(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"running", "waiting", "sn-" + strconv.FormatUint(ack.Sequence, 10)} {
		if seen[id] == nil {
			t.Errorf("%s is not claimed; there are %v", id, seen)
		}
	}
	if log, err := admin.Log(within(t), "key", "running"); err != nil || len(log) != 6 || log[2].Delta.Text != "half " {
		t.Errorf("log of the job that was running: %+v, %v", log, err)
	}
}

// join opens the queue as admin once the cluster is there.
func (c *cluster) join(t *testing.T) *queue.Queue {
	t.Helper()
	ctx := within(t)
	for {
		q, err := queue.Open(ctx, queue.Options{CredsFile: c.creds("admin"), Name: "admin", Config: queue.DefaultConfig()})
		if err == nil {
			if err = q.Ensure(ctx); err == nil {
				t.Cleanup(func() { _ = q.Close(ctx) })
				return q
			}
			_ = q.Close(ctx)
		}
		if !errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestRestoreRefuses what is no backup, and a backup that was cut.
func TestRestoreRefuses(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t))
	if _, err := q.Restore(within(t), t.TempDir()); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := q.Submit(within(t), queue.Submission{JobID: "a", Job: job("a")}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := q.Backup(within(t), dir); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "JOBS_NORMAL.snapshot")
	data, err := os.ReadFile(cut)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	other := queuetest.Open(t, queuetest.Start(t))
	if _, err := other.Restore(within(t), dir); err == nil {
		t.Fatal("a backup that was cut is restored")
	}
	if err := other.Ensure(within(t)); err != nil {
		t.Fatalf("after a restore that failed: %v", err)
	}
	if log, err := other.Log(within(t), "", "a"); err != nil || len(log) != 0 {
		t.Errorf("what was restored before the failure is still there: %+v, %v", log, err)
	}
	if err := os.WriteFile(cut, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Restore(within(t), dir); err != nil {
		t.Errorf("the whole backup after the cut one: %v", err)
	}
}
