package llama

import (
	"testing"
	"testing/fstest"
)

func TestFastCores(t *testing.T) {
	capacity := func(cpu, value string) map[string]string {
		return map[string]string{"sys/devices/system/cpu/cpu" + cpu + "/cpu_capacity": value}
	}
	merge := func(all ...map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range all {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		files map[string]string
		mask  []int
		want  int
	}{
		"all alike":                 {nil, []int{0, 1, 2}, 3},
		"hybrid Intel":              {map[string]string{"sys/devices/cpu_core/cpus": "0-3,8,x"}, []int{2, 3, 8, 9}, 3},
		"hybrid Intel, slow ones":   {map[string]string{"sys/devices/cpu_core/cpus": "0-3"}, []int{9}, 0},
		"ARM, big and little":       {merge(capacity("0", "400"), capacity("1", "1024"), capacity("2", "900")), []int{0, 1, 2}, 2},
		"ARM, only the little ones": {merge(capacity("0", "400"), capacity("1", "1024")), []int{0}, 1},
	} {
		if got := fastOf(files(c.files).fsys, c.mask); got != c.want {
			t.Errorf("%s: %d fast cores, want %d", name, got, c.want)
		}
	}
}

func TestLinuxMemory(t *testing.T) {
	meminfo := "MemTotal: 2000 kB\nMemFree: 1 kB\nMemAvailable: 1000 kB\nshort"
	m, err := linuxMemory(files(map[string]string{"proc/meminfo": meminfo}).fsys)
	if want := (Memory{Free: 1000 << 10, Total: 2000 << 10, Source: "free memory"}); err != nil || m != want {
		t.Errorf("%+v, error %v", m, err)
	}
	m, err = linuxMemory(files(map[string]string{
		"proc/meminfo": meminfo, "proc/self/cgroup": "0::/", "proc/self/mountinfo": mountV2,
		"sys/fs/cgroup/memory.max": "4096", "sys/fs/cgroup/memory.current": "96",
	}).fsys)
	if err != nil || m.Free != 4000 || m.Source != "what the control group leaves" {
		t.Errorf("%+v, error %v", m, err)
	}
	if _, err := linuxMemory(fstest.MapFS{}); err == nil {
		t.Error("no meminfo, no error")
	}
}
