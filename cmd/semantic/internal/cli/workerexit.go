package cli

import (
	"context"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/supervisor"
	"github.com/semantic-worker/semantic/schemas"
)

// reportBound is how long the queue may take to note how a worker ended.
const reportBound = 2 * time.Second

// onExit hears how the worker child ended. Unless it stopped in order, the queue is
// told, for the evidence of jobs that died with it.
func (s *serveProcess) onExit(ctx context.Context, e supervisor.Exit) {
	s.metrics.Set("", "", "")
	worker := s.ready
	s.ready = nil
	if worker == nil || e.Code == exitOK {
		return
	}
	exit := schemas.Exit{Status: e.Status, Code: e.Code, Hung: e.Hung, Time: time.Now()}
	if e.Failure != nil {
		exit.Failure = e.Failure.Message
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportBound)
	defer cancel()
	if err := s.queue.ReportExit(bounded, worker.ID, worker.Incarnation, exit); err != nil {
		s.app.Log.Warn("how the worker ended is not kept in the queue", schemas.LogError, err)
	}
}
