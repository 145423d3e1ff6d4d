package cli

import (
	"slices"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	table := table{head: []string{"A", "B", "C"}, spare: []string{"B", "A"}, indent: "  "}
	table.add("ü1", "b", "c")
	table.add("a", "bbb", "-")
	for width, want := range map[int][]string{
		0:  {"  A   B    C", "  ü1  b    c", "  a   bbb  -"},
		12: {"  A   B    C", "  ü1  b    c", "  a   bbb  -"},
		11: {"  A   C", "  ü1  c", "  a   -"},
		6:  {"  C", "  c", "  -"},
		1:  {"  C", "  c", "  -"},
	} {
		if got := table.lines(width); !slices.Equal(got, want) {
			t.Errorf("width %d: %q, want %q", width, got, want)
		}
	}
}

// Nobody's text moves the cursor, breaks a line or turns it around.
func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"qwen/3:8b ü 語": "qwen/3:8b ü 語", "a\x1b[2Jb": "a?[2Jb", "a\nb\tc\x7f": "a?b?c?", "a\u202eb\u2066": "a?b?",
		"\xff": "?", "\u009b1m": "?1m",
	} {
		if got := plain(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 350 * time.Millisecond: "350ms", 4200 * time.Millisecond: "4.2s", 192 * time.Second: "3m12s",
		5*time.Hour + 2*time.Minute: "5h2m", 3*time.Hour + 20*time.Second: "3h0m", 76 * time.Hour: "3d4h", 48 * time.Hour: "2d0h",
	} {
		if got := ago(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
