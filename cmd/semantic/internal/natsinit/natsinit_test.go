package natsinit_test

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/queue"
)

func TestInitRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		options natsinit.Options
		want    string
	}{
		"two hosts":            {natsinit.Options{Hosts: []string{"a", "b"}}, "one of two asleep stops both"},
		"four hosts":           {natsinit.Options{Hosts: []string{"a", "b", "c", "d"}}, "4 hosts"},
		"one host twice":       {natsinit.Options{Hosts: []string{"a", "b", "a"}}, "twice"},
		"hosts alike":          {natsinit.Options{Hosts: []string{"a.b", "a-b", "c"}}, "cannot be told"},
		"no host":              {natsinit.Options{Hosts: []string{""}}, "neither a name"},
		"host with a space":    {natsinit.Options{Hosts: []string{"a b"}}, "neither a name"},
		"host with a path":     {natsinit.Options{Hosts: []string{"../a"}}, "neither a name"},
		"port too high":        {natsinit.Options{Hosts: []string{"a:65000"}}, "want a port"},
		"owner of nobody":      {natsinit.Options{Publishers: []string{"local"}}, "owner of jobs that have none"},
		"publisher no token":   {natsinit.Options{Publishers: []string{"a.b"}}, "letters, digits"},
		"publisher a wildcard": {natsinit.Options{Publishers: []string{"*"}}, "letters, digits"},
		"publisher twice":      {natsinit.Options{Publishers: []string{"a", "a"}}, "twice"},
		"worker of a broker":   {natsinit.Options{Hosts: []string{"a"}, Workers: []string{"a"}}, "twice"},
		"worker no token":      {natsinit.Options{Workers: []string{"../w"}}, "letters, digits"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "nats")
			_, err := natsinit.Init(dir, test.options)
			if !errors.Is(err, natsinit.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Error("something was written")
			}
		})
	}
	t.Run("folder in use", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := natsinit.Init(dir, natsinit.Options{}); !errors.Is(err, natsinit.ErrInvalid) || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("error %v", err)
		}
	})
}

// TestFiles: nothing secret can be read by others, each user has a file, and
// each broker's folder has all that it needs and no key that signs.
func TestFiles(t *testing.T) {
	dir := t.TempDir() // there and empty
	made, err := natsinit.Init(dir, natsinit.Options{
		Hosts: []string{"mini.local", "10.0.0.7", "studio"}, Publishers: []string{"alice"}, Workers: []string{"air"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"tls://mini.local:4222", "tls://10.0.0.7:4222", "tls://studio:4222"}; !slices.Equal(made.Servers, want) {
		t.Errorf("servers %v", made.Servers)
	}
	for _, b := range made.Brokers {
		files, err := filepath.Glob(b + "/*")
		if err != nil {
			t.Fatal(err)
		}
		for i := range files {
			files[i] = filepath.Base(files[i])
		}
		want := []string{"accounts.conf", "ca.pem", "cert.pem", "gateway.creds", "key.pem", "nats.conf", "node.conf", "worker.creds"}
		if !slices.Equal(files, want) {
			t.Errorf("%s has %v", b, files)
		}
	}
	public := []string{"accounts.conf", "ca.pem", "cert.pem", "nats.conf", "node.conf"}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		others := info.Mode().Perm() & 0o077
		inBroker := strings.Contains(path, string(filepath.Separator)+"brokers"+string(filepath.Separator))
		if open := (inBroker || path == filepath.Join(dir, "ca.pem")) && slices.Contains(public, d.Name()); others != 0 && !open {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]queue.Creds{
		"creds/gateway.creds":                {Role: queue.RoleGateway, Name: "gateway"},
		"creds/observer.creds":               {Role: queue.RoleObserver, Name: "observer"},
		"creds/admin.creds":                  {Role: queue.RoleAdmin, Name: "admin"},
		"creds/worker-air.creds":             {Role: queue.RoleWorker, Name: "air"},
		"creds/publisher-alice.creds":        {Role: queue.RolePublisher, Name: "alice"},
		"brokers/mini-local/worker.creds":    {Role: queue.RoleWorker, Name: "mini-local"},
		"brokers/mini-local/gateway.creds":   {Role: queue.RoleGateway, Name: "mini-local"},
		"brokers/10-0-0-7/worker.creds":      {Role: queue.RoleWorker, Name: "10-0-0-7"},
		"brokers/studio/worker.creds":        {Role: queue.RoleWorker, Name: "studio"},
		"brokers/../creds/worker-air.creds":  {Role: queue.RoleWorker, Name: "air"},
		"brokers/studio/../../creds/../ca":   {},
		"authority/ca.pem":                   {},
		"brokers/studio/accounts.conf":       {},
		"brokers/studio/../studio/node.conf": {},
	} {
		got, err := queue.ReadCreds(filepath.Join(dir, file))
		if want.Role == "" {
			if !errors.Is(err, queue.ErrInvalid) {
				t.Errorf("%s: %+v, %v", file, got, err)
			}
			continue
		}
		if err != nil || got.Role != want.Role || got.Name != want.Name || !slices.Equal(got.Servers, made.Servers) ||
			!strings.Contains(string(got.CA), "BEGIN CERTIFICATE") || !strings.HasPrefix(got.Key, "U") {
			t.Errorf("%s: %+v, %v", file, got, err)
		}
	}
	if _, err := natsinit.Init(dir, natsinit.Options{}); !errors.Is(err, natsinit.ErrInvalid) {
		t.Errorf("a second init: %v", err)
	}
}

// TestStandAlone: the files work with a NATS server of one's own, started in
// their folder.
func TestStandAlone(t *testing.T) {
	c := &cluster{dir: filepath.Join(t.TempDir(), "nats")}
	var err error
	if c.made, err = natsinit.Init(c.dir, natsinit.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Chdir(c.made.Brokers[0])
	options, err := server.ProcessConfigFile("nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if options.Host != "127.0.0.1" || options.Port != 4222 || options.MaxPayload != 8<<20 || options.TLSConfig == nil {
		t.Errorf("listens on %s:%d", options.Host, options.Port)
	}
	options.Port = -1 // others use 4222 on this machine
	options.NoSigs, options.JetStreamMaxStore = true, 16<<30
	ns, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	if !ns.ReadyForConnections(patience) {
		t.Fatal("does not serve")
	}
	q := c.open(t, "gateway", func(o *queue.Options) { o.URL = strings.Replace(ns.ClientURL(), "nats:", "tls:", 1) })
	if err := q.Ensure(within(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("jetstream/jetstream"); err != nil {
		t.Errorf("the store: %v", err)
	}
}

// TestServerConfigs: NATS's own reader takes the configurations for several
// machines as they are written.
func TestServerConfigs(t *testing.T) {
	for _, hosts := range [][]string{{"mini.local"}, {"a.local", "b.local:5222", "10.0.0.7"}} {
		made, err := natsinit.Init(filepath.Join(t.TempDir(), "nats"), natsinit.Options{Hosts: hosts})
		if err != nil {
			t.Fatal(err)
		}
		for i, folder := range made.Brokers {
			t.Chdir(folder)
			o, err := server.ProcessConfigFile("nats.conf")
			if err != nil {
				t.Fatalf("%s: %v", folder, err)
			}
			if o.Host != "0.0.0.0" || o.TLSConfig == nil || o.SystemAccount == "" || len(o.TrustedOperators) != 1 ||
				!strings.HasPrefix(o.ClientAdvertise, strings.Split(hosts[i], ":")[0]+":") {
				t.Errorf("%s: listens on %s, is %s for others", folder, o.Host, o.ClientAdvertise)
			}
			if len(hosts) == 1 {
				continue
			}
			if len(o.Routes) != len(hosts) || o.Cluster.TLSConfig == nil || o.Cluster.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert {
				t.Errorf("%s: members %v, and they need not show a certificate", folder, o.Routes)
			}
		}
	}
}

// TestAdd: users that come later.
func TestAdd(t *testing.T) {
	c := start(t, natsinit.Options{})
	if err := c.open(t, "gateway").Ensure(within(t)); err != nil {
		t.Fatal(err)
	}
	// A worker needs nothing but its file: the broker runs on.
	file, changed, err := natsinit.Add(c.dir, queue.RoleWorker, "air")
	if err != nil || changed || file != filepath.Join(c.dir, "creds", "worker-air.creds") {
		t.Fatalf("add: %s, %t, %v", file, changed, err)
	}
	r, err := c.open(t, "worker-air").Register(within(t), status("air"))
	if err != nil {
		t.Fatalf("register: %v", err)
	}
	if err := r.Close(within(t)); err != nil {
		t.Error(err)
	}
	for name, test := range map[string]struct {
		role queue.Role
		name string
	}{
		"there already":     {queue.RoleWorker, "air"},
		"beside the broker": {queue.RoleWorker, machine},
		"no role":           {"boss", "b"},
		"no name":           {queue.RoleWorker, ""},
		"nobody's owner":    {queue.RolePublisher, "local"},
	} {
		if file, _, err := natsinit.Add(c.dir, test.role, test.name); !errors.Is(err, natsinit.ErrInvalid) {
			t.Errorf("%s: %s, %v", name, file, err)
		}
	}
	if _, _, err := natsinit.Add(t.TempDir(), queue.RoleWorker, "x"); !errors.Is(err, natsinit.ErrInvalid) {
		t.Errorf("in a folder of something else: %v", err)
	}

	// A publisher has an account of its own, which the broker must be told.
	before, err := os.ReadFile(filepath.Join(c.made.Brokers[0], "accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if _, changed, err := natsinit.Add(c.dir, queue.RolePublisher, "carol"); err != nil || !changed {
		t.Fatalf("add: %t, %v", changed, err)
	}
	after, err := os.ReadFile(filepath.Join(c.made.Brokers[0], "accounts.conf"))
	if err != nil || string(before) == string(after) {
		t.Fatalf("accounts.conf is as before: %v", err)
	}
	store := t.TempDir()
	c.server.Stop()
	c.serve(t, store)
	nc, violations := c.plain(t, "publisher-carol")
	noViolation(t, nc, violations)
	if folders, err := natsinit.Renew(c.dir); err != nil || len(folders) != 1 {
		t.Errorf("renew: %v, %v", folders, err)
	}
	c.server.Stop()
	c.serve(t, store)
	if err := c.open(t, "gateway").Ensure(within(t)); err != nil {
		t.Errorf("old credentials, renewed accounts: %v", err)
	}
}

// TestRemove: whose credentials were taken back is not let in.
func TestRemove(t *testing.T) {
	c := start(t, natsinit.Options{Workers: []string{"air", "studio"}, Publishers: []string{"alice", "bob"}})
	if err := c.open(t, "gateway").Ensure(within(t)); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(t.TempDir(), "kept")
	gone := map[string]queue.Role{"worker-air": queue.RoleWorker, "observer": queue.RoleObserver, "publisher-bob": queue.RolePublisher}
	for file, role := range gone {
		text, err := os.ReadFile(c.creds(file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(kept+file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, name, found := strings.Cut(file, "-")
		if !found {
			name = file
		}
		if err := natsinit.Remove(c.dir, role, name); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if _, err := os.Stat(c.creds(file)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there", file)
		}
		if err := natsinit.Remove(c.dir, role, name); !errors.Is(err, natsinit.ErrInvalid) {
			t.Errorf("%s a second time: %v", file, err)
		}
	}
	// The worker beside the broker, whose name is that of its folder.
	text, err := os.ReadFile(c.creds("worker"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept+"beside", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := natsinit.Remove(c.dir, queue.RoleWorker, machine); err != nil {
		t.Fatal(err)
	}
	gone["beside"] = queue.RoleWorker
	if _, err := natsinit.Renew(c.dir); err != nil { // keeps them out
		t.Fatal(err)
	}
	c.server.Stop()
	c.serve(t, t.TempDir())
	for file := range gone {
		_, err := queue.Open(within(t), queue.Options{CredsFile: kept + file, Config: queue.DefaultConfig()})
		if !errors.Is(err, queue.ErrUnauthorized) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if err := c.open(t, "gateway").Ensure(within(t)); err != nil {
		t.Error(err)
	}
	c.open(t, "worker-studio")
	nc, violations := c.plain(t, "publisher-alice")
	noViolation(t, nc, violations)
}
