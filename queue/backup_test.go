package queue_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestBackupAndRestore: jobs and logs move to another broker, every one in its
// place; nothing that is there is overwritten.
func TestBackupAndRestore(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t))
	ended := claimed(t, q)
	add(t, ended, started("w", "w-1", 1), delta("a"), done())
	waits := submit(t, q, queue.Submission{JobID: "waits", Job: body("later")})
	ctx := within(t, time.Minute)
	dir := filepath.Join(t.TempDir(), "backup")
	list, err := q.Backup(ctx, dir)
	if err != nil || len(list) == 0 {
		t.Fatalf("backup: %+v, %v", list, err)
	}
	if _, err := q.Backup(ctx, dir); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("into a folder that is not empty: %v", err)
	}
	if _, err := q.Restore(ctx, dir); !errors.Is(err, queue.ErrNotEmpty) {
		t.Errorf("over what is there: %v", err)
	}

	other := queuetest.Start(t)
	o := queue.Options{URL: other.ClientURL(), Name: t.Name(), Config: queue.DefaultConfig()}
	there, err := queue.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := there.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if _, err := there.Restore(ctx, t.TempDir()); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("from an empty folder: %v", err)
	}
	if _, err := there.Restore(ctx, dir); err != nil {
		t.Fatal(err)
	}
	if err := there.Ensure(ctx); err != nil {
		t.Fatalf("what was restored is not the topology: %v", err)
	}
	if log, err := there.Log(ctx, "", ended.JobID); err != nil || len(log) != 4 || log[3].Type != schemas.EventDone {
		t.Errorf("log %+v, %v", log, err)
	}
	d := claim(t, claimer(t, there, "w2"))
	for d.JobID != "waits" { // the one that was not acknowledged comes, too
		if err := d.Ack(ctx); err != nil {
			t.Fatal(err)
		}
		d = claim(t, claimer(t, there, "w2"))
	}
	if d.Sequence != waits.Sequence {
		t.Errorf("it waits at %d, was at %d", d.Sequence, waits.Sequence)
	}

	// A backup that is damaged is refused, and nothing of it is left.
	snapshots, err := filepath.Glob(filepath.Join(dir, "EVENTS*.snapshot"))
	if err != nil || len(snapshots) != 1 {
		t.Fatalf("snapshots %v, %v", snapshots, err)
	}
	if err := os.WriteFile(snapshots[0], []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	third, err := queue.Open(ctx, queue.Options{URL: queuetest.Start(t).ClientURL(), Name: t.Name(), Config: queue.DefaultConfig()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = third.Close(t.Context()) }()
	if _, err := third.Restore(ctx, dir); err == nil {
		t.Error("a damaged backup was restored")
	}

	// So is what was restored before somebody interrupted it: the stream that is
	// read last never comes.
	again := filepath.Join(t.TempDir(), "again")
	if list, err = there.Backup(ctx, again); err != nil || len(list) < 3 {
		t.Fatalf("backup: %+v, %v", list, err)
	}
	endless := filepath.Join(again, list[len(list)-1].Stream+".snapshot")
	if err := os.Remove(endless); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(endless, 0o600); err != nil {
		t.Fatal(err)
	}
	interrupted, interrupt := context.WithCancel(ctx)
	defer interrupt()
	restored := make(chan error, 1)
	go func() {
		_, err := third.Restore(interrupted, again)
		restored <- err
	}()
	fifo, err := os.OpenFile(endless, os.O_WRONLY, 0) // opens once it is read
	if err != nil {
		t.Fatal(err)
	}
	interrupt()
	if err := fifo.Close(); err != nil {
		t.Error(err)
	}
	if err := <-restored; err == nil {
		t.Error("an interrupted restore succeeded")
	}
	left, err := third.Backup(ctx, filepath.Join(t.TempDir(), "left"))
	if err == nil && len(left) > 0 {
		t.Errorf("left of an interrupted restore: %+v", left)
	}
}
