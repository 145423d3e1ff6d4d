package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/models"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/native"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
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

// question is what the model is asked; any answer will do.
const question = "Say hello."

// slow is, in tokens a second, what nobody likes to read. Threads that wait for
// cores which another program has are the usual cause.
const slow = 3

// answerTokens is how much of it is waited for.
const answerTokens = 16

// speak loads the model, shows the arithmetic behind its context, and has it
// say something.
func (e *examination) speak(ctx context.Context) {
	if e.overloaded {
		e.untried("load", "no more threads than cores")
		return
	}
	if !e.sim() && (e.libraries == "" || e.weights == nil) {
		e.untried("load", "the native runtime and the model")
		return
	}
	began := time.Now()
	backend, template, err := e.Open(ctx)
	if err != nil {
		e.failed("load", err, "")
		return
	}
	info, limits := backend.Info(), backend.Limits()
	how := "on " + info.Backend
	if l, ok := backend.(interface{ Status() llama.Status }); ok {
		s := l.Status()
		how += ", " + s.Device
		if runtime.GOOS == "darwin" { // elsewhere there is nothing to choose
			how += ": " + s.DeviceReason
		}
	}
	e.ok("load", "%s %s", seconds(time.Since(began)), how)
	reason := strings.TrimPrefix(info.ContextReason, "context ") // so is the line called
	if reason == "" {
		reason = fmt.Sprintf("%d tokens", limits.Context)
	}
	if e.Config.Context == 0 && limits.Context < info.ContextTrained {
		e.warn("context", "Close other programs, or take --kv-type q8_0, fewer --parallel sequences or a smaller model.", "%s", reason)
	} else {
		e.ok("context", "%s", reason)
	}
	ctx, cancel := context.WithTimeout(ctx, speakBound)
	defer cancel()
	text, end, err := ask(ctx, backend, template)
	switch {
	case err != nil:
		e.failed("speak", err, "Try `--backend cpu`; if that works, the device is at fault.")
	case text == "":
		e.warn("speak", "Try another model: this one ends its turn at once.", "the model says nothing")
	case e.sim():
		e.loads = true
		e.ok("speak", "%q", text)
	default:
		e.loads = true
		said := fmt.Sprintf("%q: prompt of %d tokens in %s", text, end.Usage.Prompt, seconds(end.Timings.Prefill))
		// The first token belongs to the prompt.
		n := end.Usage.Completion - 1
		speed := float64(n) / end.Timings.Decode.Seconds()
		switch {
		case n < 1:
			e.ok("speak", "%s", said)
		case speed < slow:
			e.warn("speak", "Close other programs that compute; if there are none, try fewer --threads or a smaller model.",
				"%s, then only %.1f tokens a second", said, speed)
		default:
			e.ok("speak", "%s, then %.0f tokens a second", said, speed)
		}
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

// suite runs the conformance suite, each case on a backend of its own.
func (e *examination) suite(ctx context.Context) {
	if !e.Full {
		return
	}
	if !e.loads {
		e.untried("suite", "a model that loads and speaks")
		return
	}
	for _, c := range enginetest.Cases() {
		f := Finding{Check: c.Name, Suite: true}
		began := time.Now()
		switch err := e.runCase(ctx, c); {
		case ctx.Err() != nil:
			return
		case err == nil:
			f.Level, f.Text = OK, seconds(time.Since(began))
		case errors.Is(err, enginetest.ErrUnproven):
			f.Level, f.Text = Warn, err.Error()
			f.Mend = "Nothing is to be done: this is not promised for every backend and model."
		default:
			f.Level, f.Text = Fail, err.Error()
			f.Mend = "Do not trust this backend. Report it with the output of `semantic doctor --full --json`."
		}
		e.add(f)
	}
}

func (e *examination) runCase(ctx context.Context, c enginetest.Case) error {
	ctx, cancel := context.WithTimeout(ctx, caseBound)
	defer cancel()
	backend, _, err := e.OpenSmall(ctx)
	if err != nil {
		return err
	}
	return c.Run(ctx, backend)
}

func seconds(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
