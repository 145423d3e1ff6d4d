package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sources = "../.."

func TestSchemaFilesAreCurrent(t *testing.T) {
	files, text, err := documents(sources)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 5 {
		t.Fatalf("%d files", len(files))
	}
	files["../docs/job-and-event.md"] = []byte(text)
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(sources, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say (%v); run: go generate ./schemas", name, err)
		}
	}
}

// Every field and code is explained, and every link leads to a section.
func TestPageIsComplete(t *testing.T) {
	_, text, err := documents(sources)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| `") {
			rows++
			if strings.HasSuffix(strings.TrimSpace(line), "|  |") {
				t.Errorf("no meaning: %s", line)
			}
		}
	}
	for _, field := range []string{"`temperature`", "`tool_call_id`", "`continuous_usage`", "`body_hash`", "`queued_ms`", "`Nats-Msg-Id`"} {
		if !strings.Contains(text, "| "+field+" |") {
			t.Errorf("%s is not there", field)
		}
	}
	for _, code := range schemas.Codes() {
		if !strings.Contains(text, "| `"+string(code)+"` | ") {
			t.Errorf("%s is not there", code)
		}
	}
	if rows < 60 {
		t.Errorf("only %d rows", rows)
	}
	for _, link := range regexp.MustCompile(`\]\(#([a-z]+)\)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(strings.ToLower(text), "\n### "+link[1]+"\n") {
			t.Errorf("#%s leads nowhere", link[1])
		}
	}
}
