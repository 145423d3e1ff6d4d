package enginetest

import (
	"os"
	"testing"
)

// Native returns the folder of the native libraries and the model file that
// tests use (SEMANTIC_TEST_LIB, SEMANTIC_TEST_MODEL, as make test sets them).
// Without them it skips the test, or fails it where SEMANTIC_TEST_REQUIRE is 1.
func Native(t testing.TB) (libDir, modelPath string) {
	t.Helper()
	libDir, modelPath = os.Getenv("SEMANTIC_TEST_LIB"), os.Getenv("SEMANTIC_TEST_MODEL")
	if libDir != "" && modelPath != "" {
		return libDir, modelPath
	}
	const reason = "needs the native runtime and the default model: run `make test`, which fetches them"
	if os.Getenv("SEMANTIC_TEST_REQUIRE") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return "", ""
}
