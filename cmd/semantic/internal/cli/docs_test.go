package cli

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the documentation tells people to type exists: each line of a code block
// that begins with `semantic` names a command, with flags that it has.
func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	pages, commands := 0, 0
	root := filepath.Join("..", "..", "..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md" || entry.Name() == "CHANGELOG.md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pages++
		for _, line := range codeLines(string(text)) {
			commands++
			if problem := badCommand(line); problem != "" {
				t.Errorf("%s: %s: %s", path, line, problem)
			}
		}
		return nil
	})
	if err != nil || pages < 30 || commands < 50 {
		t.Errorf("%d pages, %d commands: %v", pages, commands, err)
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
