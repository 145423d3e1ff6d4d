package main

import (
	"bytes"
	"errors"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		nil, {"other"}, {"check", "x"}, {"notice"}, {"third-party"}, {"sbom", "out", "v1"}, {"vuln", "-lenientt"}, {"vuln", "-lenient", "x"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
