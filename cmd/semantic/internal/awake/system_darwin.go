package awake

// System is the program of this machine that holds off sleep; part of every macOS.
func System() string { return "/usr/bin/caffeinate" }
