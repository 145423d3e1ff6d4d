package llama

import (
	"math"
	"testing"
	"testing/fstest"
)

func files(content map[string]string) cgroup {
	fsys := fstest.MapFS{}
	for name, text := range content {
		fsys[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return cgroup{fsys}
}

const (
	mountV2  = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw"
	mountCPU = "31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct"
	mountMem = "32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
)

func TestCgroup(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string]string
		cpus   float64
		memory uint64
	}{
		"none": {nil, math.Inf(1), unlimited},
		"version 2, the parent bounds": {map[string]string{
			"proc/self/cgroup": "0::/a/b", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "150000 100000",
			"sys/fs/cgroup/a/b/memory.max": "max",
			"sys/fs/cgroup/a/memory.max":   "1000", "sys/fs/cgroup/a/memory.current": "700",
			"sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 200",
		}, 1.5, 500},
		"version 2, the host's path in a container": {map[string]string{
			"proc/self/cgroup": "0::/kubepods/pod", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/cpu.max": "50000 100000", "sys/fs/cgroup/memory.max": "1000", "sys/fs/cgroup/memory.current": "2000",
		}, 0.5, 0},
		"version 1": {map[string]string{
			"proc/self/cgroup": "4:cpu,cpuacct:/x\n5:memory:/x", "proc/self/mountinfo": mountCPU + "\n" + mountMem,
			"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "300000", "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1000", "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "100",
			"sys/fs/cgroup/memory/x/memory.stat": "total_inactive_file 40",
		}, 3, 940},
		"version 1, without limits": {map[string]string{
			"proc/self/cgroup": "4:cpu:/\n5:memory:/", "proc/self/mountinfo": mountCPU + "\n" + mountMem,
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
		}, math.Inf(1), unlimited},
		"rubbish": {map[string]string{
			"proc/self/cgroup": "nonsense\n0::/a", "proc/self/mountinfo": "short\n" + mountV2,
			"sys/fs/cgroup/a/cpu.max": "x y", "sys/fs/cgroup/a/memory.max": "many",
		}, math.Inf(1), unlimited},
	} {
		t.Run(name, func(t *testing.T) {
			g := files(c.files)
			if got := g.cpus(); got != c.cpus {
				t.Errorf("%v cores, want %v", got, c.cpus)
			}
			if got := g.memory(); got != c.memory {
				t.Errorf("%d bytes free, want %d", got, c.memory)
			}
		})
	}
}

func TestBound(t *testing.T) {
	for _, c := range []struct {
		in    cores
		quota float64
		want  cores
	}{
		{cores{usable: 8}, math.Inf(1), cores{8, 8}},
		{cores{usable: 8, fast: 4}, math.Inf(1), cores{8, 4}},
		{cores{usable: 8, fast: 4}, 2.9, cores{2, 2}},
		{cores{usable: 8}, 0.5, cores{1, 1}},
		{cores{}, math.Inf(1), cores{1, 1}},
	} {
		if got := c.in.bound(c.quota); got != c.want {
			t.Errorf("%+v bound by %v: %+v, want %+v", c.in, c.quota, got, c.want)
		}
	}
	if n := Threads(); n < 1 || n > UsableCores() {
		t.Errorf("%d threads on %d cores", n, UsableCores())
	}
}
