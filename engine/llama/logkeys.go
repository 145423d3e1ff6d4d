package llama

// Keys of log attributes: those of schemas, which the engine does not import. A
// test keeps them the same.
const (
	keyComponent = "component"
	keyBefore    = "before"
	keyMost      = "most"
	keyThreads   = "threads"
	keyWait      = "wait"
)
