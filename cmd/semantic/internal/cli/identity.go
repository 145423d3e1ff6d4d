package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/semantic-worker/semantic/queue"
)

// maxWorkers bounds the workers that share one data directory.
const maxWorkers = 64

// seat is a worker's place in a data directory: a folder with its id, locked
// while the worker lives, so that no two workers have the same id.
type seat struct {
	id string
	// number counts the workers of a machine from 1; 0 is the one of
	// `semantic serve`.
	number int
	lock   *flock.Flock
}

// named gives the worker the name that its credentials are for: they let it
// enter no other into the registry. Other credentials leave it its own id.
func (s *seat) named(creds queue.Creds) error {
	if creds.Role != queue.RoleWorker {
		return nil
	}
	if s.number >= queue.WorkersPerUser {
		return withHint(fmt.Errorf("the credentials of worker %s are in use by %d workers of this machine", creds.Name, queue.WorkersPerUser-1),
			"`semantic nats add DIR worker NAME` makes others.")
	}
	s.id = creds.Name
	if s.number > 0 {
		s.id += "-" + strconv.Itoa(s.number)
	}
	return nil
}

func (s *seat) leave(context.Context) error { return unlock(s.lock) }

func unlock(lock *flock.Flock) error {
	if err := lock.Unlock(); err != nil {
		return fmt.Errorf("unlock %s: %w", lock.Path(), err)
	}
	return nil
}

// takeSeat finds the place of a standalone worker: the first that is free, so
// that the workers of a machine get the same ids again after it restarts.
func takeSeat(dataDir string) (*seat, error) {
	for n := range maxWorkers {
		s, err := trySeat(filepath.Join(dataDir, "workers", strconv.Itoa(n)))
		if err != nil {
			return nil, err
		}
		if s != nil {
			s.number = n + 1
			return s, nil
		}
	}
	return nil, withHint(fmt.Errorf("%d workers use the data directory %s already", maxWorkers, dataDir),
		"Give this one another directory with --data-dir.")
}

// takeSupervisedSeat takes the place of the worker of `semantic serve`. Its
// predecessor may need a moment to go when its supervisor was killed.
func takeSupervisedSeat(ctx context.Context, dataDir string) (*seat, error) {
	dir := filepath.Join(dataDir, "worker")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("worker identity: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	lock := flock.New(filepath.Join(dir, "lock"))
	if _, err := lock.TryLockContext(bounded, 20*time.Millisecond); err != nil {
		return nil, fmt.Errorf("worker identity: %s is in use: %w", dir, err)
	}
	return sit(dir, lock)
}

// trySeat returns nil if the place is taken.
func trySeat(dir string) (*seat, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("worker identity: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	free, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("worker identity: %w", err)
	}
	if !free {
		return nil, nil //nolint:nilnil // see above
	}
	return sit(dir, lock)
}

func sit(dir string, lock *flock.Flock) (*seat, error) {
	id, err := keptID(filepath.Join(dir, "id"))
	if err != nil {
		_ = lock.Unlock()
		return nil, err
	}
	return &seat{id: id, lock: lock}, nil
}

// keptID reads the id in the file, or makes one.
func keptID(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		if id := strings.TrimSpace(string(text)); id != "" {
			return id, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("worker identity: %w", err)
	}
	id := hostToken() + "-" + randomHex(3)
	// Written whole or not at all: the next start would otherwise have another id.
	next := file + ".new"
	if err := os.WriteFile(next, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("worker identity: %w", err)
	}
	if err := os.Rename(next, file); err != nil {
		return "", fmt.Errorf("worker identity: %w", err)
	}
	return id, nil
}

// hostToken is the machine's short name, as far as it fits a subject.
func hostToken() string {
	name, _, _ := strings.Cut(hostName(), ".")
	token := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		}
		return -1
	}, name)
	if token == "" {
		return "worker"
	}
	return token[:min(len(token), 32)]
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "unknown"
	}
	return name
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// lockDataDir keeps two servers out of one data directory. The error names the
// process that has it.
func lockDataDir(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, withHint(fmt.Errorf("data directory: %w", err), "Choose another one with --data-dir.")
	}
	file := filepath.Join(dir, "serve.lock")
	lock := flock.New(file)
	free, err := lock.TryLock()
	if err != nil {
		return nil, withHint(fmt.Errorf("data directory %s: %w", dir, err), "Choose another one with --data-dir.")
	}
	if !free {
		holder := ""
		if pid, err := os.ReadFile(file); err == nil && len(pid) > 0 {
			holder = " (process " + strings.TrimSpace(string(pid)) + ")"
		}
		return nil, withHint(fmt.Errorf("the data directory %s is in use by another `semantic serve`%s", dir, holder),
			"Stop that one, or choose another directory with --data-dir (and other ports).")
	}
	// For the message above only; a reader may find it empty.
	_ = os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
	return lock, nil
}
