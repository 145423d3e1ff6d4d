package compliance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/semantic-worker/semantic/deploy"
)

// ErrLicence is wrapped by every error of a licence that is unknown or not
// allowed.
var ErrLicence = errors.New("licences")

// shipped is the package that releases are made of.
const shipped = "./cmd/semantic"

// Module is a Go module with code in the shipped binary.
type Module struct {
	Path    string
	Version string
	// Dir is where its source is.
	Dir string
	// Platforms are those on which it is in the binary, as "GOOS/GOARCH".
	Platforms []string
	// Licences are SPDX identifiers.
	Licences []string
	// Files are the licence texts, relative to Dir: the module's own and those
	// of parts that it took over from others.
	Files []string
}

// library is a line of go-licenses' report: packages under one licence file.
type library struct{ name, licence, file string }

// Find returns the modules that are in the shipped binary on any platform of the
// lock, by path. root is the folder of this module.
func Find(ctx context.Context, root string, lock deploy.Lock, e Entries) ([]Module, error) {
	tool, err := buildTool(ctx, root, "deploy/tools/go.mod", "github.com/google/go-licenses/v2", "go-licenses")
	if err != nil {
		return nil, err
	}
	found := map[string]*Module{}
	for _, r := range lock.Runtimes {
		platform := r.OS + "/" + r.Arch
		modules, err := graph(ctx, root, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", platform, err)
		}
		libraries, err := report(ctx, root, r, tool)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", platform, err)
		}
		for _, m := range modules {
			if found[m.Path] == nil {
				found[m.Path] = &m
			}
			found[m.Path].Platforms = append(found[m.Path].Platforms, platform)
		}
		for _, l := range libraries {
			if m := owner(found, l.name); m != nil {
				m.add(l)
			}
		}
	}
	if err := e.clarify(found); err != nil {
		return nil, err
	}
	return sorted(found), nil
}

func sorted(found map[string]*Module) []Module {
	var modules []Module
	for _, p := range slices.Sorted(maps.Keys(found)) {
		m := *found[p]
		slices.Sort(m.Licences)
		slices.Sort(m.Files)
		modules = append(modules, m)
	}
	return modules
}

// add notes what a line of the report says about the module.
func (m *Module) add(l library) {
	file, err := filepath.Rel(m.Dir, l.file)
	if err != nil || !filepath.IsLocal(file) || l.licence == "Unknown" {
		return
	}
	if !slices.Contains(m.Licences, l.licence) {
		m.Licences = append(m.Licences, l.licence)
	}
	if file = filepath.ToSlash(file); !slices.Contains(m.Files, file) {
		m.Files = append(m.Files, file)
	}
}

// owner returns the module that a package is of, or nil for our own.
func owner(modules map[string]*Module, pkg string) *Module {
	for p := pkg; ; {
		if m := modules[p]; m != nil {
			return m
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return nil
		}
		p = p[:i]
	}
}

// graph lists the other modules in the import graph of one platform.
func graph(ctx context.Context, root string, r deploy.Runtime) ([]Module, error) {
	const format = `{{with .Module}}{{if not .Main}}{{.Path}}{{"\t"}}{{.Version}}{{"\t"}}{{.Dir}}{{end}}{{end}}`
	out, err := run(ctx, root, platformEnv(r), "go", "list", "-deps", "-f", format, shipped)
	if err != nil {
		return nil, err
	}
	var modules []Module
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 || seen[fields[0]] {
			continue
		}
		seen[fields[0]] = true
		modules = append(modules, Module{Path: fields[0], Version: fields[1], Dir: fields[2]})
	}
	return modules, nil
}

// report runs go-licenses for one platform. Its look-ups of where a licence is
// on the web are kept from leaving this machine: nobody needs them.
func report(ctx context.Context, root string, r deploy.Runtime, tool string) ([]library, error) {
	template, err := os.CreateTemp("", "licences-*.tpl")
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	defer func() { _ = os.Remove(template.Name()) }()
	_, err = template.WriteString("{{range .}}{{.Name}}\t{{.LicenseName}}\t{{.LicensePath}}\n{{end}}")
	if err = errors.Join(err, template.Close()); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	env := append(platformEnv(r), "HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "NO_PROXY=")
	out, err := run(ctx, root, env, tool, "report", shipped, "--template", template.Name())
	if err != nil {
		return nil, err
	}
	return parseReport(out), nil
}

func parseReport(out []byte) []library {
	var libraries []library
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if f := strings.Split(s.Text(), "\t"); len(f) == 3 {
			libraries = append(libraries, library{name: f[0], licence: f[1], file: f[2]})
		}
	}
	return libraries
}

// clarify adds what somebody read in licence files. A clarification of a file
// that has changed, or of a version that is not used, is an error.
func (e Entries) clarify(modules map[string]*Module) error {
	for _, c := range e.Modules {
		m := modules[c.Path]
		if m == nil || m.Version != c.Version {
			return fmt.Errorf("%w: module %s %s is not in the binary", ErrEntries, c.Path, c.Version)
		}
		data, err := os.ReadFile(filepath.Join(m.Dir, filepath.FromSlash(c.File)))
		if err != nil {
			return fmt.Errorf("%w: module %s: %w", ErrEntries, c.Path, err)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != c.SHA256 {
			return fmt.Errorf("%w: module %s: %s is another than was read", ErrEntries, c.Path, c.File)
		}
		m.Licences, m.Files = slices.Clone(c.Licences), []string{c.File}
	}
	return nil
}

// CheckModules returns an error that wraps [ErrLicence] and names every module
// without a licence, and every licence that is not allowed.
func (e Entries) CheckModules(modules []Module) error {
	var problems []error
	for _, m := range modules {
		if err := e.allow("module "+m.Path+" "+m.Version, m.Licences...); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %w", ErrLicence, errors.Join(problems...))
	}
	return nil
}
