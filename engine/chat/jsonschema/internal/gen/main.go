// Command gen writes the table of keywords into the page that is its argument,
// between two marks.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/semantic-worker/semantic/engine/chat/jsonschema"
)

const (
	begin = "<!-- keywords: made by go generate ./engine/chat/jsonschema -->\n"
	end   = "<!-- end of keywords -->\n"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the page: %w", err)
	}
	before, rest, ok := bytes.Cut(page, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return errors.New("the page has no marks for the table")
	}
	made := append(append(append([]byte{}, before...), begin...), table()...)
	made = append(append(made, end...), after...)
	if err := os.WriteFile(path, made, 0o644); err != nil {
		return fmt.Errorf("the page: %w", err)
	}
	return nil
}

// table has a row for each keyword, but annotations of which there is nothing to
// say share one.
func table() string {
	var b strings.Builder
	b.WriteString("\n| keyword | | |\n| --- | --- | --- |\n")
	var plain []string
	for _, k := range jsonschema.Keywords() {
		if k.Use == jsonschema.Ignored && k.Note == "" {
			plain = append(plain, "`"+k.Name+"`")
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, k.Use, sentence(k.Note))
	}
	fmt.Fprintf(&b, "| %s, and names that begin with `x-` | %s | They change nothing. |\n\n", strings.Join(plain, ", "), jsonschema.Ignored)
	return b.String()
}

// sentence begins a reason, which completes a sentence, like one.
func sentence(note string) string {
	note = strings.ReplaceAll(note, "|", `\|`)
	if note == "" || strings.HasSuffix(note, ".") {
		return note
	}
	return strings.ToUpper(note[:1]) + note[1:] + "."
}
