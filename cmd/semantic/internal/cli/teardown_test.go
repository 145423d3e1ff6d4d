package cli

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTeardown(t *testing.T) {
	var log bytes.Buffer
	down := teardown{log: slog.New(slog.NewTextHandler(&log, nil))}
	var order []string
	release := make(chan struct{})
	hung := make(chan struct{})
	down.add("first", time.Minute, func(context.Context) error { order = append(order, "first"); return nil })
	down.add("second", time.Minute, func(context.Context) error { return errors.New("no") })
	down.add("third", time.Millisecond, func(context.Context) error {
		defer close(hung)
		<-release
		return nil
	})
	down.add("fourth", time.Minute, func(ctx context.Context) error { order = append(order, "fourth"); return ctx.Err() })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	down.run(ended)
	down.run(ended) // a second time it has nothing to do
	close(release)
	<-hung
	if want := []string{"fourth", "first"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	for _, want := range []string{"step=second error=no", "did not end in time\" step=third"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "fourth") {
		t.Errorf("a step was given an ended context:\n%s", &log)
	}
}
