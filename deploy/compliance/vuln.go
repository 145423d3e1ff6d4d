package compliance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var (
	// ErrVulnerable is wrapped by the error of a program that calls code with a
	// known vulnerability.
	ErrVulnerable = errors.New("vulnerable")
	// ErrMachine is wrapped by an error that is of this machine, not of the
	// program: the database could not be reached, or the Go that builds is old.
	ErrMachine = errors.New("this machine")
)

const vulnMod = "deploy/tools/vuln/go.mod"

// Scan is what govulncheck said about the shipped binary.
type Scan struct {
	// Database says which one was asked.
	Database string
	// Online is whether that was the current one.
	Online bool
	// GoVersion is of the standard library that was looked at.
	GoVersion string
	// Called are vulnerabilities in code that the program calls, Present those in
	// modules that it only has.
	Called, Present []Vulnerability
}

// Vulnerability is one entry of the database, for one module.
type Vulnerability struct {
	ID      string
	Module  string
	Version string
	// Fixed is the version to go to, empty if there is none.
	Fixed string
}

func (v Vulnerability) String() string {
	fixed := "not fixed in any version"
	if v.Fixed != "" {
		fixed = "fixed in " + v.Fixed
	}
	return fmt.Sprintf("%s: %s %s, %s", v.ID, v.Module, v.Version, fixed)
}

// standard is what govulncheck calls the standard library.
const standard = "stdlib"

// CheckVulnerabilities runs govulncheck on the shipped binary's source, for this
// machine's platform. Where its database cannot be reached, the one of the day
// that deploy/tools/vuln/go.mod pins is asked instead. root is the folder of
// this module.
func CheckVulnerabilities(ctx context.Context, root string) (Scan, error) {
	tool, err := buildTool(ctx, root, vulnMod, "golang.org/x/vuln/cmd/govulncheck", "govulncheck")
	if err != nil {
		return Scan{}, err
	}
	env := []string{"CGO_ENABLED=0"}
	out, err := run(ctx, root, env, tool, "-format", "json", shipped)
	if err == nil {
		s, err := readScan(bytes.NewReader(out))
		s.Online, s.Database = true, "the current database"
		return s, err
	}
	// govulncheck has no exit code of its own for this.
	if !strings.Contains(stderrOf(err), "fetching vulnerabilities") {
		return Scan{}, err
	}
	db, version, err := pinnedDatabase(ctx, root)
	if err != nil {
		return Scan{}, err
	}
	out, err = run(ctx, root, env, tool, "-db", "file://"+filepath.ToSlash(db), "-format", "json", shipped)
	if err != nil {
		return Scan{}, err
	}
	s, err := readScan(bytes.NewReader(out))
	s.Database = "the database that is pinned, " + version
	return s, err
}

// pinnedDatabase makes a database of the entries in the pinned module, once, and
// returns its folder.
func pinnedDatabase(ctx context.Context, root string) (dir, version string, err error) {
	src, version, err := moduleDir(ctx, root, vulnMod, "golang.org/x/vulndb")
	if err != nil {
		return "", "", err
	}
	dir = filepath.Join(root, ".cache", "vulndb-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, version, nil
	}
	tool, err := buildTool(ctx, root, vulnMod, "golang.org/x/vulndb/cmd/indexdb", "indexdb")
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", "", fmt.Errorf("vulnerability database: %w", err)
	}
	next, err := os.MkdirTemp(filepath.Dir(dir), "vulndb-next-")
	if err != nil {
		return "", "", fmt.Errorf("vulnerability database: %w", err)
	}
	defer func() { _ = os.RemoveAll(next) }()
	if _, err := run(ctx, root, nil, tool, "-vulns", filepath.Join(src, "data", "osv"), "-out", filepath.Join(next, "db")); err != nil {
		return "", "", err
	}
	err = os.Rename(filepath.Join(next, "db"), dir)
	if _, there := os.Stat(dir); err != nil && there != nil {
		return "", "", fmt.Errorf("vulnerability database: %w", err)
	}
	return dir, version, nil
}

// readScan reads govulncheck's JSON: a stream of objects with one key each.
func readScan(r io.Reader) (Scan, error) {
	var s Scan
	for dec := json.NewDecoder(r); ; {
		var message struct {
			Config *struct {
				GoVersion string `json:"go_version"`
			} `json:"config"`
			Finding *struct {
				OSV   string `json:"osv"`
				Fixed string `json:"fixed_version"`
				// Trace begins in the vulnerable module. Only where the program
				// calls it does the first frame have a function.
				Trace []struct {
					Module, Version, Function string
				} `json:"trace"`
			} `json:"finding"`
		}
		if err := dec.Decode(&message); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Scan{}, fmt.Errorf("govulncheck: %w", err)
		}
		if message.Config != nil {
			s.GoVersion = message.Config.GoVersion
		}
		f := message.Finding
		if f == nil || len(f.Trace) == 0 {
			continue
		}
		v := Vulnerability{ID: f.OSV, Module: f.Trace[0].Module, Version: f.Trace[0].Version, Fixed: f.Fixed}
		list := &s.Present
		if f.Trace[0].Function != "" {
			list = &s.Called
		}
		if !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	}
	if s.GoVersion == "" {
		return Scan{}, errors.New("govulncheck: no configuration in its output")
	}
	s.Present = slices.DeleteFunc(s.Present, func(v Vulnerability) bool { return slices.Contains(s.Called, v) })
	return s, nil
}

// Err returns an error that wraps [ErrVulnerable] if the program calls vulnerable
// code of a module, and otherwise one that wraps [ErrMachine] if the standard
// library that builds it is vulnerable or the current database was not asked.
func (s Scan) Err() error {
	var code, machine []error
	for _, v := range s.Called {
		if v.Module == standard {
			machine = append(machine, errors.New(v.String()))
		} else {
			code = append(code, errors.New(v.String()))
		}
	}
	if len(code) > 0 {
		return fmt.Errorf("%w: %w", ErrVulnerable, errors.Join(code...))
	}
	if len(machine) > 0 {
		machine = append(machine, fmt.Errorf("build with a newer Go than %s", s.GoVersion))
	}
	if !s.Online {
		machine = append(machine, errors.New("the current vulnerability database could not be reached"))
	}
	if len(machine) > 0 {
		return fmt.Errorf("%w: %w", ErrMachine, errors.Join(machine...))
	}
	return nil
}
