package llama

import (
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

func TestLogKeysAreThoseOfSchemas(t *testing.T) {
	t.Parallel()
	for own, theirs := range map[string]string{
		keyComponent: schemas.LogComponent,
		keyBefore:    schemas.LogBefore,
		keyMost:      schemas.LogMost,
		keyThreads:   schemas.LogThreads,
		keyWait:      schemas.LogWait,
	} {
		if own != theirs {
			t.Errorf("%q is %q in schemas", own, theirs)
		}
	}
}
