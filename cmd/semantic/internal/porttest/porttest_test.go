package porttest_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/porttest"
)

// Servers can listen on the port, and on that above it, while others are held.
func TestFree(t *testing.T) {
	const above = 2000
	for range 20 {
		port := porttest.Free(t, above)
		for _, p := range []int{port, port + above} {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
		}
	}
}
