package gateway

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain holds that every goroutine ends, and gives those that were told to the
// time that a busy machine takes: goleak itself waits for half a second.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		err := goleak.Find()
		for over := time.Now().Add(patience); err != nil && time.Now().Before(over); {
			err = goleak.Find()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
