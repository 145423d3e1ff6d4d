package llama

import (
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

func TestLogKeysAreThoseOfSchemas(t *testing.T) {
	t.Parallel()
	for own, theirs := range map[string]string{
		keyBefore:      schemas.LogBefore,
		keyMost:        schemas.LogMost,
		keyNativeLevel: schemas.LogNativeLevel,
		keyText:        schemas.LogText,
		keyThreads:     schemas.LogThreads,
		keyWait:        schemas.LogWait,
	} {
		if own != theirs {
			t.Errorf("%q is %q in schemas", own, theirs)
		}
	}
}
