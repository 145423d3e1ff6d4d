package llama

import "runtime"

// Threads is how many threads should compute by default.
func Threads() int { return runtime.NumCPU() }
