package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// storeLock keeps a store to one server: two on the same files would destroy
// them. The kernel drops it when the process dies, however it dies.
type storeLock struct{ file *os.File }

func lockStore(dir string) (*storeLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded NATS: store: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "semantic.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: store: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &storeLock{file: file}, nil
	}
	_ = file.Close() // nothing was written
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, &StoreInUseError{Dir: dir}
	}
	return nil, fmt.Errorf("embedded NATS: lock %s: %w", dir, err)
}

// release closes the file, which drops the lock.
func (l *storeLock) release() { _ = l.file.Close() }
