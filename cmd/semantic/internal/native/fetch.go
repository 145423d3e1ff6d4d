package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/deploy"
)

// FetchOptions of [Fetch].
type FetchOptions struct {
	// To is the folder that gets the package files; it is made if need be.
	To string
	// AllPlatforms fetches the packages of every platform of the lock instead
	// of this machine's only.
	AllPlatforms bool
	// Progress shows how far it is; nil is silent.
	Progress *progress.Reporter
}

// Fetch puts the pinned packages into a folder, as <platform>.tgz, without
// installing them, and returns the files' paths. Those that are there already
// and whole are left alone; a damaged one is replaced. Files are there whole or
// not at all. Errors are those of [Install].
func Fetch(ctx context.Context, o FetchOptions) ([]string, error) {
	lock, err := deploy.RuntimeLock()
	if err != nil {
		return nil, err
	}
	var wanted []pinned
	for _, r := range lock.Runtimes {
		if !o.AllPlatforms && (r.OS != runtime.GOOS || r.Arch != runtime.GOARCH) {
			continue
		}
		wanted = append(wanted, pinned{Runtime: r, llama: lock.LlamaCPP})
	}
	if len(wanted) == 0 {
		_, err := pin("", lock, runtime.GOOS, runtime.GOARCH)
		return nil, err
	}
	return fetchAll(ctx, wanted, o)
}

func fetchAll(ctx context.Context, wanted []pinned, o FetchOptions) ([]string, error) {
	if err := os.MkdirAll(o.To, 0o755); err != nil {
		return nil, fmt.Errorf("fetch the native runtime: %w", disk.Explain(err, filepath.Dir(o.To)))
	}
	var files []string
	for _, p := range wanted {
		file := filepath.Join(o.To, p.Platform+".tgz")
		if err := p.fetchTo(ctx, file, o.Progress); err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}

// fetchTo puts the verified package file at a path, unless it is there.
func (p pinned) fetchTo(ctx context.Context, file string, report *progress.Reporter) error {
	var altered *IntegrityError
	switch err := p.verify(ctx, file, false); {
	case err == nil:
		report.Printf("%s is here already", filepath.Base(file))
		return nil
	case errors.As(err, &altered):
		report.Printf("Fetching %s anew: it is not the file that this release pins", filepath.Base(file))
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	dir := filepath.Dir(file)
	if err := disk.Room(dir, p.Size); err != nil {
		return err
	}
	// Beside it, so that the last step is a rename.
	work, err := os.MkdirTemp(dir, ".fetch-*")
	if err != nil {
		return fmt.Errorf("fetch the native runtime: %w", disk.Explain(err, dir))
	}
	defer func() { _ = os.RemoveAll(work) }()
	fetched, err := p.fetch(ctx, work, report)
	if err != nil {
		return err
	}
	if err := p.verify(ctx, fetched, true); err != nil {
		return err
	}
	if err := os.Rename(fetched, file); err != nil {
		return fmt.Errorf("fetch the native runtime: %w", err)
	}
	return disk.SyncDir(dir)
}

// verify compares the whole package file with the lock.
func (p pinned) verify(ctx context.Context, file string, fetched bool) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("package file: %w", err)
	}
	defer func() { _ = f.Close() }()
	got, err := integrity(ctx, f)
	if err != nil {
		return err
	}
	if got != p.Integrity {
		return &IntegrityError{File: file, Want: p.Integrity, Got: got, Fetched: fetched}
	}
	return nil
}
