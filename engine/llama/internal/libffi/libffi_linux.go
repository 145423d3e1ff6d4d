package libffi

import "syscall"

// name is a variable so that a test can alter it in a program.
var name = "libffi.so.8"

// said is whether the line was written. Its value is of no use; that it is
// computed is.
var said = look()

// look writes the line unless the library is where the dynamic linker looks, as
// far as that can be known without it. It ends nothing: it may be wrong.
func look() bool {
	if listed("/etc/ld.so.cache") || present(directories()) {
		return false
	}
	line := "semantic: " + name + " was not found. Install libffi8 (Debian, Ubuntu) or libffi (Fedora, Arch);" +
		" a panic that follows is for want of it.\n"
	_, err := syscall.Write(2, []byte(line))
	return err == nil
}

func directories() []string {
	dirs := []string{
		"/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib",
		"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
	}
	path, _ := syscall.Getenv("LD_LIBRARY_PATH")
	for start, i := 0, 0; i <= len(path); i++ {
		if i == len(path) || path[i] == ':' || path[i] == ';' {
			if i > start {
				dirs = append(dirs, path[start:i])
			}
			start = i + 1
		}
	}
	return dirs
}

func present(dirs []string) bool {
	for _, dir := range dirs {
		var s syscall.Stat_t
		if syscall.Stat(dir+"/"+name, &s) == nil {
			return true
		}
	}
	return false
}

// listed reports whether the dynamic linker's cache names the library.
func listed(cache string) bool {
	fd, err := syscall.Open(cache, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd) //nolint:errcheck // only read
	// The name may lie across two reads: the end of one is kept for the next.
	buffer := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := syscall.Read(fd, buffer[kept:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return false
		}
		text := buffer[:kept+n]
		for i := 0; i+len(name) < len(text); i++ {
			if string(text[i:i+len(name)]) == name && text[i+len(name)] == 0 {
				return true
			}
		}
		kept = copy(buffer, text[max(0, len(text)-len(name)):])
	}
}
