// Package porttest finds ports for the servers of tests that name their port before
// they listen on it, or that must get the same one again.
package porttest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports below those that systems hand out to whoever asks for any (from 32768 on
// under Linux, from 49152 on under macOS): no connection and no other test's server
// takes one between this look and its use.
const lowest, highest = 10_000, 30_000

// Free is a port of 127.0.0.1 on which nobody listens now, nor on those that are so
// much above it. It is drawn by chance, so that tests at one time have different ones.
func Free(t testing.TB, above ...int) int {
	t.Helper()
	for range 1000 {
		port := lowest + rand.IntN(highest-lowest)
		ok := free(port)
		for _, offset := range above {
			ok = ok && free(port+offset)
		}
		if ok {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // there is nothing to wait for
	if err != nil {
		return false
	}
	return l.Close() == nil
}
