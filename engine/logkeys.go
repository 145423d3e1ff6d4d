package engine

// Keys of log attributes, and names of events: those of schemas, which the
// engine does not import. A test keeps them the same.
const (
	keyCall       = "call"
	keyCells      = "cells"
	keyCellsUsed  = "cells_used"
	keyError      = "error"
	keyFinish     = "finish"
	keyKept       = "kept"
	keySequenceID = "sequence_id"
	keyTokens     = "tokens"
)
