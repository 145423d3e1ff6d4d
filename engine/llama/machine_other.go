//go:build !linux && !darwin

package llama

import (
	"errors"
	"runtime"
	"time"
)

func probeCores() cores {
	return cores{usable: runtime.NumCPU()}.bound(float64(runtime.NumCPU()))
}

// idleTime is not known on this system.
func idleTime() (time.Duration, bool) { return 0, false }

// ProbeMemory is not known on this system.
func ProbeMemory() (Memory, error) {
	return Memory{}, errors.New("llama: free memory is not known on " + runtime.GOOS)
}
