package cli

import (
	"context"
	"log/slog"
	"slices"
	"syscall"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/schemas"
)

// looksToHang is how many looks in a row find an engine with work and without
// a step until it counts as hung: the timeout is cut into so many periods.
const looksToHang = 10

// watchSteps ends this process when the engine has work and makes no step for
// the timeout: native code that hangs can be ended in no other way, and as long
// as the process lives, its jobs are nobody else's. A step that is merely slow
// must not be mistaken for one that hangs, so the timeout is generous; 0 never
// looks. The function that it returns ends the watch and joins it.
//
// Loading a model is not watched: nothing tells a slow disk from a hung load.
func watchSteps(ctx context.Context, log *slog.Logger, e *engine.Engine, timeout time.Duration) func(context.Context) error {
	period := timeout / looksToHang
	if period <= 0 {
		return func(context.Context) error { return nil }
	}
	// Drains are watched too, hence not under ctx.
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A ticker drops what nobody reads: while the process is stopped, or the
		// machine sleeps, no time passes for the engine.
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		var watch stepWatch
		for {
			select {
			case <-watching.Done():
				return
			case <-ticker.C:
			}
			if watch.look(e.Snapshot()) < looksToHang {
				continue
			}
			log.Error("the model hangs: no step ends; ending this process, so that its requests go on elsewhere",
				schemas.LogStepTimeout, timeout, schemas.LogSetting, "step-timeout")
			// Not exit: that would run C++ destructors, which may wait for what hangs.
			_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		}
	}()
	return func(context.Context) error {
		cancel()
		<-done
		return nil
	}
}

// stepWatch counts looks at an engine that has work and makes no step.
type stepWatch struct {
	steps int64
	idle  int
}

// look takes in the engine's state now and returns how many looks in a row
// found no step.
func (w *stepWatch) look(now engine.Snapshot) int {
	if now.Steps != w.steps || !owesStep(now.Requests) {
		w.steps, w.idle = now.Steps, 0
		return 0
	}
	w.idle++
	return w.idle
}

// owesStep is whether an engine that works would make a step now: somebody is
// in mid-computation, or everybody waits though nobody holds the room.
func owesStep(requests []engine.RequestState) bool {
	is := func(phase engine.Phase) bool {
		return slices.ContainsFunc(requests, func(r engine.RequestState) bool { return r.Phase == phase })
	}
	return is(engine.PhasePrefill) || is(engine.PhaseReplay) || is(engine.PhaseDecode) ||
		is(engine.PhaseWaiting) && !is(engine.PhaseBlocked)
}
