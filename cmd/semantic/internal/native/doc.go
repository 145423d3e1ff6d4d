// Package native installs the native runtime: the llama.cpp libraries that the
// lock file in deploy pins.
//
// An installation is one folder, <home>/runtime/<llama.cpp release>/<platform>,
// that is there whole or not at all: it is made beside its place, flushed to
// the disk and renamed, under a lock that a second installer waits for. What
// an interrupted installer left is removed by the next one.
package native
