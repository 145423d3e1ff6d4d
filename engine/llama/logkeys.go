package llama

// Keys of log attributes: those of schemas, which the engine does not import. A
// test keeps them the same.
const (
	keyBefore      = "before"
	keyMost        = "most"
	keyNativeLevel = "level_native"
	keyText        = "text"
	keyThreads     = "threads"
	keyWait        = "wait"
)
