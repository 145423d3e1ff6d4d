package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/queue"
)

// hashFile reads the whole file. Its size and time are those from before.
func hashFile(ctx context.Context, path string, report *progress.Reporter) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("model file: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return File{}, fmt.Errorf("model file: %w", err)
	}
	bar := report.Start("Hashing "+filepath.Base(path), info.Size())
	defer bar.Stop()
	h := sha256.New()
	n, err := io.Copy(h, bar.Reader(disk.Reader(ctx, f)))
	if err != nil {
		return File{}, fmt.Errorf("model file: %w", err)
	}
	if n != info.Size() {
		return File{}, fmt.Errorf("model file: %s changes while it is read", path)
	}
	bar.Done()
	return File{Path: path, Size: n, ModTime: info.ModTime(), SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// hashes remembers the hashes of files that are not in the store, by path,
// size and time.
type hashes struct {
	Version int             `json:"version"`
	Files   map[string]File `json:"files"`
}

// maxHashes bounds the remembered files; beyond it, those that are gone go
// first, then any.
const maxHashes = 256

func (s *Store) hashesFile() string { return filepath.Join(s.dir, ".hashes.json") }

// readHashes returns what is remembered; a file that cannot be read is as good
// as none.
func (s *Store) readHashes() hashes {
	var h hashes
	data, err := os.ReadFile(s.hashesFile())
	if err != nil || json.Unmarshal(data, &h) != nil || h.Version != 1 || h.Files == nil {
		h = hashes{Version: 1, Files: map[string]File{}}
	}
	return h
}

// hashCached is hashFile, unless the file's hash is remembered.
func (s *Store) hashCached(ctx context.Context, path string, report *progress.Reporter) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, fmt.Errorf("model file: %w", err)
	}
	if f, ok := s.readHashes().Files[path]; ok && f.Size == info.Size() && f.ModTime.Equal(info.ModTime()) {
		return f, nil
	}
	f, err := hashFile(ctx, path, report)
	if err != nil {
		return File{}, err
	}
	return f, s.rememberHash(ctx, f)
}

func (s *Store) rememberHash(ctx context.Context, f File) error {
	unlock, err := disk.Lock(ctx, filepath.Join(s.dir, ".locks", ".hashes.lock"), nil)
	if err != nil {
		return err
	}
	defer unlock()
	h := s.readHashes()
	h.Files[f.Path] = f
	if len(h.Files) > maxHashes {
		for path := range h.Files {
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
				delete(h.Files, path)
			}
		}
	}
	for path := range h.Files {
		if len(h.Files) <= maxHashes {
			break
		}
		if path != f.Path {
			delete(h.Files, path)
		}
	}
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("remember the hash of %s: %w", f.Path, err)
	}
	return disk.WriteFile(s.hashesFile(), data)
}

// resolvePath is the model that a file is, without adding it to the store.
func (s *Store) resolvePath(ctx context.Context, path string, report *progress.Reporter) (Model, error) {
	paths, err := localSet(path)
	if err != nil {
		return Model{}, err
	}
	m := manifest{Name: nameOf(path), Source: "the file itself", Added: time.Now().UTC().Truncate(time.Second)}
	if err := m.describe(paths); err != nil {
		return Model{}, err
	}
	for _, p := range paths {
		f, err := s.hashCached(ctx, p, report)
		if err != nil {
			return Model{}, err
		}
		m.Files = append(m.Files, f)
	}
	return m.model("", queue.Slug(m.Name)), nil
}
