package cli

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gofrs/flock"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
)

// Whoever comes first makes the key, whole, for its owner alone; all have the same.
func TestOneAdminKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", adminKeyFile)
	keys := make([]string, 16)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			if err := makeAdminKey(file); err != nil {
				t.Error(err)
			}
			read, err := readAdminKeys(&config.Loaded{}, file)
			if err != nil || len(read) != 1 {
				t.Errorf("%v, %v", read, err)
				return
			}
			keys[i] = read[0].Key
		})
	}
	all.Wait()
	for _, key := range keys {
		if key != keys[0] || len(key) < 43 {
			t.Errorf("keys %q and %q", key, keys[0])
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
	if err := makeAdminKey("/dev/null/admin.key"); err == nil {
		t.Error("a key where none can be")
	}
}

func TestAdminKeyFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	read := func(text string) (string, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := readAdminKeys(&config.Loaded{}, file)
		var all []string
		for _, k := range keys {
			all = append(all, k.Key+"="+k.Name)
		}
		return strings.Join(all, " "), err
	}
	if got, err := read("# ours\n\nfirst anna\n  second\t \n"); err != nil || got != "first=anna second=" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "# none\n", "a b c\n"} {
		if got, err := read(bad); err == nil {
			t.Errorf("%q gives %q", bad, got)
		}
	}
}

// What a server that is gone has left is not believed: the key would go to whoever
// listens there now.
func TestStaleAdminAddress(t *testing.T) {
	dir := t.TempDir()
	var asked atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stranger := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })}
	var serving sync.WaitGroup
	serving.Go(func() { _ = stranger.Serve(l) })
	defer serving.Wait()
	defer func() { _ = stranger.Close() }()
	url := "http://" + l.Addr().String()
	if err := os.WriteFile(filepath.Join(dir, adminURLFile), []byte(url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := localAdmin(dir); err == nil {
		t.Errorf("found %s", got)
	}
	held := flock.New(filepath.Join(dir, adminLockFile))
	if ok, err := held.TryLock(); err != nil || !ok {
		t.Fatal(err)
	}
	if got, err := localAdmin(dir); err != nil || got != url {
		t.Errorf("of a server that lives: %q, %v", got, err)
	}
	if err := held.Unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := localAdmin(dir); err == nil || asked.Load() != 0 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}

// A key goes to the place that was named, not to where that sends it on.
func TestAdminKeyDoesNotTravel(t *testing.T) {
	var leaked atomic.Int64
	serve := func(h http.HandlerFunc) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: h}
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close(); <-done })
		return "http://" + l.Addr().String()
	}
	thief := serve(func(http.ResponseWriter, *http.Request) { leaked.Add(1) })
	client := &adminClient{base: serve(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief+r.URL.Path, http.StatusTemporaryRedirect)
	}), key: "k"}
	if err := client.do(t.Context(), http.MethodGet, "log-level", nil, new(levelAnswer)); err == nil || leaked.Load() != 0 {
		t.Errorf("%v; the key went on %d times", err, leaked.Load())
	}
}

// The port above the gateway's, or another.
func TestBesideGateway(t *testing.T) {
	first, err := besideGateway(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	taken := first.Addr().(*net.TCPAddr).Port
	second, err := besideGateway(t.Context(), taken-1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if got := second.Addr().(*net.TCPAddr); got.Port == taken || !got.IP.IsLoopback() {
		t.Errorf("listens on %v", got)
	}
}

// Loopback is announced as it is; what listens everywhere by the machine's name.
func TestAnnouncedMetrics(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1": "127.0.0.1:9", "0.0.0.0": net.JoinHostPort(hostName(), "9"), "::": net.JoinHostPort(hostName(), "9"), "::1": "[::1]:9",
		"192.168.1.5": "192.168.1.5:9",
	} {
		if got := announced(&net.TCPAddr{IP: net.ParseIP(host), Port: 9}); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
