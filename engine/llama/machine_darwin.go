package llama

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func probeCores() cores {
	c := cores{usable: runtime.NumCPU()}
	if n, err := unix.SysctlUint32("hw.physicalcpu"); err == nil && n > 0 {
		c.usable = min(c.usable, int(n))
	}
	// Performance level 0 is the fastest; Intel Macs have no levels.
	if n, err := unix.SysctlUint32("hw.perflevel0.physicalcpu"); err == nil {
		c.fast = int(n)
	}
	return c.bound(float64(c.usable))
}

// idleTime is not known on this system.
func idleTime() (time.Duration, bool) { return 0, false }

// ProbeMemory reads what this process can still take: pages that are free or
// can be dropped without writing them anywhere.
func ProbeMemory() (Memory, error) {
	total, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return Memory{}, fmt.Errorf("llama: size of memory: %w", err)
	}
	m := Memory{Total: total, Source: "free memory"}
	page := uint64(os.Getpagesize())
	free, err := unix.SysctlUint32("vm.page_free_count")
	if err != nil {
		return Memory{}, fmt.Errorf("llama: free memory: %w", err)
	}
	m.Free = uint64(free) * page
	// Without these it is less, which harms nobody.
	for _, name := range []string{"vm.page_pageable_external_count", "vm.page_purgeable_count"} {
		if n, err := unix.SysctlUint32(name); err == nil {
			m.Free += uint64(n) * page
		}
	}
	m.Free = min(m.Free, total)
	return m, nil
}
