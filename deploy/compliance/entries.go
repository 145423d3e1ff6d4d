package compliance

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/semantic-worker/semantic/deploy"
)

//go:embed entries.json
var entriesFile []byte

// ErrEntries is wrapped by every error of entries.json: one that cannot be read,
// and one that does not fit the lock file or the modules any more.
var ErrEntries = errors.New("deploy/compliance/entries.json")

// Entries is what is kept by hand.
type Entries struct {
	// Allowed are the SPDX identifiers that a part may be under.
	Allowed []string `json:"allowed"`
	// Modules say what the licence files are that go-licenses cannot read.
	Modules []Clarification `json:"modules"`
	// Native are the native libraries and the works compiled into them.
	Native []Native `json:"native"`
	// Models are the models that the lock file names.
	Models []Model `json:"models"`
}

// Clarification is what somebody read in the licence file of one module version.
type Clarification struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// File is relative to the module's folder; SHA256 is its hash, in hex.
	File     string   `json:"file"`
	SHA256   string   `json:"sha256"`
	Licences []string `json:"licences"`
	Why      string   `json:"why"`
}

// Native is one work in the native runtime: libraries, the packages that they
// come in, or something compiled into them. Exactly one of Libraries, Packages
// and Within is set.
type Native struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// PURL is empty for packages, whose own it is.
	PURL    string `json:"purl,omitempty"`
	Licence string `json:"licence"`
	// Copyright is the line above the licence's text.
	Copyright string `json:"copyright,omitempty"`
	// Reviewed is the llama.cpp release whose libraries were looked at.
	Reviewed string `json:"reviewed"`
	// Libraries are patterns of the file names that are this work.
	Libraries []string `json:"libraries,omitempty"`
	// Packages are the npm packages that this work is.
	Packages []string `json:"packages,omitempty"`
	// Within are patterns of the libraries that contain this work, and Seen the
	// text in them that shows it.
	Within []string `json:"within,omitempty"`
	Seen   string   `json:"seen,omitempty"`
}

// Model is a model that the lock file names.
type Model struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Package string `json:"package"`
	Version string `json:"version"`
	Licence string `json:"licence"`
	// Copyright says who made it.
	Copyright string `json:"copyright"`
}

// Load returns the entries that this build has.
func Load() (Entries, error) { return ParseEntries(entriesFile) }

// ParseEntries decodes entries; unknown fields are refused. The error wraps
// [ErrEntries].
func ParseEntries(data []byte) (Entries, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var e Entries
	if err := dec.Decode(&e); err != nil {
		return Entries{}, fmt.Errorf("%w: %w", ErrEntries, err)
	}
	return e, nil
}

// Check compares the entries with the lock file: every library, package and
// model of it has an entry of the same version and licence, every entry is used,
// was reviewed at the lock's llama.cpp release, and has an allowed licence. The
// error names everything that does not fit.
func (e Entries) Check(lock deploy.Lock) error {
	problems := e.checkUsed(lock)
	for _, r := range lock.Runtimes {
		for _, lib := range r.Libraries {
			if len(e.of(lib.Name)) != 1 {
				problems = append(problems, fmt.Errorf("library %s of %s: %d entries say what it is, want 1", lib.Name, r.Package, len(e.of(lib.Name))))
			}
		}
		i := slices.IndexFunc(e.Native, func(n Native) bool { return slices.Contains(n.Packages, r.Package) })
		switch {
		case i < 0:
			problems = append(problems, fmt.Errorf("package %s: no entry", r.Package))
		case e.Native[i].Version != r.Version || e.Native[i].Licence != r.Licence:
			problems = append(problems, fmt.Errorf("package %s: the entry is of %s under %s, the lock has %s under %s",
				r.Package, e.Native[i].Version, e.Native[i].Licence, r.Version, r.Licence))
		}
	}
	m := lock.DefaultModel
	if !slices.ContainsFunc(e.Models, func(x Model) bool {
		return x.Name == m.Name && x.Package == m.Package && x.Version == m.Version && x.Licence == m.Licence
	}) {
		problems = append(problems, fmt.Errorf("model %s of %s %s under %s: no entry", m.Name, m.Package, m.Version, m.Licence))
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %w", ErrEntries, errors.Join(problems...))
	}
	return nil
}

// checkUsed returns what is wrong with entries by themselves.
func (e Entries) checkUsed(lock deploy.Lock) []error {
	var problems []error
	for _, n := range e.Native {
		switch {
		case n.Reviewed != lock.LlamaCPP:
			problems = append(problems, fmt.Errorf("%s: reviewed for llama.cpp %s, the lock has %s", n.Name, n.Reviewed, lock.LlamaCPP))
		case len(n.Libraries) > 0 && n.Version != lock.LlamaCPP:
			problems = append(problems, fmt.Errorf("%s: version %s, the lock has %s", n.Name, n.Version, lock.LlamaCPP))
		case len(n.Within) > 0 && n.Seen == "":
			problems = append(problems, fmt.Errorf("%s: no text that shows it", n.Name))
		}
		for _, pattern := range slices.Concat(n.Libraries, n.Within) {
			if !slices.ContainsFunc(lock.Runtimes, func(r deploy.Runtime) bool { return len(matching(r, pattern)) > 0 }) {
				problems = append(problems, fmt.Errorf("%s: no library is called %s", n.Name, pattern))
			}
		}
		for _, p := range n.Packages {
			if !slices.ContainsFunc(lock.Runtimes, func(r deploy.Runtime) bool { return r.Package == p }) {
				problems = append(problems, fmt.Errorf("%s: the lock has no package %s", n.Name, p))
			}
		}
		problems = append(problems, e.allow(n.Name, n.Licence))
	}
	for _, m := range e.Models {
		if m.Name != lock.DefaultModel.Name {
			problems = append(problems, fmt.Errorf("model %s: the lock has none of this name", m.Name))
		}
		problems = append(problems, e.allow("model "+m.Name, m.Licence))
	}
	return slices.DeleteFunc(problems, func(err error) bool { return err == nil })
}

// allow returns an error that names the part unless all licences are allowed.
func (e Entries) allow(part string, licences ...string) error {
	if len(licences) == 0 {
		return fmt.Errorf("%s: no licence found", part)
	}
	for _, l := range licences {
		if !slices.Contains(e.Allowed, l) {
			return fmt.Errorf("%s: licence %s is not allowed", part, l)
		}
	}
	return nil
}

// of returns the entries that say what a library is.
func (e Entries) of(library string) []Native {
	var found []Native
	for _, n := range e.Native {
		if anyMatch(n.Libraries, library) {
			found = append(found, n)
		}
	}
	return found
}

// matching returns the names of the libraries that a pattern is about.
func matching(r deploy.Runtime, pattern string) []string {
	var names []string
	for _, lib := range r.Libraries {
		if anyMatch([]string{pattern}, lib.Name) {
			names = append(names, lib.Name)
		}
	}
	return names
}

func anyMatch(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}
