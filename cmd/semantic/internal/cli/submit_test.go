package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/queue"
)

// cancels is a queue that notes which job it is to cancel.
type cancels struct {
	job string
	err error
}

func (c *cancels) Cancel(ctx context.Context, _, jobID, _ string) error {
	c.job = jobID
	return errors.Join(ctx.Err(), c.err)
}

// A submission that may have been stored is cancelled, or at least named; one
// that was refused is neither.
func TestUnsubmitted(t *testing.T) {
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	lost := fmt.Errorf("submit: %w", queue.ErrUnavailable)
	for _, c := range []struct {
		name      string
		ctx       context.Context
		err       error
		cancel    error
		want      string
		cancelled string
		code      int
	}{
		{"refused", t.Context(), queue.ErrQueueFull, nil, "queue: full", "", exitError},
		{"lost", t.Context(), lost, nil, "job j1 was cancelled: ", "j1", exitError},
		{"lost for good", t.Context(), lost, queue.ErrUnavailable, "job j1 may have been stored", "j1", exitError},
		{"interrupted", interrupted, context.Canceled, nil, "job j1 was cancelled: ", "j1", exitInterrupted},
	} {
		var stderr bytes.Buffer
		s := &submitRun{app: &app{Err: &stderr}}
		q := &cancels{err: c.cancel}
		err := s.unsubmitted(c.ctx, q, "j1", c.err)
		if !errors.Is(err, c.err) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s…", c.name, err, c.want)
		}
		code := exitError
		if coded := new(codeError); errors.As(err, &coded) {
			code = coded.code
		}
		if q.job != c.cancelled || code != c.code {
			t.Errorf("%s: cancelled %q, code %d; want %q, %d", c.name, q.job, code, c.cancelled, c.code)
		}
	}
}
