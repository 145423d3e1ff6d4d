package llama

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// unlimited is the bound of a control group without one.
const unlimited = math.MaxUint64

// cgroup reads the bounds that Linux control groups set for this process, of
// version 1, version 2 and both mixed. The file system is a parameter for the
// tests' sake; its root is "/".
type cgroup struct {
	fsys fs.FS
}

// levels lists the folders that bound this process for a controller ("cpu",
// "memory"), from its own group up to the mount, and whether they are of
// version 2.
func (c cgroup) levels(controller string) (folders []string, v2 bool) {
	group, v2, ok := c.group(controller)
	if !ok {
		return nil, false
	}
	root, point, ok := c.mount(controller, v2)
	if !ok {
		return nil, false
	}
	// In a container the group's path may be the host's and not visible here:
	// then the mount itself is the group.
	rel := strings.Trim(strings.TrimPrefix(group, strings.TrimSuffix(root, "/")), "/")
	if _, err := fs.Stat(c.fsys, path.Join(point, rel)); err != nil {
		rel = ""
	}
	for {
		folders = append(folders, path.Join(point, rel))
		if rel == "" || rel == "." {
			return folders, v2
		}
		rel = path.Dir(rel)
		if rel == "." {
			rel = ""
		}
	}
}

// group finds the process's group in /proc/self/cgroup. A controller that is
// bound to a version 1 hierarchy is not in version 2's.
func (c cgroup) group(controller string) (group string, v2, ok bool) {
	for _, line := range c.lines("proc/self/cgroup") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" && parts[1] == "" {
			group, v2, ok = parts[2], true, true
			continue
		}
		for name := range strings.SplitSeq(parts[1], ",") {
			if name == controller {
				return parts[2], false, true
			}
		}
	}
	return group, v2, ok
}

// mount finds where the hierarchy is mounted, and which of its folders is there.
func (c cgroup) mount(controller string, v2 bool) (root, point string, ok bool) {
	for _, line := range c.lines("proc/self/mountinfo") {
		// ID PARENT MAJOR:MINOR ROOT POINT OPTIONS … - TYPE SOURCE SUPER
		before, after, found := strings.Cut(line, " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !found || len(head) < 5 || len(tail) < 3 {
			continue
		}
		if v2 && tail[0] == "cgroup2" {
			return head[3], strings.TrimPrefix(head[4], "/"), true
		}
		if !v2 && tail[0] == "cgroup" {
			for option := range strings.SplitSeq(tail[2], ",") {
				if option == controller {
					return head[3], strings.TrimPrefix(head[4], "/"), true
				}
			}
		}
	}
	return "", "", false
}

// cpus is the CPU quota in cores; +Inf where there is none.
func (c cgroup) cpus() float64 {
	quota := math.Inf(1)
	folders, v2 := c.levels("cpu")
	for _, folder := range folders {
		var most, period float64
		if v2 {
			fields := strings.Fields(c.text(path.Join(folder, "cpu.max")))
			if len(fields) != 2 || fields[0] == "max" {
				continue
			}
			most, period = number(fields[0]), number(fields[1])
		} else {
			most = number(c.text(path.Join(folder, "cpu.cfs_quota_us")))
			period = number(c.text(path.Join(folder, "cpu.cfs_period_us")))
		}
		if most > 0 && period > 0 {
			quota = min(quota, most/period)
		}
	}
	return quota
}

// memory is how many bytes the groups leave free: the limit less what is in
// use and cannot be dropped. unlimited where there is no limit.
func (c cgroup) memory() uint64 {
	free := uint64(unlimited)
	folders, v2 := c.levels("memory")
	limit, usage, droppable := "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
	if v2 {
		limit, usage, droppable = "memory.max", "memory.current", "inactive_file"
	}
	for _, folder := range folders {
		most, err := strconv.ParseUint(c.text(path.Join(folder, limit)), 10, 64)
		// Version 1 writes "no limit" as a huge number.
		if err != nil || most > 1<<60 {
			continue
		}
		used := uint64(number(c.text(path.Join(folder, usage))))
		for _, line := range c.lines(path.Join(folder, "memory.stat")) {
			if name, value, ok := strings.Cut(line, " "); ok && name == droppable {
				used -= min(used, uint64(number(value)))
			}
		}
		free = min(free, most-min(most, used))
	}
	return free
}

func (c cgroup) text(name string) string {
	b, err := fs.ReadFile(c.fsys, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (c cgroup) lines(name string) []string {
	b, err := fs.ReadFile(c.fsys, name)
	if err != nil {
		return nil
	}
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

// number is the value of a decimal number, 0 for anything else.
func number(s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return 0
	}
	return v
}
