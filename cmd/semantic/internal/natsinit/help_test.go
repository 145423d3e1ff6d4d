package natsinit_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/porttest"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; none ends by it when all is well.
const patience = 2 * time.Minute

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// freePort is a port that is free and whose port for other members is free, too.
func freePort(t testing.TB) int {
	t.Helper()
	return porttest.Free(t, 2000)
}

// cluster is a folder of natsinit and, in this process, its one broker.
type cluster struct {
	dir    string
	made   natsinit.Made
	server *embedded.Server
}

// machine is the name of the broker's machine, and of its worker.
const machine = "127-0-0-1"

func start(t *testing.T, o natsinit.Options) *cluster {
	t.Helper()
	c := &cluster{dir: filepath.Join(t.TempDir(), "nats")}
	o.Hosts = []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))}
	var err error
	if c.made, err = natsinit.Init(c.dir, o); err != nil {
		t.Fatal(err)
	}
	c.serve(t, t.TempDir())
	return c
}

func (c *cluster) serve(t *testing.T, store string) {
	t.Helper()
	server, err := embedded.Start(within(t), embedded.Options{ConfigDir: c.made.Brokers[0], StoreDir: store, MaxStore: 16 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	c.server = server
}

// creds is the file of a user: gateway and worker are those of the broker's
// machine, others are in creds.
func (c *cluster) creds(name string) string {
	if slices.Contains([]string{"gateway", "worker"}, name) {
		return filepath.Join(c.made.Brokers[0], name+".creds")
	}
	return filepath.Join(c.dir, "creds", name+".creds")
}

// open opens the queue as a user.
func (c *cluster) open(t *testing.T, name string, change ...func(*queue.Options)) *queue.Queue {
	t.Helper()
	o := queue.Options{CredsFile: c.creds(name), Name: name, Config: queue.DefaultConfig(), Logger: slog.New(noRefusals{t})}
	o.Config.FollowSilence = 300 * time.Millisecond
	o.Config.CancelGrace = 300 * time.Millisecond
	o.Config.PollInterval = 100 * time.Millisecond
	o.Config.AckWait = patience // a late heartbeat must not offer a job twice
	for _, f := range change {
		f(&o)
	}
	q, err := queue.Open(within(t), o)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := q.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return q
}

// plain is a connection of nats.go, with the file alone; violations of its
// rights go to the channel.
func (c *cluster) plain(t *testing.T, name string, more ...nats.Option) (*nats.Conn, <-chan string) {
	t.Helper()
	user, err := queue.ReadCreds(c.creds(name))
	if err != nil {
		t.Fatal(err)
	}
	violations := make(chan string, 256)
	options := append([]nats.Option{
		nats.UserCredentials(c.creds(name)), nats.RootCAs(filepath.Join(c.made.Brokers[0], "ca.pem")),
		nats.Timeout(patience), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err.Error() }),
	}, more...)
	if user.Role != queue.RolePublisher && user.Role != queue.RoleAdmin {
		options = append(options, nats.CustomInboxPrefix("_PRIVATE."+user.Key))
	}
	nc, err := nats.Connect(user.Servers[0], options...)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(nc.Close)
	return nc, violations
}

// noRefusals is a log in which nothing may be said of what a user may not do.
type noRefusals struct{ t *testing.T }

func (noRefusals) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (n noRefusals) WithAttrs([]slog.Attr) slog.Handler         { return n }
func (n noRefusals) WithGroup(string) slog.Handler              { return n }
func (n noRefusals) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if strings.Contains(a.String(), "ermissions") {
			n.t.Errorf("log: %s: %s", r.Message, a.String())
		}
		return true
	})
	return nil
}

// silent is for users that try what they may not.
func silent(o *queue.Options) { o.Logger = nil }

const model = "sim"

func job(text string) schemas.Job {
	return schemas.Job{
		Version: schemas.Version, Model: model,
		Messages: []schemas.Message{{Role: schemas.RoleUser, Content: text}},
	}
}

func started(worker string) schemas.Event {
	return schemas.Event{Type: schemas.EventStarted, Started: &schemas.Started{
		Attempt: 1, Worker: worker, Incarnation: worker + "-i", Fingerprint: "f", Seed: 1, PromptTokens: 3,
	}}
}

func delta(text string) schemas.Event {
	return schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: schemas.Output{Tokens: []int32{7}, Text: text}}}
}

func done() schemas.Event {
	return schemas.Event{Type: schemas.EventDone, Done: &schemas.Done{FinishReason: schemas.FinishStop}}
}
