package engine

import (
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

func TestLogKeysAreThoseOfSchemas(t *testing.T) {
	t.Parallel()
	for own, theirs := range map[string]string{
		keyCall:       schemas.LogCall,
		keyCells:      schemas.LogCells,
		keyCellsUsed:  schemas.LogCellsUsed,
		keyError:      schemas.LogError,
		keyFinish:     schemas.LogFinish,
		keyKept:       schemas.LogKept,
		keySequenceID: schemas.LogSequenceID,
		keyTokens:     schemas.LogTokens,
	} {
		if own != theirs {
			t.Errorf("%q is %q in schemas", own, theirs)
		}
	}
}
