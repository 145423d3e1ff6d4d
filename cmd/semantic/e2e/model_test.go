package e2e

import (
	"strings"
	"testing"
)

// A server loads what `model list` says: on a CPU, what `model pull` made for it.
func TestServedQuantisation(t *testing.T) {
	p := newPlace(t).real(t)
	s := p.serve(t, "--ctx", "256", "--threads", "1")
	var loaded []map[string]any
	s.wait("its log says what it loaded", func() bool {
		loaded = s.log.lines("model loaded")
		return len(loaded) > 0
	})
	if len(loaded) != 1 {
		t.Fatalf("%d models loaded", len(loaded))
	}
	want := "Q4_1"
	if loaded[0]["backend"] == "cpu" {
		want = "Q8_0"
	}
	if got := loaded[0]["quantisation"]; got != want {
		t.Errorf("the %s loads %s, want %s", loaded[0]["backend"], got, want)
	}
	list := p.run(t, "model", "list", "--nats", s.NATS)
	if want == "Q8_0" && !strings.Contains(list, "Q4_1 (CPU: Q8_0)") {
		t.Errorf("the list says\n%s", list)
	}
}
