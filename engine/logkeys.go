package engine

// Keys of log attributes, and names of events: those of schemas, which the
// engine does not import. A test keeps them the same.
const (
	keyBlocks       = "blocks"
	keyCachedTokens = "cached_tokens"
	keyCall         = "call"
	keyCells        = "cells"
	keyCellsUsed    = "cells_used"
	keyDuration     = "duration"
	keyError        = "error"
	keyEvent        = "event"
	keyFinish       = "finish"
	keyKept         = "kept"
	keyPreemptions  = "preemptions"
	keyPromptTokens = "prompt_tokens"
	keyRunning      = "running"
	keySequenceID   = "sequence_id"
	keySource       = "source"
	keyTier         = "tier"
	keyTokens       = "tokens"
	keyWaiting      = "waiting"
)

// Events, all at debug.
const (
	// eventAdmitted is a sequence that got a place, eventFinished one that left the
	// engine, in whatever way.
	eventAdmitted = "batch.admitted"
	eventFinished = "batch.finished"
	// eventCacheHit is a sequence that begins with cells of another, eventCacheEvict
	// one that lost its cells to others.
	eventCacheHit   = "cache.hit"
	eventCacheEvict = "cache.evict"
)
