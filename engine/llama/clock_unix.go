//go:build unix

package llama

import (
	"time"

	"golang.org/x/sys/unix"
)

// processTime is the processor time that this process has taken.
func processTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0 // it cannot fail with these arguments
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
