package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/porttest"
	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/enginetest"
	"github.com/semantic-worker/semantic/engine/sim"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup are the options of an examination and of the probes that it starts, which
// run in this process, unless Options.Probe is set.
type setup struct {
	Options
	probe ProbeOptions
}

// options are those of a machine where everything is well, with settings as
// SEMANTIC_NAME=value on top.
func options(t *testing.T, settings ...string) setup {
	t.Helper()
	c, err := config.Load(config.LoadOptions{
		Environ: append([]string{"SEMANTIC_BACKEND=sim", "SEMANTIC_PORT=0", "SEMANTIC_NATS_PORT=0"}, settings...),
	})
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	return setup{Options{
		Config: c, Release: "v1", Home: home, DataDir: filepath.Join(home, "data"),
		Broker: func(ctx context.Context, url string) (*queue.Queue, error) {
			return queue.Open(ctx, queue.Options{URL: url, Name: t.Name()})
		},
	}, ProbeOptions{Config: c, Open: openSim, OpenSmall: openSim}}
}

func openSim(context.Context) (engine.Backend, *chat.Template, error) {
	b, err := sim.New(sim.Options{Context: 512, Cells: 1024})
	if err != nil {
		return nil, nil, err
	}
	info := b.Info()
	template, err := chat.Parse(info.ChatTemplate, info.Name, info.BOS, info.EOS)
	return b, template, err
}

func run(t *testing.T, o setup) Report {
	t.Helper()
	if o.Probe == nil {
		o.Probe = o.inProcess
	}
	var said []Finding
	o.Say = func(f Finding) { said = append(said, f) }
	r, err := Run(t.Context(), o.Options)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(said, r.Findings) {
		t.Errorf("said %+v, reported %+v", said, r.Findings)
	}
	return r
}

// runUntil runs until the check is of the level, for a minute: a server gets 2 s to
// answer an examination, a broker 5 s, and on a busy machine one may take longer.
func runUntil(t *testing.T, o setup, check string, level Level) Report {
	t.Helper()
	for late := time.Now().Add(time.Minute); ; {
		r := run(t, o)
		found := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Check == check && f.Level == level })
		if found || time.Now().After(late) {
			return r
		}
	}
}

func (s setup) inProcess(ctx context.Context, part Part, out io.Writer) error {
	return Probe(ctx, s.probe, part, out)
}

// expect fails the test unless the check found this, with a mend if it is not
// well.
func expect(t *testing.T, r Report, check string, level Level, texts ...string) {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == check })
	if i < 0 {
		t.Errorf("no finding %q in %+v", check, r.Findings)
		return
	}
	f := r.Findings[i]
	if f.Level != level || level == Fail && f.Mend == "" {
		t.Errorf("%+v, want %s", f, level)
	}
	for _, text := range texts {
		if !strings.Contains(f.Text+"\n"+f.Mend, text) {
			t.Errorf("%+v does not say %q", f, text)
		}
	}
}

func checks(r Report) (names []string) {
	for _, f := range r.Findings {
		names = append(names, f.Check)
	}
	return names
}

func TestSim(t *testing.T) {
	o := options(t)
	o.Full = true
	r := run(t, o)
	if r.Count(Fail) != 0 || r.Release != "v1" || !strings.Contains(r.Platform, "/") {
		t.Errorf("%+v", r)
	}
	want := []string{"system", "threads", "home", "runtime", "model", "memory", "load", "context", "speak", "http port", "nats port"}
	for _, c := range enginetest.Cases() {
		want = append(want, c.Name)
	}
	if got := checks(r); !slices.Equal(got, want) {
		t.Errorf("checks %q, want %q", got, want)
	}
	for _, f := range r.Findings {
		if f.Suite != strings.Contains(f.Check, "/") {
			t.Errorf("%+v", f)
		}
	}
}

func TestNothingInstalled(t *testing.T) {
	o := options(t, "SEMANTIC_BACKEND=auto")
	o.Full = true
	o.Probe = func(context.Context, Part, io.Writer) error {
		t.Error("tried to load what is missing")
		return nil
	}
	r := run(t, o)
	expect(t, r, "runtime", Fail, "not installed", "runtime install")
	expect(t, r, "abi", Warn, "not tried")
	expect(t, r, "model", Fail, "smollm2-135m-instruct", "model pull")
	expect(t, r, "load", Warn, "not tried")
	expect(t, r, "suite", Warn, "not tried")
	if r.Level != Fail || r.Count(Fail) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestFolders(t *testing.T) {
	o := options(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.DataDir = filepath.Join(t.TempDir(), "not", "yet")
	r := run(t, o)
	expect(t, r, "home", OK, "free")
	expect(t, r, "data", OK, o.DataDir)
	o.DataDir, o.Home = file, filepath.Join(file, "below")
	r = run(t, o)
	expect(t, r, "data", Fail, "is a file", "--data-dir")
	expect(t, r, "home", Fail, "SEMANTIC_HOME")
}

func TestThreads(t *testing.T) {
	o := options(t, "SEMANTIC_BACKEND=cpu", "SEMANTIC_THREADS=1000")
	r := run(t, o)
	expect(t, r, "threads", Fail, "1000 threads", "--threads")
	expect(t, r, "load", Warn, "not tried", "threads")
}

// hinted is an error that knows what to do.
type hinted struct{}

func (hinted) Error() string { return "broken" }
func (hinted) Hint() string  { return "Mend it." }

func TestLoadFails(t *testing.T) {
	o := options(t)
	o.Full = true
	o.probe.Open = func(context.Context) (engine.Backend, *chat.Template, error) { return nil, nil, hinted{} }
	r := run(t, o)
	expect(t, r, "load", Fail, "broken", "Mend it.")
	expect(t, r, "suite", Warn)
}

// mute is a backend that cannot compute.
type mute struct{ *sim.Backend }

func (mute) Step([]engine.Row) error { return engine.ErrBackend }

func TestSpeakFails(t *testing.T) {
	o := options(t)
	o.probe.Open = func(ctx context.Context) (engine.Backend, *chat.Template, error) {
		b, template, err := openSim(ctx)
		return mute{b.(*sim.Backend)}, template, err
	}
	r := run(t, o)
	expect(t, r, "load", OK)
	expect(t, r, "speak", Fail, engine.ErrBackend.Error(), "--backend cpu")
}

func TestSuiteFails(t *testing.T) {
	o := options(t)
	o.Full = true
	o.probe.OpenSmall = func(context.Context) (engine.Backend, *chat.Template, error) {
		return nil, nil, errors.New("no second time")
	}
	r := run(t, o)
	if n := r.Count(Fail); n != len(enginetest.Cases()) {
		t.Errorf("%d failures", n)
	}
	expect(t, r, enginetest.Cases()[0].Name, Fail, "no second time", "Report it")
}

// dying is a machine whose probe dies at a check, but only the first time that
// it comes there.
func dying(t *testing.T, at string) setup {
	o := options(t)
	o.Full = true
	died := false
	o.Probe = func(ctx context.Context, part Part, out io.Writer) error {
		ctx, die := context.WithCancel(ctx)
		defer die()
		written := &lineReader{on: func(l line) {
			if ctx.Err() != nil {
				return // a process that is gone says nothing
			}
			text, err := json.Marshal(l)
			if err != nil {
				t.Error(err)
			}
			for _, b := range append([]byte("noise\n"+string(text)), '\n') { // however it is cut
				_, _ = out.Write([]byte{b})
			}
			if l.Begin == at && !died {
				died = true
				die()
			}
		}}
		if err := o.inProcess(ctx, part, written); err == nil {
			return nil
		}
		return errors.New("signal: segmentation fault; its last words:\nGGML_ASSERT(false) failed")
	}
	return o
}

// Native code that ends its process costs one line, which says so.
func TestDeathInMidCheck(t *testing.T) {
	for _, check := range []string{"load", "speak"} {
		r := run(t, dying(t, check))
		expect(t, r, check, Fail, "the process that ran the model ended: signal: segmentation fault", "GGML_ASSERT(false) failed")
		expect(t, r, "http port", OK)
		expect(t, r, "suite", Warn, "not tried")
	}
	cases := enginetest.Cases()
	for _, c := range []enginetest.Case{cases[0], cases[3], cases[len(cases)-1]} {
		r := run(t, dying(t, c.Name))
		expect(t, r, c.Name, Fail, "segmentation fault", "Do not trust")
		if n := r.Count(Fail); n != 1 {
			t.Errorf("%d failures, want one", n)
		}
		suite := 0
		for _, f := range r.Findings {
			if f.Suite {
				suite++
			}
		}
		if suite != len(cases) {
			t.Errorf("%d findings about %d cases", suite, len(cases))
		}
	}
}

// A process that cannot even begin is told once.
func TestNoProcess(t *testing.T) {
	o := options(t)
	o.Full = true
	o.Probe = func(context.Context, Part, io.Writer) error { return errors.New("fork: too many processes") }
	expect(t, run(t, o), "load", Fail, "too many processes")
	o.Probe = func(ctx context.Context, part Part, out io.Writer) error {
		if part.Suite {
			return errors.New("fork: too many processes")
		}
		return o.inProcess(ctx, part, out)
	}
	r := run(t, o)
	expect(t, r, "suite", Fail, "too many processes")
	if r.Count(Fail) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestContextDoesNotFit(t *testing.T) {
	o := options(t)
	o.probe.Open = func(ctx context.Context) (engine.Backend, *chat.Template, error) {
		b, template, err := openSim(ctx)
		return trained{b.(*sim.Backend)}, template, err
	}
	expect(t, run(t, o), "context", Warn, "--kv-type")
	// As asked for is no warning.
	asked := options(t, "SEMANTIC_CTX=512")
	asked.probe.Open = o.probe.Open
	expect(t, run(t, asked), "context", OK)
}

// trained is a backend whose model was trained for more than fits.
type trained struct{ *sim.Backend }

func (b trained) Info() engine.ModelInfo {
	info := b.Backend.Info()
	info.ContextTrained = 1 << 20
	return info
}

func TestInterrupted(t *testing.T) {
	o := options(t)
	o.Full = true
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stop")
	o.Say = func(f Finding) {
		if f.Suite {
			cancel(cause)
		}
	}
	o.Probe = o.inProcess
	r, err := Run(ctx, o.Options)
	if !errors.Is(err, cause) || len(r.Findings) == 0 || r.Count(Fail) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// port is the port of an address.
func port(t *testing.T, addr string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHTTPPort(t *testing.T) {
	for name, test := range map[string]struct {
		page  string
		level Level
		want  string
	}{
		"semantic":   {`{"status":"ok","release":"v9"}`, OK, "held by a running semantic, v9"},
		"other JSON": {`{"status":"ok"}`, Fail, "another program"},
		"other page": {`<html>`, Fail, "--port 0"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/health/live" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				_, _ = w.Write([]byte(test.page))
			}))
			defer srv.Close()
			o := options(t, "SEMANTIC_PORT="+port(t, srv.Listener.Addr().String()))
			expect(t, runUntil(t, o, "http port", test.level), "http port", test.level, test.want)
		})
	}
	t.Run("free", func(t *testing.T) {
		expect(t, run(t, options(t, "SEMANTIC_PORT="+strconv.Itoa(porttest.Free(t)))), "http port", OK, "is free")
	})
	t.Run("not ours", func(t *testing.T) {
		// An address that no machine has.
		expect(t, run(t, options(t, "SEMANTIC_HOST=192.0.2.1", "SEMANTIC_PORT=1")), "http port", Fail, "--port")
	})
}

func TestNATSPort(t *testing.T) {
	at := func(url string) string { return "SEMANTIC_NATS_PORT=" + port(t, strings.TrimPrefix(url, "nats://")) }
	t.Run("semantic", func(t *testing.T) {
		srv := queuetest.Start(t)
		queuetest.Open(t, srv)
		expect(t, runUntil(t, options(t, at(srv.ClientURL())), "nats port", OK), "nats port", OK, "semantic's queue", "0 workers")
	})
	t.Run("other", func(t *testing.T) {
		srv := queuetest.Start(t)
		expect(t, run(t, options(t, at(srv.ClientURL()))), "nats port", Fail, "without semantic's queue", "--nats-port")
	})
	t.Run("token", func(t *testing.T) {
		srv := queuetest.Start(t, func(o *embedded.Options) { o.Token = "secret" })
		expect(t, run(t, options(t, at(srv.ClientURL()))), "nats port", Fail, "wants credentials")
	})
	t.Run("no NATS", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		}()
		expect(t, run(t, options(t, "SEMANTIC_NATS_PORT="+port(t, l.Addr().String()))), "nats port", Fail, "another program")
	})
}

func TestBroker(t *testing.T) {
	srv := queuetest.Start(t)
	o := options(t, "SEMANTIC_NATS="+srv.ClientURL())
	r := runUntil(t, o, "nats", OK)
	expect(t, r, "nats", OK, "JetStream", "nothing of semantic")
	for _, name := range checks(r) {
		if strings.HasSuffix(name, "port") {
			t.Errorf("%s is checked though the NATS server is elsewhere", name)
		}
	}
	queuetest.Open(t, srv)
	expect(t, runUntil(t, o, "nats", OK), "nats", OK, "0 workers")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	r = run(t, options(t, "SEMANTIC_NATS=nats://user:secret@127.0.0.1:"+port(t, l.Addr().String())))
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == "nats" })
	if f := r.Findings[i]; f.Level != Fail || strings.Contains(f.Text, "secret") {
		t.Errorf("%+v", f)
	}
}

func TestOlder(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"13.6.1", "14.0", true},
		{"14.0", "14.0", false},
		{"14", "14.0", false},
		{"14.1", "14.0", false},
		{"9.9", "14.0", true},
		{"26.0", "14.0", false},
		{"14", "14.0.1", true},
	} {
		if got := older(test.a, test.b); got != test.want {
			t.Errorf("older(%s, %s) is %s", test.a, test.b, strconv.FormatBool(got))
		}
	}
}
