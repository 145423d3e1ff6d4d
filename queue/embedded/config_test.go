package embedded_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/queue/embedded"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A folder's configuration counts, with what it includes, from wherever the
// process was started.
func TestConfigDir(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"nats.conf": "include \"./node.conf\" # this machine\nserver_name: $NODE_NAME\nhost: 127.0.0.1\nport: -1\npid_file: \"./pid\"\n",
		"node.conf": "NODE_NAME: \"mini\"\n",
	})
	s := start(t, embedded.Options{ConfigDir: dir, StoreDir: t.TempDir(), Host: "256.0.0.1", Port: 1})
	if s.Host() != "127.0.0.1" || s.Port() == 0 || s.Members() != 1 {
		t.Errorf("%d members, on %s:%d", s.Members(), s.Host(), s.Port())
	}
	if _, err := os.Stat(filepath.Join(dir, "pid")); err != nil {
		t.Errorf("a path of the folder: %v", err)
	}
}

func TestConfigDirRefused(t *testing.T) {
	cluster := func(routes string) string {
		return "host: 127.0.0.1\nport: -1\ncluster {\nname: c\nhost: 127.0.0.1\nport: -1\nroutes: [" + routes + "]\n}\n"
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no file":          {nil, "nats.conf"},
		"no included file": {map[string]string{"nats.conf": `include "./node.conf"`}, "node.conf"},
		"not readable":     {map[string]string{"nats.conf": "port: {"}, "nats.conf"},
		"unknown key":      {map[string]string{"nats.conf": "prot: 4222"}, "prot"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			_, err := embedded.Start(t.Context(), embedded.Options{ConfigDir: dir, StoreDir: t.TempDir()})
			if !errors.Is(err, embedded.ErrConfig) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
		})
	}
	for n, routes := range map[int]string{
		0: "",
		2: `"nats-route://a:1", "nats-route://b:1"`,
		4: `"nats-route://a:1", "nats-route://b:1", "nats-route://c:1", "nats-route://d:1"`,
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"nats.conf": cluster(routes)})
		_, err := embedded.Start(t.Context(), embedded.Options{ConfigDir: dir, StoreDir: t.TempDir()})
		var members *embedded.MembersError
		if !errors.As(err, &members) || members.Members != n || n == 2 && !strings.Contains(err.Error(), "asleep") {
			t.Errorf("%d members: %v", n, err)
		}
	}
	odd := filepath.Join(t.TempDir(), `a"b`)
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, odd, map[string]string{"nats.conf": "port: -1"})
	if _, err := embedded.Start(t.Context(), embedded.Options{ConfigDir: odd, StoreDir: t.TempDir()}); !errors.Is(err, embedded.ErrConfig) {
		t.Errorf("a folder with a quote in its name: %v", err)
	}
}

// A server without accounts does not open the store of one that has them: it
// would not see a thing.
func TestHiddenStreams(t *testing.T) {
	store := t.TempDir()
	if err := os.MkdirAll(filepath.Join(store, "jetstream", "AACCOUNT", "streams", "EVENTS"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.Start(t.Context(), embedded.Options{Port: -1, StoreDir: store})
	var hidden *embedded.HiddenStreamsError
	if !errors.As(err, &hidden) || len(hidden.Streams) != 1 || hidden.Streams[0] != "EVENTS" || !strings.Contains(err.Error(), store) {
		t.Errorf("error %v", err)
	}
	if err := os.RemoveAll(filepath.Join(store, "jetstream")); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Options{Port: -1, StoreDir: store}) // nothing is left locked
}
