package cli

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the documentation tells people to type exists: each line of a code block
// that begins with `semantic` names a command, with flags that it has.
func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	pages, commands := 0, 0
	eachFile(t, func(path, text string) {
		if filepath.Ext(path) != ".md" || filepath.Base(path) == "CHANGELOG.md" {
			return
		}
		pages++
		for _, line := range codeLines(text) {
			commands++
			if problem := badCommand(line); problem != "" {
				t.Errorf("%s: %s: %s", path, line, problem)
			}
		}
	})
	if pages < 30 || commands < 50 {
		t.Errorf("%d pages, %d commands", pages, commands)
	}
	for _, bad := range []string{"semantic nosuch", "semantic ps --nosuch", "semantic jobs nosuch ID"} {
		if badCommand(bad) == "" {
			t.Errorf("%q passed", bad)
		}
	}
}

// codeLines are the commands in a page's code blocks, fenced or indented.
func codeLines(page string) (lines []string) {
	fenced := false
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		command := strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		if (fenced || strings.HasPrefix(line, "    ")) && strings.HasPrefix(command, "semantic ") {
			lines = append(lines, command)
		}
	}
	return lines
}

// badCommand says what is wrong with a line that somebody would type.
func badCommand(line string) string {
	line, _, _ = strings.Cut(line, " #")
	for _, end := range []string{" | ", " > ", " >> ", " < ", " && ", " &"} {
		line, _, _ = strings.Cut(line, end)
	}
	words := strings.Fields(line)[1:]
	if len(words) == 0 || strings.Contains(words[0], ":") || strings.Contains(line, " is ready ") {
		return "" // what it prints, not what one types
	}
	command, rest, err := newRootCommand(&app{}, io.Discard).Find(words)
	if err != nil {
		return err.Error()
	}
	for _, word := range rest {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && command.Flag(name) == nil && command.InheritedFlags().Lookup(name) == nil && name != "help" {
			return "no flag --" + name
		}
	}
	if command.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return "no command " + rest[0]
	}
	return ""
}

// The tests and benchmarks that the documentation names exist.
func TestDocumentedTestsExist(t *testing.T) {
	t.Parallel()
	named, defined := map[string]string{}, []string{}
	name, definition := regexp.MustCompile(`\b(?:Test|Benchmark)[A-Z]\w+`), regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`)
	eachFile(t, func(path, text string) {
		switch {
		case strings.HasSuffix(path, ".md"):
			for _, n := range name.FindAllString(text, -1) {
				named[n] = path
			}
		case strings.HasSuffix(path, "_test.go"):
			for _, n := range definition.FindAllStringSubmatch(text, -1) {
				defined = append(defined, n[1])
			}
		}
	})
	if len(named) < 30 || len(defined) < 500 {
		t.Errorf("%d named, %d defined", len(named), len(defined))
	}
	for n, page := range named {
		if !slices.ContainsFunc(defined, func(test string) bool { return strings.HasPrefix(test, n) }) { // as in -run
			t.Errorf("%s: there is no %s", page, n)
		}
	}
}

// eachFile reads the pages and tests of the repository.
func eachFile(t *testing.T, look func(path, text string)) {
	t.Helper()
	root := filepath.Join("..", "..", "..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md" && !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			look(path, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
