package models

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

// AddOptions of [Store.Add].
type AddOptions struct {
	// Name is the model's name; empty means the file's, without its extension.
	Name string
	// Copy makes the store own a copy; otherwise it refers to the file where it
	// is.
	Copy     bool
	Progress *progress.Reporter
}

// Add takes a GGUF file into the store; of a split set any of its files stands
// for all. Adding the same path under the same name again accepts that the
// file changed. Errors: [*NameError], [*ExistsError], [*ContentError],
// [*disk.SpaceError] and those of the system and of ctx.
func (s *Store) Add(ctx context.Context, path string, o AddOptions) (Model, error) {
	paths, err := localSet(path)
	if err != nil {
		return Model{}, err
	}
	m := manifest{Name: o.Name, Owned: o.Copy, Source: paths[0]}
	if m.Name == "" {
		m.Name = nameOf(path)
	}
	if err := s.free(m.Name); err != nil {
		return Model{}, err
	}
	if err := m.describe(paths); err != nil {
		return Model{}, err
	}
	unlock, err := s.lock(ctx, m.Name, o.Progress)
	if err != nil {
		return Model{}, err
	}
	defer unlock()
	if old, err := s.get(m.Name); err == nil && old.Source != m.Source {
		return Model{}, &ExistsError{Name: old.Name, Source: old.Source}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Model{}, fmt.Errorf("model %q: %w", m.Name, err)
	}
	next, done, err := s.stage(m.Name)
	if err != nil {
		return Model{}, err
	}
	defer done()
	if o.Copy {
		m.Files, err = copyFiles(ctx, paths, next, o.Progress)
	} else {
		m.Files, err = hashFiles(ctx, paths, o.Progress)
	}
	if err != nil {
		return Model{}, err
	}
	return s.put(m, next)
}

func hashFiles(ctx context.Context, paths []string, report *progress.Reporter) ([]File, error) {
	var files []File
	for _, p := range paths {
		f, err := hashFile(ctx, p, report)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func copyFiles(ctx context.Context, paths []string, dir string, report *progress.Reporter) ([]File, error) {
	var need int64
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("model file: %w", err)
		}
		need += info.Size()
	}
	if err := disk.Room(dir, need); err != nil {
		return nil, err
	}
	var files []File
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, fmt.Errorf("model file: %w", err)
		}
		file, err := ownFile(ctx, f, filepath.Join(dir, filepath.Base(p)), "Copying "+filepath.Base(p), need, report)
		_ = f.Close()
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// localSet returns the absolute paths of the set that a file belongs to. All
// of them must be there.
func localSet(path string) ([]string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("model file: %w", err)
	}
	if info, err := os.Stat(abs); err != nil {
		return nil, fmt.Errorf("model file: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, &ContentError{File: abs, Err: errors.New("not a file"), Advice: "Name the GGUF file itself."}
	}
	names := setOf(filepath.Base(abs))
	var paths, missing []string
	for _, name := range names {
		p := filepath.Join(filepath.Dir(abs), name)
		if _, err := os.Stat(p); err != nil {
			missing = append(missing, name)
		}
		paths = append(paths, p)
	}
	if len(missing) > 0 {
		return nil, &ContentError{
			File: abs, Err: fmt.Errorf("a set of %d files, of which %s is missing", len(names), strings.Join(missing, ", ")),
			Advice: "Put all files of the set into one folder.",
		}
	}
	return paths, nil
}
