package schemas_test

import (
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

func TestParseChunkID(t *testing.T) {
	id := schemas.ChunkID{Job: "sn-7", N: 12, K: 3}
	if got, err := schemas.ParseChunkID("sn-7:12.3"); err != nil || got != id || id.String() != "sn-7:12.3" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{
		"", ":", "job", "job:1", "job:1.", "job:.1", "job:0.0", "job:1.-1", "job:+1.0", "job:01.0", "job:1.0.0", "job:1.0 ",
		"a.b:1.0", ":1.0", "job:99999999999999999999.0",
	} {
		if got, err := schemas.ParseChunkID(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func TestChunkIDAfter(t *testing.T) {
	ordered := []schemas.ChunkID{{N: 1, K: 0}, {N: 1, K: 1}, {N: 2, K: 0}, {N: 10, K: 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.After(b) != (i > j) {
				t.Errorf("%v after %v: %v", a, b, a.After(b))
			}
		}
	}
}
