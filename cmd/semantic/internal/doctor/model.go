package doctor

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/models"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/native"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/engine/enginetest"
	"github.com/semantic-worker/semantic/engine/llama"
)

func (e *examination) runtime(context.Context) {
	const check = "runtime"
	if e.sim() {
		e.ok(check, "the sim backend needs none")
		return
	}
	s, err := native.Inspect(e.Home)
	if err != nil {
		e.failed(check, err, "")
		return
	}
	e.libraries = s.Dir
	e.ok(check, "llama.cpp %s (%s), every library as pinned", s.LlamaCPP, s.Package)
}

// ffi tells of the library through which native code is called. It is loaded
// when the process starts, which fails without it.
func (e *examination) ffi(context.Context) {
	switch {
	case e.sim():
	case runtime.GOOS == "linux":
		e.ok("libffi", "libffi.so.8 is loaded")
	default:
		e.ok("libffi", "loaded; it comes with this program")
	}
}

// abi asks the library file what release it is, whatever it is called.
func (e *examination) abi(context.Context) {
	const check = "abi"
	if e.sim() {
		return
	}
	if e.libraries == "" {
		e.untried(check, "the native runtime")
		return
	}
	have, err := llama.LibraryVersion(e.libraries)
	switch {
	case err != nil:
		e.failed(check, err, "Run `semantic runtime install --force`.")
	case have != e.lock.LlamaCPP:
		e.fail(check, "Run `semantic runtime install --force`.",
			"the library says it is %s, and this release works with %s only", have, e.lock.LlamaCPP)
	default:
		e.ok(check, "the library says it is %s, which this release is made for", have)
	}
}

func (e *examination) model(ctx context.Context) {
	const check = "model"
	if e.sim() {
		e.ok(check, "the sim backend needs none")
		return
	}
	name := e.Config.Model
	if name == "" {
		name = e.lock.DefaultModel.Name
	}
	m, err := models.Open(e.Home).Resolve(ctx, name, nil)
	if err != nil {
		e.failed(check, err, "`semantic model list` shows the models of this machine.")
		return
	}
	e.weights = &m
	e.ok(check, "%s: %s %s, %s, trained for %d tokens", m.Name, m.Architecture, m.Quantisation, progress.Bytes(m.Size), m.Context)
}

// speak has another process load the model and ask it something.
func (e *examination) speak(ctx context.Context) {
	if e.overloaded {
		e.untried("load", "no more threads than cores")
		return
	}
	if !e.sim() && (e.libraries == "" || e.weights == nil) {
		e.untried("load", "the native runtime and the model")
		return
	}
	end := e.probe(ctx, Part{})
	e.loads = end.spoke
	if end.err == nil || ctx.Err() != nil {
		return
	}
	switch {
	case end.during != "":
	case end.findings == 0:
		end.during = "load"
	default: // its own end
		end.during = "speak"
	}
	e.loads = false
	e.fail(end.during, e.mendDeath(), "%s", end.death())
}

// suite has other processes run the conformance suite: one for all cases, and
// after a death another one for the rest.
func (e *examination) suite(ctx context.Context) {
	if !e.Full {
		return
	}
	if !e.loads {
		e.untried("suite", "a model that loads and speaks")
		return
	}
	for skip := 0; skip < len(enginetest.Cases()); {
		end := e.probe(ctx, Part{Suite: true, Skip: skip})
		if end.err == nil || ctx.Err() != nil {
			return
		}
		if end.during == "" { // none would get further
			e.fail("suite", e.mendDeath(), "%s", end.death())
			return
		}
		e.add(Finding{Check: end.during, Suite: true, Level: Fail, Text: end.death(), Mend: mendSuite})
		skip += end.findings + 1
	}
}

// mendDeath is what can be done about native code that ends its process.
func (e *examination) mendDeath() string {
	if e.sim() {
		return "Run it again; if that happens again, report it."
	}
	return "Native code ended it. Try `--backend cpu` if this is a GPU, then another model, then `semantic runtime install --force`."
}

// probeEnd is how a process that examined a part ended.
type probeEnd struct {
	// err is nil if it came to its end by itself.
	err error
	// during is what it was examining when it ended; empty if nothing.
	during string
	// findings is how many it made, and spoke whether the model answered.
	findings int
	spoke    bool
}

func (p probeEnd) death() string {
	return fmt.Sprintf("the process that ran the model ended: %v", p.err)
}

// slack is what a process gets over the bound of a check, which it keeps
// itself as long as it can.
const slack = 30 * time.Second

// probe examines a part in another process and takes in its findings.
func (e *examination) probe(ctx context.Context, part Part) probeEnd {
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var end probeEnd
	var late *time.Timer
	out := &lineReader{on: func(l line) {
		if late != nil {
			late.Stop()
		}
		end.spoke = end.spoke || l.Spoke
		if l.Finding != nil {
			end.findings++
			end.during = ""
			e.add(*l.Finding)
		}
		if l.Begin != "" {
			end.during = l.Begin
		}
		if bound := time.Duration(l.BoundMS) * time.Millisecond; bound > 0 {
			late = time.AfterFunc(bound+slack, func() { cancel(fmt.Errorf("no sign of it for %s", bound+slack)) })
		}
	}}
	end.err = e.Probe(bounded, part, out)
	if late != nil {
		late.Stop()
	}
	if end.err != nil && bounded.Err() != nil {
		end.err = context.Cause(bounded)
	}
	return end
}

func seconds(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
