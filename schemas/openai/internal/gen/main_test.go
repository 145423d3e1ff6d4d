package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDocumentationIsCurrent(t *testing.T) {
	const file = "../../../../docs/api-parameters.md"
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := document("../../testdata/clients")
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != doc {
		t.Errorf("%s is not what the table says; run: go generate ./schemas/openai", file)
	}
}
