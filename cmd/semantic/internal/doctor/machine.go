package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/engine/llama"
)

// system checks that there is a runtime for this platform, and that the system
// is new enough for it.
func (e *examination) system(context.Context) {
	const check = "system"
	r, known := e.lock.Runtime(runtime.GOOS, runtime.GOARCH)
	version := osVersion()
	name := runtime.GOOS + "/" + runtime.GOARCH
	if version != "" {
		name += " " + version
	}
	switch {
	case e.sim():
		e.ok(check, "%s; the sim backend runs anywhere", name)
	case !known:
		e.fail(check, "`--backend sim` runs without a native runtime, to try the queue.", "%s: there is no native runtime for it", name)
	case r.MinimumOS != "" && version == "":
		e.warn(check, "Compare it yourself: Apple menu, About This Mac.",
			"%s: its version is not known; the libraries need %s or newer", name, r.MinimumOS)
	case r.MinimumOS != "" && older(version, r.MinimumOS):
		e.fail(check, "Update macOS; the prebuilt libraries do not load on older ones.", "%s: the libraries need %s or newer", name, r.MinimumOS)
	case r.MinimumOS != "":
		e.ok(check, "%s; the libraries need %s", name, r.MinimumOS)
	default:
		e.ok(check, "%s", name)
	}
}

// older compares versions like 13.6.1 number by number.
func older(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m, _ = strconv.Atoi(x[i]) // what is no number counts as 0
		}
		if i < len(y) {
			n, _ = strconv.Atoi(y[i])
		}
		if m != n {
			return m < n
		}
	}
	return false
}

func (e *examination) threads(context.Context) {
	const check = "threads"
	usable, all := llama.UsableCores(), runtime.NumCPU()
	threads := e.Config.Threads
	if threads == 0 {
		threads = llama.Threads()
	}
	cores := plural(usable, "usable core")
	if all > usable {
		cores += " (the machine has " + strconv.Itoa(all) + ")"
	}
	switch {
	case e.sim():
		e.ok(check, "the sim backend computes nothing; %s", cores)
	case threads > usable:
		e.overloaded = true
		e.fail(check, "Leave --threads out to take what is best here.",
			"%s on %s: threads spin, and one too many makes every step many times slower", plural(threads, "thread"), cores)
	case usable == 1:
		e.warn(check, "Give the process more cores (affinity, container limit) if there are any.", "only %s: slow, but it works", cores)
	default:
		e.ok(check, "%s on %s", plural(threads, "thread"), cores)
	}
}

// What is left on a disk, in bytes: with less than diskFail an installation or
// the queue's store stops soon, below diskWarn there is not much room for
// models and waiting jobs.
const (
	diskFail = 200_000_000
	diskWarn = 2_000_000_000
)

func (e *examination) disks(context.Context) {
	e.disk("home", e.Home, "Free some room, or set SEMANTIC_HOME to a folder on another disk.")
	if rel, err := filepath.Rel(e.Home, e.DataDir); err != nil || !filepath.IsLocal(rel) {
		e.disk("data", e.DataDir, "Free some room, or choose a folder on another disk with --data-dir.")
	}
}

func (e *examination) disk(check, dir, mend string) {
	at, err := existing(dir)
	if err != nil {
		e.fail(check, mend, "%s: %v", dir, err)
		return
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		e.fail(check, "Make it writable for you, or choose another folder (SEMANTIC_HOME, --data-dir).", "%s cannot be written to: %v", at, err)
		return
	}
	free, err := disk.Free(at)
	switch {
	case err != nil:
		e.warn(check, "", "%v", err)
	case free < diskFail:
		e.fail(check, mend, "%s: only %s free", dir, progress.Bytes(free))
	case free < diskWarn:
		e.warn(check, mend, "%s: %s free, which is not much for models and waiting jobs", dir, progress.Bytes(free))
	default:
		e.ok(check, "%s: %s free", dir, progress.Bytes(free))
	}
}

// existing is the folder, or the nearest one above it that exists.
func existing(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", errors.New(dir + " is a file")
		case !errors.Is(err, fs.ErrNotExist):
			return "", err //nolint:wrapcheck // names the path
		case filepath.Dir(dir) == dir:
			return "", err //nolint:wrapcheck // names the path
		}
		dir = filepath.Dir(dir)
	}
}

// memory compares the model with what is free. Whether context and buffers fit
// too is seen when it is loaded.
func (e *examination) memory(context.Context) {
	const check = "memory"
	m, err := llama.ProbeMemory()
	if err != nil {
		e.warn(check, "", "%v", err)
		return
	}
	have := progress.Bytes(int64(m.Free)) + " of " + progress.Bytes(int64(m.Total)) + " free"
	if m.Free != 0 && m.Source != "free memory" {
		have += " (" + m.Source + ")"
	}
	if e.weights == nil {
		e.ok(check, "%s", have)
		return
	}
	need := uint64(e.weights.Size)
	const smaller = "Close other programs, or take a smaller model or quantisation."
	switch {
	case need > m.Total:
		e.fail(check, smaller, "%s of weights, and the machine has %s", progress.Bytes(e.weights.Size), progress.Bytes(int64(m.Total)))
	case need > m.Free-min(m.Free, m.Free/8):
		e.warn(check, smaller, "%s, and the weights take %s", have, progress.Bytes(e.weights.Size))
	default:
		e.ok(check, "%s, the weights take %s", have, progress.Bytes(e.weights.Size))
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
