package engine

// PoolUsed is the engine's own count of cells; for the loop's goroutine, as in a
// call of the backend.
func PoolUsed(e *Engine) (cells, blocks int) { return e.loop.pool.used, e.loop.pool.blocks }
