package doctor

import "golang.org/x/sys/unix"

// osVersion is like "14.5"; empty if it cannot be found out.
func osVersion() string {
	version, err := unix.Sysctl("kern.osproductversion")
	if err != nil {
		return ""
	}
	return version
}
