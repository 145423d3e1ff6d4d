package engine

import (
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

func TestLogKeysAreThoseOfSchemas(t *testing.T) {
	t.Parallel()
	for own, theirs := range map[string]string{
		keyBlocks:       schemas.LogBlocks,
		keyCachedTokens: schemas.LogCachedTokens,
		keyCall:         schemas.LogCall,
		keyCells:        schemas.LogCells,
		keyCellsUsed:    schemas.LogCellsUsed,
		keyDuration:     schemas.LogDuration,
		keyError:        schemas.LogError,
		keyEvent:        schemas.LogEvent,
		keyFinish:       schemas.LogFinish,
		keyKept:         schemas.LogKept,
		keyPreemptions:  schemas.LogPreemptions,
		keyPromptTokens: schemas.LogPromptTokens,
		keyRunning:      schemas.LogRunning,
		keySequenceID:   schemas.LogSequenceID,
		keySource:       schemas.LogSource,
		keyTier:         schemas.LogTier,
		keyTokens:       schemas.LogTokens,
		keyWaiting:      schemas.LogWaiting,
		eventAdmitted:   schemas.LogEventBatchAdmitted,
		eventFinished:   schemas.LogEventBatchFinished,
		eventCacheHit:   schemas.LogEventCacheHit,
		eventCacheEvict: schemas.LogEventCacheEvict,
	} {
		if own != theirs {
			t.Errorf("%q is %q in schemas", own, theirs)
		}
	}
}
