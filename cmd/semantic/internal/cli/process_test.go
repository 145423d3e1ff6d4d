package cli_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/gofrs/flock"
)

// transcript collects what a process prints, so that a test can wait for it.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // replaced at every write
	closed  bool
}

// collect reads until the end; the test waits for that.
func collect(t *testing.T, r io.ReadCloser) *transcript {
	t.Helper()
	c := &transcript{changed: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, err := r.Read(buffer)
			c.mu.Lock()
			c.text.Write(buffer[:n])
			c.closed = err != nil // EIO is the end of a terminal
			close(c.changed)
			c.changed = make(chan struct{})
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = r.Close()
		<-done
		if t.Failed() {
			t.Logf("transcript:\n%s", c.text.String())
		}
	})
	return c
}

// wait returns the position after the text, looked for from the position on.
func (c *transcript) wait(t *testing.T, from int, text string) int {
	t.Helper()
	late := time.After(patience)
	for {
		c.mu.Lock()
		at := strings.Index(c.text.String()[from:], text)
		changed, closed := c.changed, c.closed
		c.mu.Unlock()
		if at >= 0 {
			return from + at + len(text)
		}
		if closed {
			t.Fatalf("the output ended without %q", text)
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("never printed: %q", text)
		}
	}
}

// end waits until nobody holds the other end any more.
func (c *transcript) end(t *testing.T) {
	t.Helper()
	late := time.After(patience)
	for {
		c.mu.Lock()
		changed, closed := c.changed, c.closed
		c.mu.Unlock()
		if closed {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatal("a process still holds the pipe")
		}
	}
}

// process is a started `semantic`.
type process struct {
	command *exec.Cmd
	// stderr is a pipe that the process and its children hold: its end tells
	// that all of them are gone.
	stderr *transcript
	exited chan struct{}
	err    error
}

// start runs semantic; prepare may change the command before.
func start(t *testing.T, begin func(*exec.Cmd) error, args ...string) *process {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{command: exec.Command("semantic", args...), exited: make(chan struct{})}
	p.command.Env, p.command.Stderr = environment(t), writer
	err = begin(p.command)
	_ = writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = collect(t, reader)
	go func() {
		p.err = p.command.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.exited
	})
	return p
}

// code waits for the exit code.
func (p *process) code(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatal("the process does not end")
	}
	if exit := new(exec.ExitError); errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	if p.err != nil {
		t.Fatal(p.err)
	}
	return 0
}

// simServer starts `semantic serve` on the simulated backend.
func simServer(t *testing.T, begin func(*exec.Cmd) error, args ...string) (*process, ready) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	all := append([]string{
		"serve", "--backend", "sim", "--port", "0", "--nats-port", "0", "--data-dir", t.TempDir(), "--ready-file", file,
	}, args...)
	p := start(t, begin, all...)
	info, err := readReady(file, p.exited)
	if err != nil {
		t.Fatal(err)
	}
	return p, info
}

// openStream asks for a long answer and returns once it has begun.
func openStream(t *testing.T, url string) io.ReadCloser {
	t.Helper()
	return openStreamOf(t, url, "sim")
}

// openStreamOf is openStream of a model.
func openStreamOf(t *testing.T, url, model string) io.ReadCloser {
	t.Helper()
	return openAnswer(t, url, model, "words=4000 please")
}

// openAnswer asks a model and returns once the answer has begun.
func openAnswer(t *testing.T, url, model, prompt string) io.ReadCloser {
	t.Helper()
	return openBody(t, url, `{"model":"`+model+`","stream":true,"messages":[{"role":"user","content":"`+prompt+`"}]}`)
}

// openBody is openAnswer to the body of a request.
func openBody(t *testing.T, url, body string) io.ReadCloser {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s", response.Status)
	}
	return response.Body
}

// atTerminal starts the process with a terminal as its stdin and stdout.
func atTerminal(screen **os.File) func(*exec.Cmd) error {
	return func(c *exec.Cmd) error {
		var err error
		*screen, err = pty.Start(c)
		return err
	}
}

const ctrlC = "\x03"

// Ctrl-C at a terminal drains; a second one ends everything at once. The worker
// gets neither: it has a process group of its own.
func TestCtrlCTwice(t *testing.T) {
	var screen *os.File
	p, info := simServer(t, atTerminal(&screen), "--sim-step", "20ms")
	shown := collect(t, screen)
	shown.wait(t, 0, "curl -N "+info.HTTP)
	stream := openStream(t, info.HTTP)

	if _, err := io.WriteString(screen, ctrlC); err != nil {
		t.Fatal(err)
	}
	p.stderr.wait(t, 0, "Stopping: waiting up to 30s for ")
	p.stderr.wait(t, 0, "Still waiting for 1 running request, ")
	// The stream goes on while the server drains.
	if n, err := stream.Read(make([]byte, 1)); n != 1 {
		t.Errorf("the stream ended at the first Ctrl-C: %v", err)
	}
	if _, err := io.WriteString(screen, ctrlC); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 130 {
		t.Errorf("exit code %d after the second Ctrl-C, want 130", code)
	}
	p.stderr.end(t)
}

// kill -9 of the server takes its worker along.
func TestKilledServerLeavesNoWorker(t *testing.T) {
	p, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "20ms")
	openStream(t, info.HTTP)
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.stderr.end(t)
}

// A drain that takes too long says so, hands the job back and ends by itself.
func TestDrainTimeout(t *testing.T) {
	p, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "20ms", "--drain-timeout", "50ms")
	stream := openStream(t, info.HTTP)
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stream)
	if err != nil || !bytes.Contains(rest, []byte("server_restarting")) {
		t.Errorf("the stream ended with %v and without server_restarting: %s", err, rest[max(len(rest)-300, 0):])
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.stderr.wait(t, 0, "Kept in the queue for the next start: 1 request.\n")
	p.stderr.end(t)
}

// Ctrl-C in a conversation stops the answer, not the program.
func TestChatCtrlC(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "5ms")
	var screen *os.File
	p := start(t, atTerminal(&screen), "chat", "--url", info.HTTP, "--temperature", "0")
	shown := collect(t, screen)
	say := func(text string) {
		t.Helper()
		if _, err := io.WriteString(screen, text); err != nil {
			t.Fatal(err)
		}
	}
	at := p.stderr.wait(t, 0, "Talking to sim. Ctrl-C stops an answer, /new begins anew, /exit ends.\n> ")
	say(ctrlC)
	at = p.stderr.wait(t, at, "(/exit or Ctrl-D ends)\n> ")
	say("words=4000 a long story\n")
	seen := shown.wait(t, 0, "a long story\r\n")
	shown.wait(t, seen, " ") // the answer has begun
	say(ctrlC)
	at = p.stderr.wait(t, at, "(stopped)\n> ")
	say("/new\n")
	at = p.stderr.wait(t, at, "(a new conversation)\n> ")
	say("/what\n")
	at = p.stderr.wait(t, at, "/what is no command: there are /new and /exit.\n> ")
	say("words=3 hello\n")
	p.stderr.wait(t, at, "> ")
	say("/exit\n")
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The end of the input ends a conversation too.
func TestChatEOF(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start)
	var screen *os.File
	p := start(t, atTerminal(&screen), "chat", "--url", info.HTTP)
	collect(t, screen)
	p.stderr.wait(t, 0, "> ")
	if _, err := io.WriteString(screen, "\x04"); err != nil { // Ctrl-D
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Ctrl-C cancels a submitted job.
func TestSubmitCtrlC(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "5ms")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, func(c *exec.Cmd) error {
		c.Stdout = writer
		return c.Start()
	}, "submit", "--nats", info.NATS, "words=4000 a long story")
	_ = writer.Close()
	answer := collect(t, reader)
	answer.wait(t, 0, " ")
	if err := p.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	p.stderr.wait(t, 0, " was cancelled\n")
}

// A job whose reader went away, like `| head`, is cancelled; nobody is told.
func TestSubmitReaderGone(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "5ms")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, func(c *exec.Cmd) error {
		c.Stdout = writer
		return c.Start()
	}, "submit", "--nats", info.NATS, "words=100000 a long story")
	_ = writer.Close()
	_, err = reader.Read(make([]byte, 1))
	if err := errors.Join(err, reader.Close()); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 141 {
		t.Errorf("exit code %d, want 141", code)
	}
	p.stderr.end(t)
	if said := p.stderr.text.String(); said != "" {
		t.Errorf("it says %q", said)
	}
	cancelled := `semantic_worker_jobs_total{class="normal",model="sim",outcome="cancelled"`
	for late := time.After(patience); !strings.Contains(metricsPage(t, info.HTTP), cancelled); {
		select {
		case <-late:
			t.Fatalf("the job goes on:\n%s", metricsPage(t, info.HTTP))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// A port that is taken says which flag changes it.
func TestPortInUse(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		args []string
		want string
	}{
		{
			[]string{"--port", port, "--nats-port", "0"},
			"port " + port + " of 127.0.0.1 is in use by another program\n  Choose another one with --port,",
		},
		{
			[]string{"--port", "0", "--nats-port", port},
			"port " + port + " of 127.0.0.1, for NATS, is in use by another program\n  Choose another one with --nats-port,",
		},
	} {
		p := start(t, (*exec.Cmd).Start, append([]string{"serve", "--backend", "sim", "--data-dir", t.TempDir()}, c.args...)...)
		if code := p.code(t); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		p.stderr.wait(t, 0, "semantic: "+c.want)
	}
}

// A worker that cannot start ends the server with the worker's own reason.
func TestWorkerCannotStart(t *testing.T) {
	home := t.TempDir()
	p := start(t, func(c *exec.Cmd) error {
		c.Env = append(c.Env, "SEMANTIC_HOME="+home)
		return c.Start()
	}, "serve", "--backend", "sim", "--model", strings.Repeat("long", 100), "--port", "0", "--nats-port", "0")
	if code := p.code(t); code == 0 {
		t.Error("exit code 0")
	}
	p.stderr.wait(t, 0, "semantic: the worker cannot start: ")
}

// The page of the server has its own metrics and the worker's.
func TestMetricsOfBothProcesses(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start)
	page := pageWith(t, info.HTTP,
		"\ngo_goroutines ", childMetrics, "\nsemantic_worker_restarts_total 0\n",
		"\nsemantic_pool_utilization_ratio{model=\"sim\",worker=\"",
		"\nsemantic_request_queue_depth{class=\"batch\",model=\"sim\",state=\"queued\"} 0\n",
	)
	if strings.Contains(page, `state="queued",worker=`) {
		t.Error("the queue's depth is there twice")
	}
}

// The gateway's readiness counts on workers up to --ready-pool-threshold.
func TestReadyPoolThreshold(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start, "--ready-pool-threshold", "0.25")
	eventually(t, func() string {
		if status, text := readiness(t, info.HTTP); status != http.StatusOK ||
			!strings.Contains(text, `{"name":"pool_utilization_ratio","ok":true,"value":0,"threshold":0.25}`) {
			return fmt.Sprintf("%d: %s", status, text)
		}
		return ""
	})
}

// readiness asks a gateway for its readiness.
func readiness(t *testing.T, url string) (status int, text string) {
	t.Helper()
	response, err := http.Get(url + "/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// childMetrics is on a server's page if its worker has answered: it has 2 s at each
// look, and is left out if that is too short for a busy machine.
const childMetrics = "\ngo_goroutines{worker=\""

// pageWith is the metricsPage, once it has all of that.
func pageWith(t *testing.T, url string, wants ...string) (page string) {
	t.Helper()
	eventually(t, func() string {
		page = metricsPage(t, url)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				return fmt.Sprintf("/metrics lacks %q:\n%s", want, page)
			}
		}
		return ""
	})
	return page
}

// metricsPage is what the server shows of itself and its worker.
func metricsPage(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v\n%s", response.Status, err, page)
	}
	return string(page)
}

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	if err := errors.Join(os.WriteFile(cert, certPEM, 0o600), os.WriteFile(key, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return cert, key, roots
}

func TestTLS(t *testing.T) {
	cert, key, roots := certificate(t)
	_, info := simServer(t, (*exec.Cmd).Start, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(info.HTTP, "https://127.0.0.1:") {
		t.Errorf("the server says %s", info.HTTP)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, info.HTTP+"/health/ready", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || response.TLS == nil {
		t.Errorf("%s, TLS %v", response.Status, response.TLS)
	}
}

// A stop while the worker is still loading (here: waiting for its place) does
// not wait for that.
func TestStopBeforeReady(t *testing.T) {
	data := t.TempDir()
	if err := os.MkdirAll(filepath.Join(data, "worker"), 0o700); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(filepath.Join(data, "worker", "lock"))
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Unlock() }()
	p := start(t, (*exec.Cmd).Start, "serve", "--backend", "sim", "--port", "0", "--nats-port", "0", "--data-dir", data)
	p.stderr.wait(t, 0, "gateway listening")
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.stderr.end(t)
}
