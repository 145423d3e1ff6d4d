package schemas_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

// TestListsAreComplete compares the lists with the constants in the source.
func TestListsAreComplete(t *testing.T) {
	for _, c := range []struct {
		file, pattern string
		listed        []string
	}{
		{"code.go", `(?m)^\tCode\w+ +Code = "(\w+)"`, words(schemas.Codes())},
		{"event.go", `(?m)^\tEvent\w+ +EventType = "(\w+)"`, words(schemas.EventTypes())},
		{"job.go", `(?m)^\tClass\w+ +Class = "(\w+)"`, words(schemas.Classes())},
	} {
		source, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		var declared []string
		for _, m := range regexp.MustCompile(c.pattern).FindAllStringSubmatch(string(source), -1) {
			declared = append(declared, m[1])
		}
		if !slices.Equal(declared, c.listed) {
			t.Errorf("%s declares %v and lists %v", c.file, declared, c.listed)
		}
	}
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

func TestTerminal(t *testing.T) {
	for _, e := range schemas.EventTypes() {
		want := slices.Contains([]string{"done", "failed", "cancelled", "expired"}, string(e))
		if e.Terminal() != want {
			t.Errorf("%s: %v", e, e.Terminal())
		}
	}
	if schemas.EventType("nap").Terminal() {
		t.Error("a type that does not exist ends a job")
	}
}

func TestValidJobID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "A-z_9": true, strings.Repeat("x", schemas.MaxJobID): true,
		"": false, strings.Repeat("x", schemas.MaxJobID+1): false, "a.b": false, "a:b": false, "é": false, "a b": false,
	} {
		if schemas.ValidJobID(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}
