package models

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/home"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/deploy"
	"github.com/semantic-worker/semantic/queue"
)

// Store is the models of one home folder. It holds no state but where it is
// and how it fetches, so it is safe for concurrent use, and several processes
// may use the same folder.
type Store struct {
	dir       string
	def       func() (deploy.Model, error)
	transport http.RoundTripper
	// retry waits before the nth attempt that follows a failure without
	// progress.
	retry func(ctx context.Context, n int) error
	// stall is how long a server may send nothing.
	stall time.Duration
}

// Open returns the store of a home folder, which is made when something is
// added.
func Open(homeDir string) *Store {
	return &Store{
		dir: home.ModelsDir(homeDir), transport: http.DefaultTransport, retry: backoff, stall: time.Minute,
		def: func() (deploy.Model, error) {
			lock, err := deploy.RuntimeLock()
			return lock.DefaultModel, err
		},
	}
}

// Default is the name of the default model.
func (s *Store) Default() (string, error) {
	m, err := s.def()
	return m.Name, err
}

func (s *Store) folder(name string) string { return filepath.Join(s.dir, queue.Slug(name)) }

// staging is where the holder of the name's lock works.
func (s *Store) staging(name string) string {
	return filepath.Join(s.dir, ".staging", queue.Slug(name))
}

// partial is where downloads for the name are kept until they are whole.
func (s *Store) partial(name string) string {
	return filepath.Join(s.dir, ".partial", queue.Slug(name))
}

// lock takes the name's lock and removes what a holder that died left.
func (s *Store) lock(ctx context.Context, name string, report *progress.Reporter) (unlock func(), err error) {
	unlock, err = disk.Lock(ctx, filepath.Join(s.dir, ".locks", queue.Slug(name)+".lock"), func() {
		report.Printf("Waiting for another process that is working on %s", name)
	})
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(s.staging(name)); err != nil {
		unlock()
		return nil, fmt.Errorf("remove what an earlier process left: %w", err)
	}
	return unlock, nil
}

// get returns the model as its manifest says, without looking at its files.
// The error wraps fs.ErrNotExist where there is none.
func (s *Store) get(name string) (Model, error) {
	dir := s.folder(name)
	m, err := readManifest(filepath.Join(dir, manifestName))
	if err != nil {
		return Model{}, err
	}
	if m.Name != name {
		return Model{}, fmt.Errorf("%s is the manifest of %q", filepath.Join(dir, manifestName), m.Name)
	}
	return m.model(dir, queue.Slug(name)), nil
}

// List returns all models, by name. A model that cannot be loaded is there
// too, with its Problem.
func (s *Store) List() ([]Model, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	var list []Model
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name, err := queue.Unslug(e.Name())
		if err != nil {
			continue // not a folder of ours
		}
		m, err := s.get(name)
		if err != nil {
			list = append(list, Model{Name: name, Slug: e.Name(), Problem: err.Error()})
			continue
		}
		for _, f := range m.Files {
			if err := m.look(f); err != nil {
				m.Problem = err.Error()
				break
			}
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Model) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// errTouched says that only the file's time is another.
var errTouched = errors.New("was touched")

// look compares a file's size and time with what was remembered: nil,
// errTouched or a *ChangedError.
func (m Model) look(f File) error {
	changed := func(problem string) error {
		return &ChangedError{Name: m.Name, Path: f.Path, Problem: problem, Owned: m.Owned, Source: m.Source}
	}
	info, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return changed("is gone")
	case err != nil:
		return changed("cannot be read: " + err.Error())
	case info.Size() != f.Size:
		return changed(fmt.Sprintf("was changed: it has %d bytes, not %d", info.Size(), f.Size))
	case !info.ModTime().Equal(f.ModTime):
		return errTouched
	}
	return nil
}

// Resolve returns the model of a name; or of the path of a GGUF file, which
// need not be in the store. The files are as they were when they were added
// (by size and time; by hash if only the time is another), or the error is a
// [*ChangedError]. A file that is named by its path is hashed the first time,
// which takes a while; the hash is remembered with its size and time.
func (s *Store) Resolve(ctx context.Context, nameOrPath string, report *progress.Reporter) (Model, error) {
	if ValidName(nameOrPath) == nil {
		m, err := s.get(nameOrPath)
		if err == nil {
			return s.verify(ctx, m, report)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Model{}, fmt.Errorf("model %q: %w", nameOrPath, err)
		}
	}
	if info, err := os.Stat(nameOrPath); err == nil && !info.IsDir() {
		return s.resolvePath(ctx, nameOrPath, report)
	} else if strings.HasSuffix(nameOrPath, ".gguf") {
		if err == nil {
			err = errors.New("it is a folder")
		}
		return Model{}, fmt.Errorf("model file: %w", err)
	}
	return Model{}, s.notFound(nameOrPath)
}

func (s *Store) notFound(name string) error {
	e := &NotFoundError{Name: name}
	list, err := s.List()
	if err != nil {
		return err
	}
	for _, m := range list {
		e.Known = append(e.Known, m.Name)
	}
	if e.Default, err = s.Default(); err != nil {
		return err
	}
	return e
}

// verify looks at the files of a model and remembers the new times of files
// that were only touched.
func (s *Store) verify(ctx context.Context, m Model, report *progress.Reporter) (Model, error) {
	touched := false
	for i, f := range m.Files {
		err := m.look(f)
		if err == nil {
			continue
		}
		if !errors.Is(err, errTouched) {
			return Model{}, err
		}
		now, err := hashFile(ctx, f.Path, report)
		if err != nil {
			return Model{}, err
		}
		if now.SHA256 != f.SHA256 {
			return Model{}, &ChangedError{
				Name: m.Name, Path: f.Path, Owned: m.Owned, Source: m.Source,
				Problem: fmt.Sprintf("was changed: its sha256 is %s, not %s", now.SHA256, f.SHA256),
			}
		}
		m.Files[i].ModTime, touched = now.ModTime, true
	}
	if touched {
		if err := s.remember(ctx, m, report); err != nil {
			return Model{}, err
		}
	}
	return s.checkVariant(ctx, m, report)
}

// remember writes the files' times to the manifest.
func (s *Store) remember(ctx context.Context, m Model, report *progress.Reporter) error {
	unlock, err := s.lock(ctx, m.Name, report)
	if err != nil {
		return err
	}
	defer unlock()
	file := filepath.Join(s.folder(m.Name), manifestName)
	current, err := readManifest(file)
	if err != nil {
		return fmt.Errorf("model %q: %w", m.Name, err)
	}
	for i := range current.Files {
		if i < len(m.Files) && current.Files[i].SHA256 == m.Files[i].SHA256 {
			current.Files[i].ModTime = m.Files[i].ModTime
		}
	}
	return current.write(file)
}

// put makes the folder next, with whatever owned files are in it, the model of
// the manifest. The caller holds the name's lock.
func (s *Store) put(m manifest, next string) (Model, error) {
	m.Version, m.Added = manifestVersion, time.Now().UTC().Truncate(time.Second)
	if err := m.write(filepath.Join(next, manifestName)); err != nil {
		return Model{}, err
	}
	dir := s.folder(m.Name)
	if err := disk.Replace(next, dir, filepath.Join(s.staging(m.Name), "old")); err != nil {
		return Model{}, err
	}
	return m.model(dir, queue.Slug(m.Name)), nil
}

// stage makes the folder that put wants.
func (s *Store) stage(name string) (next string, done func(), err error) {
	work := s.staging(name)
	next = filepath.Join(work, "next")
	if err := os.MkdirAll(next, 0o755); err != nil {
		return "", nil, fmt.Errorf("model %q: %w", name, disk.Explain(err, s.dir))
	}
	return next, func() { _ = os.RemoveAll(work) }, nil
}

// free returns a *NameError or *ExistsError if a new model cannot have the
// name because it differs from another's only in case: many file systems do
// not tell such names apart.
func (s *Store) free(name string) error {
	if err := ValidName(name); err != nil {
		return err
	}
	list, err := s.List()
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Name != name && strings.EqualFold(m.Name, name) {
			return &ExistsError{Name: m.Name, Source: m.Source}
		}
	}
	return nil
}

// Remove takes a model out of the store, with its files if they are the
// store's own and with what is left of an interrupted download. It returns the
// model as it was. Files elsewhere stay.
func (s *Store) Remove(ctx context.Context, name string) (Model, error) {
	if err := ValidName(name); err != nil {
		return Model{}, err
	}
	dir := s.folder(name)
	_, dirErr := os.Stat(dir)
	_, partialErr := os.Stat(s.partial(name))
	if dirErr != nil && partialErr != nil {
		return Model{}, s.notFound(name)
	}
	unlock, err := s.lock(ctx, name, nil)
	if err != nil {
		return Model{}, err
	}
	defer unlock()
	m, err := s.get(name)
	if err != nil {
		m = Model{Name: name, Slug: queue.Slug(name), Owned: true} // a broken one, or a partial download only
	}
	work := s.staging(name)
	if err := os.MkdirAll(work, 0o755); err != nil {
		return Model{}, fmt.Errorf("remove model %q: %w", name, err)
	}
	// Renamed first: nobody may find a folder with half of its files.
	if err := os.Rename(dir, filepath.Join(work, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Model{}, fmt.Errorf("remove model %q: %w", name, err)
	}
	if err := errors.Join(os.RemoveAll(work), os.RemoveAll(s.partial(name))); err != nil {
		return Model{}, fmt.Errorf("remove model %q: %w", name, err)
	}
	return m, nil
}
