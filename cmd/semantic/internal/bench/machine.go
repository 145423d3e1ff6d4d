package bench

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Machine is where the load came from. That of the server may be another one.
type Machine struct {
	CPU        string `json:"cpu,omitempty"`
	Processors int    `json:"processors"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	// LoadAverage is of one, five and fifteen minutes before the start; empty where
	// it is not known.
	LoadAverage string `json:"load_average,omitempty"`
}

// machineBound is how long the questions to the system may take.
const machineBound = 2 * time.Second

// ThisMachine asks the system. What it does not say stays empty.
func ThisMachine(ctx context.Context) Machine {
	ctx, cancel := context.WithTimeout(ctx, machineBound)
	defer cancel()
	m := Machine{Processors: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if runtime.GOOS == "darwin" {
		m.CPU = sysctl(ctx, "machdep.cpu.brand_string")
		m.LoadAverage = strings.Trim(sysctl(ctx, "vm.loadavg"), "{ }")
		return m
	}
	m.CPU = cpuModel("/proc/cpuinfo")
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 3 {
			m.LoadAverage = strings.Join(fields[:3], " ")
		}
	}
	return m
}

func sysctl(ctx context.Context, name string) string {
	out, err := exec.CommandContext(ctx, "sysctl", "-n", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func cpuModel(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// String is the machine for people.
func (m Machine) String() string {
	cpu := m.CPU
	if cpu == "" {
		cpu = "unknown processor"
	}
	return cpu + ", " + plural(m.Processors, "processor") + ", " + m.OS + "/" + m.Arch
}
