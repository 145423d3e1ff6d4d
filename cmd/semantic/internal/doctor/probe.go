package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/enginetest"
	"github.com/semantic-worker/semantic/engine/llama"
)

// Part is what one process examines, since native code may end it: loading the
// model and having it speak, or the conformance suite.
type Part struct {
	Suite bool
	// Skip leaves out the first cases of the suite: earlier processes ran them.
	Skip int
}

// ProbeOptions of [Probe].
type ProbeOptions struct {
	Config *config.Loaded
	// Open loads the model of the configuration.
	Open func(ctx context.Context) (engine.Backend, *chat.Template, error)
	// OpenSmall loads it with a small KV cache; it is called once for each case
	// of the suite.
	OpenSmall func(ctx context.Context) (engine.Backend, *chat.Template, error)
}

// line is what a probing process tells, as one JSON object a line.
type line struct {
	// Begin is the check that is about to be made, BoundMS how long it may take
	// in milliseconds; 0 is unbounded.
	Begin   string `json:"begin,omitempty"`
	BoundMS int64  `json:"bound_ms,omitempty"`
	// Finding is what a check found.
	Finding *Finding `json:"finding,omitempty"`
	// Spoke is set once the model has answered.
	Spoke bool `json:"spoke,omitempty"`
}

// Probe examines a part in this process and writes to out what [Options.Probe]
// is to pass on. The error is that of out or of ctx; everything else is a
// finding.
func Probe(ctx context.Context, o ProbeOptions, part Part, out io.Writer) error {
	p := &probe{ProbeOptions: o, out: json.NewEncoder(out)}
	p.reporter = reporter{add: func(f Finding) { p.tell(line{Finding: &f}) }}
	if part.Suite {
		p.suite(ctx, part.Skip)
	} else {
		p.speak(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) //nolint:wrapcheck // the signal is the whole reason
	}
	return p.err
}

// probe is one Probe. It belongs to one goroutine.
type probe struct {
	ProbeOptions
	reporter
	out *json.Encoder
	err error
}

func (p *probe) tell(l line) {
	if err := p.out.Encode(l); err != nil && p.err == nil {
		p.err = fmt.Errorf("tell the finding: %w", err)
	}
}

func (p *probe) begin(check string, bound time.Duration) {
	p.tell(line{Begin: check, BoundMS: bound.Milliseconds()})
}

// question is what the model is asked; any answer will do.
const question = "Say hello."

// slow is, in tokens a second, what nobody likes to read. Threads that wait for
// cores which another program has are the usual cause.
const slow = 3

// answerTokens is how much of it is waited for.
const answerTokens = 16

// speak loads the model, shows the arithmetic behind its context, and has it
// say something.
func (p *probe) speak(ctx context.Context) {
	p.begin("load", 0) // a slow disk is none of our business
	began := time.Now()
	backend, template, err := p.Open(ctx)
	switch {
	case ctx.Err() != nil && err != nil:
		return
	case err != nil:
		p.failed("load", err, "")
		return
	}
	p.loaded(backend, time.Since(began))
	p.begin("speak", speakBound)
	bounded, cancel := context.WithTimeout(ctx, speakBound)
	defer cancel()
	text, end, err := ask(bounded, backend, template)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		p.failed("speak", err, "Try `--backend cpu`; if that works, the device is at fault.")
		return
	case text == "":
		p.warn("speak", "Try another model: this one ends its turn at once.", "the model says nothing")
		return
	}
	p.tell(line{Spoke: true})
	if p.Config.Backend == backendSim {
		p.ok("speak", "%q", text)
		return
	}
	said := fmt.Sprintf("%q: prompt of %d tokens in %s", text, end.Usage.Prompt, seconds(end.Timings.Prefill))
	// The first token belongs to the prompt.
	n := end.Usage.Completion - 1
	speed := float64(n) / end.Timings.Decode.Seconds()
	switch {
	case n < 1:
		p.ok("speak", "%s", said)
	case speed < slow:
		p.warn("speak", "Close other programs that compute; if there are none, try fewer --threads or a smaller model.",
			"%s, then only %.1f tokens a second", said, speed)
	default:
		p.ok("speak", "%s, then %.0f tokens a second", said, speed)
	}
}

// loaded tells on what the model runs and with what context.
func (p *probe) loaded(backend engine.Backend, took time.Duration) {
	info, limits := backend.Info(), backend.Limits()
	how := "on " + info.Backend
	if l, ok := backend.(interface{ Status() llama.Status }); ok {
		s := l.Status()
		how += ", " + s.Device
		if runtime.GOOS == "darwin" { // elsewhere there is nothing to choose
			how += ": " + s.DeviceReason
		}
	}
	p.ok("load", "%s %s", seconds(took), how)
	reason := strings.TrimPrefix(info.ContextReason, "context ") // so is the line called
	if reason == "" {
		reason = fmt.Sprintf("%d tokens", limits.Context)
	}
	if p.Config.Context == 0 && limits.Context < info.ContextTrained {
		p.warn("context", "Close other programs, or take --kv-type q8_0, fewer --parallel sequences or a smaller model.", "%s", reason)
	} else {
		p.ok("context", "%s", reason)
	}
}

// ask has the model of a backend answer, and closes the backend.
func ask(ctx context.Context, backend engine.Backend, template *chat.Template) (text string, end engine.Chunk, err error) {
	e, err := engine.New(engine.Options{Backend: backend})
	if err != nil {
		return "", end, errors.Join(err, backend.Close())
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	prompt, err := template.Render([]chat.Message{{Role: "user", Content: question}})
	if err != nil {
		return "", end, err
	}
	tokens, err := e.Vocabulary().Tokenize(prompt, true)
	if err != nil {
		return "", end, err
	}
	seq, err := e.Submit(ctx, engine.Request{ID: "doctor", Prompt: tokens, MaxTokens: answerTokens})
	if err != nil {
		return "", end, err
	}
	var said strings.Builder
	for {
		chunk, err := seq.Next(ctx)
		if errors.Is(err, io.EOF) {
			return said.String(), end, nil
		}
		if err != nil {
			return said.String(), end, err
		}
		said.WriteString(chunk.Text)
		end = chunk
	}
}

// mendSuite is what to do about a case that fails.
const mendSuite = "Do not trust this backend. Report it with the output of `semantic doctor --full --json`."

// suite runs the conformance suite, each case on a backend of its own.
func (p *probe) suite(ctx context.Context, skip int) {
	cases := enginetest.Cases()
	for _, c := range cases[min(skip, len(cases)):] {
		p.begin(c.Name, caseBound)
		f := Finding{Check: c.Name, Suite: true}
		began := time.Now()
		switch err := p.runCase(ctx, c); {
		case ctx.Err() != nil:
			return
		case err == nil:
			f.Level, f.Text = OK, seconds(time.Since(began))
		case errors.Is(err, enginetest.ErrUnproven):
			f.Level, f.Text = Warn, err.Error()
			f.Mend = "Nothing is to be done: this is not promised for every backend and model."
		default:
			f.Level, f.Text, f.Mend = Fail, err.Error(), mendSuite
		}
		p.add(f)
	}
}

func (p *probe) runCase(ctx context.Context, c enginetest.Case) error {
	ctx, cancel := context.WithTimeout(ctx, caseBound)
	defer cancel()
	backend, _, err := p.OpenSmall(ctx)
	if err != nil {
		return err
	}
	return c.Run(ctx, backend)
}

// lineReader is the other end: it takes what a probe writes, cut anywhere, and
// gives each line to on.
type lineReader struct {
	on   func(line)
	rest []byte
}

// Write implements [io.Writer]. What is no line of a probe, like something that
// a library prints, is skipped.
func (r *lineReader) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for {
		text, rest, whole := bytes.Cut(r.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		r.rest = rest
		var l line
		if json.Unmarshal(text, &l) == nil {
			r.on(l)
		}
	}
}
