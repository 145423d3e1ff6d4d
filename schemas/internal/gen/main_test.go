package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sources = "../.."

func TestSchemaFilesAreCurrent(t *testing.T) {
	files, err := documents(sources)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Fatalf("%d files", len(files))
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(sources, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say (%v); run: go generate ./schemas", name, err)
		}
	}
}
