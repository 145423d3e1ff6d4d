package cli_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/cli"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

// A worker holds off sleep from the loading of its model on, unless it is told not
// to, and never beyond its own end. (That jobs do the same is worker's test.)
func TestWorkerKeepsAwake(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{nil, {"--no-prevent-sleep"}} {
		t.Run(fmt.Sprint(arguments), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			program, told, ready := filepath.Join(dir, "caffeinate"), filepath.Join(dir, "told"), filepath.Join(dir, "ready.json")
			script := "#!/bin/sh\necho $$ >> '" + told + "'\nexec sleep 1000\n"
			executable(t, program, script)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			over := make(chan int, 1)
			url := queuetest.Start(t).ClientURL()
			go func() {
				over <- cli.Run(ctx, append([]string{
					"worker", "--backend", "sim", "--nats", url, "--data-dir", dir, "--ready-file", ready,
				}, arguments...), cli.Options{In: strings.NewReader(""), Out: io.Discard, Err: t.Output(), KeepAwake: program})
			}()
			appears := func(file string) string {
				t.Helper()
				tick := time.NewTicker(5 * time.Millisecond)
				defer tick.Stop()
				late := time.After(patience)
				for {
					if text, err := os.ReadFile(file); err == nil && len(text) > 0 {
						return strings.TrimSpace(string(text))
					}
					select {
					case <-tick.C:
					case code := <-over:
						t.Fatalf("the worker ended with %d", code)
					case <-late:
						t.Fatalf("%s does not appear", file)
					}
				}
			}
			appears(ready)
			var pid int
			if arguments == nil {
				if _, err := fmt.Sscan(appears(told), &pid); err != nil || syscall.Kill(pid, 0) != nil {
					t.Errorf("nothing keeps the machine awake: %v", err)
				}
			}
			stop()
			<-over
			if arguments != nil {
				if text, err := os.ReadFile(told); err == nil {
					t.Errorf("sleep was held off: %s", text)
				}
			} else if syscall.Kill(pid, 0) == nil {
				t.Error("sleep is held off after the worker's end")
			}
		})
	}
}
