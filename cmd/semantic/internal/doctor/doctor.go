package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models"
	"github.com/semantic-worker/semantic/deploy"
	"github.com/semantic-worker/semantic/queue"
)

// Level is how bad a finding is.
type Level string

// The levels, from good to bad.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Finding is what one check found.
type Finding struct {
	// Check names it; the names are stable, those of the suite are the cases'.
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Text says what was found.
	Text string `json:"text"`
	// Mend says what to do; empty where nothing is to be done or known.
	Mend string `json:"mend,omitempty"`
	// Suite is set for the cases of the conformance suite.
	Suite bool `json:"suite,omitempty"`
}

// Report is what all checks found.
type Report struct {
	// Level is the worst one.
	Level    Level     `json:"level"`
	Release  string    `json:"release"`
	Platform string    `json:"platform"`
	Findings []Finding `json:"findings"`
}

// Count is how many findings have the level.
func (r Report) Count(level Level) (n int) {
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Options of [Run].
type Options struct {
	Config *config.Loaded
	// Release is the version of this binary.
	Release string
	// Home and DataDir are folders that need not exist.
	Home, DataDir string
	// Probe starts a process that calls the function [Probe] for the part, and
	// copies what that writes to out. It returns when the process has ended: nil
	// if with exit code 0, else how, with its last words if it had any. When ctx
	// ends it ends the process.
	Probe func(ctx context.Context, part Part, out io.Writer) error
	// Broker connects to the NATS server at a URL, with the configuration's
	// credentials, and makes nothing there.
	Broker func(ctx context.Context, url string) (*queue.Queue, error)
	// Full runs the engine's conformance suite on the backend too.
	Full bool
	// Say gets every finding as it is made; nil means nobody listens.
	Say func(Finding)
}

// Backend "sim" of the configuration needs neither runtime nor model.
const backendSim = "sim"

// The bounds of single checks.
const (
	speakBound  = 2 * time.Minute
	caseBound   = 5 * time.Minute
	brokerBound = 5 * time.Second
	httpBound   = 2 * time.Second
)

// Run makes all checks, one after the other. The error is that of ctx, or of a
// binary without its lock file; everything else is a finding.
func Run(ctx context.Context, o Options) (Report, error) {
	lock, err := deploy.RuntimeLock()
	if err != nil {
		return Report{}, err
	}
	e := &examination{Options: o, lock: lock, report: Report{
		Level: OK, Release: o.Release, Platform: runtime.GOOS + "/" + runtime.GOARCH, Findings: []Finding{},
	}}
	e.reporter = reporter{add: e.take}
	for _, check := range []func(context.Context){
		e.system, e.threads, e.disks, e.runtime, e.ffi, e.abi, e.model, e.memory, e.speak, e.broker, e.ports, e.suite,
	} {
		check(ctx)
		if ctx.Err() != nil {
			return e.report, context.Cause(ctx) //nolint:wrapcheck // the signal is the whole reason
		}
	}
	return e.report, nil
}

// examination is one Run. It belongs to one goroutine.
type examination struct {
	Options
	reporter
	lock   deploy.Lock
	report Report

	// libraries is where the runtime is; empty if it cannot be used.
	libraries string
	// weights is the model, if it is here.
	weights *models.Model
	// overloaded is whether more threads are wanted than can be.
	overloaded bool
	// loads is whether another process loaded the model and it spoke.
	loads bool
}

func (e *examination) sim() bool { return e.Config.Backend == backendSim }

// take adds a finding to the report and says it.
func (e *examination) take(f Finding) {
	e.report.Findings = append(e.report.Findings, f)
	if f.Level == Fail || f.Level == Warn && e.report.Level == OK {
		e.report.Level = f.Level
	}
	if e.Say != nil {
		e.Say(f)
	}
}

// reporter makes findings and gives each to add.
type reporter struct{ add func(Finding) }

func (r reporter) ok(check, format string, args ...any) {
	r.add(Finding{Check: check, Level: OK, Text: fmt.Sprintf(format, args...)})
}

func (r reporter) warn(check, mend, format string, args ...any) {
	r.add(Finding{Check: check, Level: Warn, Text: fmt.Sprintf(format, args...), Mend: mend})
}

func (r reporter) fail(check, mend, format string, args ...any) {
	r.add(Finding{Check: check, Level: Fail, Text: fmt.Sprintf(format, args...), Mend: mend})
}

// failed adds an error, with the mend that it knows itself.
func (r reporter) failed(check string, err error, otherwise string) {
	mend := otherwise
	var hinter interface {
		error
		Hint() string
	}
	if errors.As(err, &hinter) && hinter.Hint() != "" {
		mend = hinter.Hint()
	}
	r.fail(check, mend, "%v", err)
}

// untried adds a check that needs what is missing.
func (r reporter) untried(check, needs string) {
	r.warn(check, "Mend what failed above first.", "not tried: it needs %s", needs)
}
