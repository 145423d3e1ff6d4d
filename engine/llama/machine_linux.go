package llama

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func probeCores() cores {
	root := os.DirFS("/")
	var mask []int
	var set unix.CPUSet
	// Of the process, not of this thread: the engine's thread may be pinned.
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err == nil {
		for cpu := range len(set) * 64 {
			if set.IsSet(cpu) {
				mask = append(mask, cpu)
			}
		}
	}
	if len(mask) == 0 {
		for cpu := range runtime.NumCPU() {
			mask = append(mask, cpu)
		}
	}
	return cores{usable: len(mask), fast: fastOf(root, mask)}.bound(cgroup{root}.cpus())
}

// fastOf counts the performance cores of a mask: on hybrid Intel processors
// those that the kernel lists as cpu_core, on ARM those of the highest capacity
// (or at least three quarters of it); elsewhere all.
func fastOf(fsys fs.FS, mask []int) int {
	fast := 0
	if text, err := fs.ReadFile(fsys, "sys/devices/cpu_core/cpus"); err == nil {
		listed := cpuList(string(text))
		for _, cpu := range mask {
			if listed[cpu] {
				fast++
			}
		}
		return fast
	}
	capacity := make([]float64, len(mask))
	highest := 0.0
	for i, cpu := range mask {
		text, err := fs.ReadFile(fsys, fmt.Sprintf("sys/devices/system/cpu/cpu%d/cpu_capacity", cpu))
		if err != nil {
			return len(mask)
		}
		capacity[i] = number(string(text))
		highest = max(highest, capacity[i])
	}
	for _, c := range capacity {
		if c >= 0.75*highest {
			fast++
		}
	}
	return fast
}

// cpuList reads the kernel's list format, like "0-3,8".
func cpuList(text string) map[int]bool {
	set := make(map[int]bool)
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil {
			continue
		}
		for cpu := first; cpu <= last; cpu++ {
			set[cpu] = true
		}
	}
	return set
}

// idleTime is how long cores of this machine had nothing to do since it was
// started, all of them together; false where that is not known.
func idleTime() (time.Duration, bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	// cpu USER NICE SYSTEM IDLE IOWAIT …, in hundredths of a second.
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[0] != "cpu" {
		return 0, false
	}
	return time.Duration((number(fields[4]) + number(fields[5])) * float64(time.Second) / 100), true
}

// ProbeMemory reads what this process can still take: MemAvailable, or less
// where control groups leave less.
func ProbeMemory() (Memory, error) { return linuxMemory(os.DirFS("/")) }

func linuxMemory(fsys fs.FS) (Memory, error) {
	var m Memory
	text, err := fs.ReadFile(fsys, "proc/meminfo")
	if err != nil {
		return m, fmt.Errorf("llama: free memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			m.Total = uint64(number(fields[1])) * 1024
		case "MemAvailable:":
			m.Free, m.Source = uint64(number(fields[1]))*1024, "free memory"
		}
	}
	if left := (cgroup{fsys}).memory(); left < m.Free {
		m.Free, m.Source = left, "what the control group leaves"
	}
	return m, nil
}
