package models

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf"
)

// manifestName is the file in a model's folder that describes it.
const manifestName = "model.json"

// manifestVersion is the version of the manifest's format. A store may be read
// by several releases: fields that a release does not know are ignored (and gone
// where it writes the manifest anew), so what a release must not ignore takes
// another version.
const manifestVersion = 1

// Model is a model of the store, or a file that was named by its path.
type Model struct {
	// Name is what jobs call it; Slug is the name in subjects.
	Name string `json:"name"`
	Slug string `json:"slug"`
	// Path is the file to load; of a split set the first one.
	Path string `json:"path"`
	// Files are all files, in order.
	Files []File `json:"files"`
	// SHA256 identifies the weights: the file's hash, or of a split set the
	// hash of all hashes. In hex.
	SHA256 string `json:"sha256"`
	// Size is the size of all files in bytes.
	Size int64 `json:"size"`
	// Owned is whether the files are the store's, to be deleted with it.
	Owned bool `json:"owned"`
	// Source says where it came from, for people.
	Source string `json:"source"`
	// The following are read from the file; empty or 0 where it does not say.
	Architecture string `json:"architecture"`
	// Context is the trained context length in tokens.
	Context      int       `json:"context"`
	Quantisation string    `json:"quantisation"`
	Parameters   int64     `json:"parameters"`
	Licence      string    `json:"licence,omitempty"`
	Added        time.Time `json:"added"`
	// Requantised is what the CPU loads instead; nil where there is none.
	Requantised *Variant `json:"requantised,omitempty"`
	// Problem says why it cannot be loaded; set by List only.
	Problem string `json:"problem,omitempty"`
}

// File is one file of a model, as it was when it was added.
type File struct {
	// Path is absolute.
	Path string `json:"path"`
	// Size is in bytes.
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mod_time"`
	// SHA256 is in hex.
	SHA256 string `json:"sha256"`
}

// manifest is what model.json holds. Paths of owned files are names in the
// model's folder.
type manifest struct {
	Version      int       `json:"version"`
	Name         string    `json:"name"`
	Source       string    `json:"source"`
	Owned        bool      `json:"owned"`
	Files        []File    `json:"files"`
	Architecture string    `json:"architecture"`
	Context      int       `json:"context"`
	Quantisation string    `json:"quantisation"`
	Parameters   int64     `json:"parameters"`
	Licence      string    `json:"licence,omitempty"`
	Added        time.Time `json:"added"`
	Requantised  *Variant  `json:"requantised,omitempty"`
}

func readManifest(file string) (manifest, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return manifest{}, err //nolint:wrapcheck // names the path
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return manifest{}, fmt.Errorf("%s: %w", file, err)
	}
	if err := m.validate(); err != nil {
		return manifest{}, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

func (m manifest) validate() error {
	if m.Version != manifestVersion {
		return fmt.Errorf("version %d of the manifest; this release reads %d", m.Version, manifestVersion)
	}
	if err := ValidName(m.Name); err != nil {
		return err
	}
	if len(m.Files) == 0 {
		return errors.New("the manifest names no file")
	}
	for _, f := range m.Files {
		switch {
		case m.Owned && (!filepath.IsLocal(f.Path) || filepath.Base(f.Path) != f.Path):
			return fmt.Errorf("the manifest names %q, which is not in the folder", f.Path)
		case !m.Owned && !filepath.IsAbs(f.Path):
			return fmt.Errorf("the manifest names %q, which is not an absolute path", f.Path)
		}
	}
	if v := m.Requantised; v != nil && (!filepath.IsLocal(v.File.Path) || filepath.Base(v.File.Path) != v.File.Path) {
		return fmt.Errorf("the manifest names %q, which is not in the folder", v.File.Path)
	}
	return nil
}

func (m manifest) write(file string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return disk.WriteFile(file, append(data, '\n'))
}

// model is what the manifest in the folder dir describes.
func (m manifest) model(dir, slug string) Model {
	out := Model{
		Name: m.Name, Slug: slug, Owned: m.Owned, Source: m.Source, Architecture: m.Architecture, Context: m.Context,
		Quantisation: m.Quantisation, Parameters: m.Parameters, Licence: m.Licence, Added: m.Added,
	}
	for _, f := range m.Files {
		if m.Owned {
			f.Path = filepath.Join(dir, f.Path)
		}
		out.Files = append(out.Files, f)
		out.Size += f.Size
	}
	if m.Requantised != nil {
		v := *m.Requantised
		v.File.Path = filepath.Join(dir, v.File.Path)
		out.Requantised = &v
	}
	out.Path, out.SHA256 = out.Files[0].Path, weightsHash(out.Files)
	return out
}

// weightsHash identifies the weights: the hash of a single file, else the hash
// of all hashes.
func weightsHash(files []File) string {
	if len(files) == 1 {
		return files[0].SHA256
	}
	var b strings.Builder
	for _, f := range files {
		b.WriteString(f.SHA256 + "\n")
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// describe fills in what the files' headers say.
func (m *manifest) describe(paths []string) error {
	var first gguf.Info
	m.Parameters = 0
	for i, p := range paths {
		info, err := gguf.ReadFile(p)
		if err != nil {
			return fileError(p, err)
		}
		if i == 0 {
			first = info
		}
		m.Parameters += info.Parameters
	}
	if first.Architecture == "" {
		return &ContentError{
			File: paths[0], Err: errors.New("the file names no architecture"),
			Advice: "It is GGUF, but not a model: projectors and adapters cannot be loaded alone.",
		}
	}
	if n := max(first.Split, 1); n != len(paths) {
		return &ContentError{
			File: paths[0], Err: fmt.Errorf("the file belongs to a set of %d, and %d are given", n, len(paths)),
			Advice: "The files of a set keep their names, NAME-00001-of-0000N.gguf, and lie in one folder.",
		}
	}
	m.Architecture, m.Context, m.Quantisation = first.Architecture, first.Context, first.Quantisation
	if m.Licence == "" {
		m.Licence = first.Licence
	}
	return nil
}

// fileError adds what to do to an error of reading a model's file.
func fileError(file string, err error) error {
	var short *gguf.TruncatedError
	switch {
	case errors.As(err, &short):
		return &ContentError{File: file, Err: short, Advice: "Fetch the file again."}
	case errors.Is(err, gguf.ErrFormat):
		return &ContentError{File: file, Err: err, Advice: "Only GGUF files can be loaded."}
	}
	return fmt.Errorf("model file: %w", err)
}
