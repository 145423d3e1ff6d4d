// Package disk writes files so that a crash, a full disk or a second process
// leaves either the old state or the new one.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

// reserve is what is left free on the disk, for everybody else.
const reserve = 64 << 20

// lockPoll is how often a waiting [Lock] looks.
const lockPoll = 100 * time.Millisecond

// SpaceError says that the disk is full, or would be. It matches
// [syscall.ENOSPC].
type SpaceError struct {
	// Path is the folder that was to be written to.
	Path string
	// Need is how many bytes are wanted beside what is there; 0 where only the
	// failure is known.
	Need int64
	// Free is how many bytes are available.
	Free int64
}

func (e *SpaceError) Error() string {
	if e.Need == 0 {
		return fmt.Sprintf("the disk of %s is full (%s free)", e.Path, progress.Bytes(e.Free))
	}
	return fmt.Sprintf("not enough room on the disk of %s: %s needed, %s free",
		e.Path, progress.Bytes(e.Need), progress.Bytes(e.Free))
}

// Is makes the error match syscall.ENOSPC.
func (e *SpaceError) Is(target error) bool { return target == syscall.ENOSPC }

// Free returns how many bytes the user may still write in the folder.
func Free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // the types differ between platforms
}

// Room returns a [*SpaceError] unless need bytes and a small reserve are free
// in the folder.
func Room(dir string, need int64) error {
	free, err := Free(dir)
	if err != nil {
		return err
	}
	if free < need+reserve {
		return &SpaceError{Path: dir, Need: need + reserve, Free: free}
	}
	return nil
}

// Explain turns what a write to a full disk (or quota, or file size limit)
// returned into a [*SpaceError], and leaves every other error as it is.
func Explain(err error, dir string) error {
	var already *SpaceError
	if err == nil || errors.As(err, &already) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		free, _ := Free(dir) // the number is a courtesy
		return &SpaceError{Path: dir, Free: free}
	}
	return err
}

// WriteFile replaces the file's content at once: written beside it, flushed to
// the disk, renamed.
func WriteFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, Explain(err, dir))
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, Explain(err, dir))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err //nolint:wrapcheck // wrapped above
	}
	if err := f.Chmod(0o644); err != nil {
		return err //nolint:wrapcheck // wrapped above
	}
	if err := f.Sync(); err != nil {
		return err //nolint:wrapcheck // wrapped above
	}
	if err := f.Close(); err != nil {
		return err //nolint:wrapcheck // wrapped above
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err //nolint:wrapcheck // wrapped above
	}
	return SyncDir(dir)
}

// Create writes a new file from r, flushed to the disk. On an error the file
// is removed. It returns the number of bytes.
func Create(ctx context.Context, path string, r io.Reader) (n int64, err error) {
	dir := filepath.Dir(path)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", path, Explain(err, dir))
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(path)
			err = fmt.Errorf("write %s: %w", path, Explain(err, dir))
		}
	}()
	if n, err = io.Copy(f, Reader(ctx, r)); err != nil {
		return n, err //nolint:wrapcheck // wrapped above
	}
	if err := f.Sync(); err != nil {
		return n, err //nolint:wrapcheck // wrapped above
	}
	return n, f.Close() //nolint:wrapcheck // wrapped above
}

// SyncDir flushes a folder's entries to the disk, so that a rename stays.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("flush %s: %w", dir, err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("flush %s: %w", dir, err)
	}
	return nil
}

// Replace puts the folder staged in the place of the folder final, which need
// not exist, and removes the old one. Both must be on one disk. old is where
// the old one is for the moment in between; after a crash right there, neither
// is in place.
func Replace(staged, final, old string) error {
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return fmt.Errorf("put %s in place: %w", final, err)
	}
	moved := true
	if err := os.Rename(final, old); errors.Is(err, os.ErrNotExist) {
		moved = false
	} else if err != nil {
		return fmt.Errorf("put %s in place: %w", final, err)
	}
	if err := os.Rename(staged, final); err != nil {
		if moved {
			_ = os.Rename(old, final)
		}
		return fmt.Errorf("put %s in place: %w", final, err)
	}
	if err := SyncDir(filepath.Dir(final)); err != nil {
		return err
	}
	if moved {
		if err := os.RemoveAll(old); err != nil {
			return fmt.Errorf("remove what %s replaced: %w", final, err)
		}
	}
	return nil
}

// Lock takes the lock file, which it makes, and waits for whoever has it; wait,
// if set, is called once before waiting. The file stays. The kernel frees the
// lock of a process that died.
func Lock(ctx context.Context, path string, wait func()) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, Explain(err, filepath.Dir(path)))
	}
	l := flock.New(path)
	got, err := l.TryLock()
	if err == nil && !got {
		if wait != nil {
			wait()
		}
		got, err = l.TryLockContext(ctx, lockPoll)
	}
	if err != nil || !got {
		_ = l.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = l.Unlock() }, nil
}

// Reader reads from r until ctx ends.
func Reader(ctx context.Context, r io.Reader) io.Reader { return &reader{ctx: ctx, r: r} }

type reader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no place for it
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err //nolint:wrapcheck // the cause as it is
	}
	return r.r.Read(p) //nolint:wrapcheck // io.EOF must stay what it is
}
