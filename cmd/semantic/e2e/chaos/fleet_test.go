package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/cmd/semantic/e2e/simulated"
	"github.com/semantic-worker/semantic/queue"
)

const (
	// patience bounds every wait; none ends by it when all is well.
	patience = 3 * time.Minute
	// ackWait is the silence after which a worker's jobs are another's.
	ackWait = time.Second
)

// fleet is a broker, gateways and workers, each a process of its own.
type fleet struct {
	t          *testing.T
	dir        string
	home       string // of semantic; empty for one without native parts
	book       *book
	simulation *simulated.Model
	ledger     *ledger
	// keys are the API keys, if the gateways want any.
	keys []apiKey
	keep bool // the folder

	brokerAddr string
	broker     *process
	workers    []*member
	gateways   []*member
	// names are the workers' processes by their ids.
	names map[string]string

	// running ends with the fleet: from then on nothing is started again.
	running  context.Context
	close    context.CancelFunc
	restarts sync.WaitGroup

	// The checker's own way to the broker.
	queue *queue.Queue
	nc    *nats.Conn
	js    jetstream.JetStream
}

// apiKey is a client's.
type apiKey struct{ key, owner string }

// requireKeys makes the gateways want keys, and makes some. When it returns each
// gateway has heard of it: until then one serves everybody, as the owner "local".
func (f *fleet) requireKeys(ctx context.Context) {
	f.t.Helper()
	for _, name := range []string{"ann", "bob"} {
		key, err := f.queue.AddKey(ctx, name)
		if err != nil {
			f.t.Fatal(err)
		}
		f.keys = append(f.keys, apiKey{key, queue.Key{Name: name}.Owner()})
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, g := range f.gateways {
		err := g.answers(ctx, "", http.StatusUnauthorized)
		for _, k := range f.keys {
			err = errors.Join(err, g.answers(ctx, k.key, http.StatusOK))
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// answers waits until a gateway answers a request with a key, "" for none, with a
// status.
func (m *member) answers(ctx context.Context, key string, status int) error {
	url, err := m.url(ctx)
	if err != nil {
		return err
	}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/models", nil)
		if err != nil {
			return err
		}
		if key != "" {
			request.Header.Set("Authorization", "Bearer "+key)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode == status {
			return nil
		}
		if !pause(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%s: %s, and never %d", m.name, response.Status, status)
		}
	}
}

// member is a process behind a link.
type member struct {
	*process
	link *link
}

// makeFleet starts a broker, so many gateways, and a worker for each list of
// arguments. Its folder is kept if the test fails.
func makeFleet(t *testing.T, b *book, home string, gateways int, workers ...[]string) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "semantic-fleet-")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, dir: dir, home: home, book: b, keep: os.Getenv("CHAOS_KEEP") != "", simulation: newSimulation(t), ledger: newLedger()}
	f.running, f.close = context.WithCancel(context.Background())
	t.Cleanup(func() {
		if t.Failed() || f.keep {
			t.Logf("the logs of all processes, and the whole report, are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	f.broker = f.newBroker(t)
	t.Cleanup(f.broker.end)
	t.Cleanup(func() {
		f.close()
		f.restarts.Wait()
	})
	if err := f.broker.start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.brokerUp(ctx); err != nil {
		t.Fatal(err)
	}
	f.connect(ctx)
	for i := range gateways {
		f.gateways = append(f.gateways, f.add(fmt.Sprintf("gateway-%d", i), "gateway", "--port", "0",
			"--drain-timeout", "300ms", "--inline-bytes", "1024"))
	}
	for i, args := range workers {
		f.workers = append(f.workers, f.add(fmt.Sprintf("worker-%d", i), append([]string{
			"worker", "--data-dir", f.path(fmt.Sprintf("worker-%d", i)), "--ack-wait", ackWait.String(),
			"--drain-timeout", "200ms", "--metrics-addr", "127.0.0.1:0",
		}, args...)...))
	}
	for _, g := range f.gateways {
		if _, err := g.url(ctx); err != nil {
			t.Fatal(err)
		}
	}
	f.names = map[string]string{}
	for _, m := range f.workers {
		info, err := m.info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		f.names[info.Worker] = m.name
	}
	return f
}

// connect opens the checker's way to the broker, without a link.
func (f *fleet) connect(ctx context.Context) {
	url := "nats://" + f.brokerAddr
	var err error
	config := queue.DefaultConfig()
	config.ConnectTimeout = time.Minute
	if f.queue, err = queue.Open(ctx, queue.Options{URL: url, Name: "checker", Config: config}); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = f.queue.Close(context.WithoutCancel(ctx)) })
	if err := f.queue.Ensure(ctx); err != nil {
		f.t.Fatal(err)
	}
	if f.nc, err = nats.Connect(url, nats.Timeout(time.Minute),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectBufSize(-1)); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(f.nc.Close)
	if f.js, err = jetstream.New(f.nc, jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		f.t.Fatal(err)
	}
}

// add starts a process behind a link of its own.
func (f *fleet) add(name string, args ...string) *member {
	f.t.Helper()
	l, err := newLink(name, f.brokerAddr)
	if err != nil {
		f.t.Fatal(err)
	}
	ready := f.path(name + ".ready")
	m := &member{link: l}
	m.process = f.newProcess(name, func() *exec.Cmd {
		_ = os.Remove(ready) // that of the life before
		command := exec.Command(binary, append(args,
			"--nats", l.url(), "--ready-file", ready, "--log-level", "debug", "--log-format", "json")...)
		command.Env = f.environment()
		return command
	})
	m.ready = ready
	f.t.Cleanup(func() {
		m.end()
		l.cut()
	})
	if err := m.start(); err != nil {
		f.t.Fatal(err)
	}
	return m
}

// environment is this process's, without what would configure semantic.
func (f *fleet) environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SEMANTIC_") {
			env = append(env, kv)
		}
	}
	home := f.home
	if home == "" {
		home = f.path("home")
	}
	return append(env, "SEMANTIC_HOME="+home)
}

func (f *fleet) path(name string) string { return filepath.Join(f.dir, name) }

// readyInfo is what a process says of itself once it takes requests.
type readyInfo struct {
	HTTP   string `json:"http"`
	Worker string `json:"worker"`
}

// info waits for a process that is starting.
func (m *member) info(ctx context.Context) (readyInfo, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var info readyInfo
		if text, err := os.ReadFile(m.ready); err == nil && json.Unmarshal(text, &info) == nil {
			return info, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return info, fmt.Errorf("%s: %w", m.name, ctx.Err())
		}
	}
}

// url is where a gateway is; it waits for one that is starting.
func (m *member) url(ctx context.Context) (string, error) {
	info, err := m.info(ctx)
	return info.HTTP, err
}

// anyGateway is one of them, dead ones among them for as long as nobody noticed.
func (f *fleet) anyGateway(ctx context.Context, random *rand.Rand) (string, error) {
	return f.gateways[random.IntN(len(f.gateways))].url(ctx)
}

// leave stops every process as an operator would.
func (f *fleet) leave() {
	f.close()
	f.restarts.Wait()
	http.DefaultClient.CloseIdleConnections()
	var all sync.WaitGroup
	for _, m := range append(f.gateways, f.workers...) {
		all.Go(func() {
			if err := m.stop(); err != nil {
				f.book.fail("%v; see %s", err, m.logPath)
			}
		})
	}
	all.Wait()
	_ = f.queue.Close(context.Background())
	f.nc.Close()
	if err := f.broker.stop(); err != nil {
		f.book.fail("%v; see %s", err, f.broker.logPath)
	}
}
