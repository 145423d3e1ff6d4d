package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/gateway"
	"github.com/semantic-worker/semantic/schemas"
)

// Files of the admin interface in the data directory.
const (
	adminKeyFile = "admin.key"
	// adminURLFile says where the interface is; it is true as long as somebody has
	// the lock of adminLockFile, so that no command shows its key to a stranger that
	// listens there later.
	adminURLFile  = "admin.url"
	adminLockFile = "admin.lock"
)

// adminStop is how long the interface's open requests may take at a stop.
const adminStop = 3 * time.Second

// serveAdmin serves the admin interface of a front's gateway where the configuration
// says, and returns its URL; empty for none. Its end is added to down.
func (a *app) serveAdmin(ctx context.Context, c *config.Loaded, f *front, dataDir string, down *teardown) (string, error) {
	if c.AdminAddr == config.AdminOff {
		return "", nil
	}
	file := c.AdminKeyFile
	if file == "" {
		file = filepath.Join(dataDir, adminKeyFile)
		if err := makeAdminKey(file); err != nil && c.AdminAddr == "" {
			// Nobody asked for it by name, and a gateway needs no data directory.
			a.Log.Warn("no admin interface: its key cannot be kept; --admin-key-file names another place", schemas.LogError, err)
			return "", nil
		} else if err != nil {
			return "", withHint(fmt.Errorf("admin interface: %w", err), "--admin-key-file names another file.")
		}
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		a.Log.Warn("others on this machine may read the keys of the admin interface", schemas.LogFile, file)
	}
	keys, err := readAdminKeys(c, file)
	if err != nil {
		return "", err
	}
	l, url, err := a.listenAdmin(ctx, c, f)
	if err != nil {
		return "", err
	}
	admin, err := gateway.NewAdmin(f.gateway, gateway.AdminOptions{Keys: keys, Level: a.Level, Host: hostName()})
	if err != nil {
		return "", errors.Join(err, l.Close())
	}
	server := gateway.NewAdminHTTPServer(admin)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.Log.Error("the admin interface ended", schemas.LogError, err)
		}
	}()
	down.add("stop the admin interface", adminStop+time.Second, func(ctx context.Context) error {
		bounded, cancel := context.WithTimeout(ctx, adminStop)
		defer cancel()
		err := server.Shutdown(bounded)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		<-served
		return err
	})
	a.tellAdmin(ctx, dataDir, url, down)
	a.Log.Info("admin interface listening", schemas.LogURL, url)
	return url, nil
}

// listenAdmin takes the interface's port. It speaks TLS where other machines reach it
// and the gateway does.
func (a *app) listenAdmin(ctx context.Context, c *config.Loaded, f *front) (net.Listener, string, error) {
	if c.AdminAddr == "" {
		l, err := besideGateway(ctx, c.Port)
		if err != nil {
			return nil, "", withHint(fmt.Errorf("admin interface: %w", err), "--admin-addr says where it listens; off for none.")
		}
		return l, "http://" + l.Addr().String(), nil
	}
	l, err := listen(ctx, c.AdminAddr)
	if err != nil {
		return nil, "", withHint(fmt.Errorf("admin interface: %w", err), "Choose another --admin-addr.")
	}
	host, _, err := net.SplitHostPort(c.AdminAddr)
	if err != nil {
		return nil, "", errors.Join(err, l.Close())
	}
	scheme := "http"
	if !config.Loopback(host) {
		if f.tls == nil {
			a.Log.Warn("the admin interface is reachable from other machines without TLS: its key goes over the network in clear text",
				schemas.LogAddress, l.Addr().String())
		} else {
			l, scheme = tls.NewListener(l, f.tls), "https"
		}
	}
	return l, scheme + "://" + reachable(host, l.Addr().(*net.TCPAddr).Port), nil
}

// besideGateway listens on the port above the gateway's or, where that is taken or
// not known beforehand, on any.
func besideGateway(ctx context.Context, port int) (net.Listener, error) {
	const loopback = "127.0.0.1"
	if port > 0 && port < 65535 {
		if l, err := listen(ctx, net.JoinHostPort(loopback, strconv.Itoa(port+1))); err == nil {
			return l, nil
		}
	}
	return listen(ctx, net.JoinHostPort(loopback, "0"))
}

// tellAdmin writes where the interface is for commands on this machine, unless
// another process with the same data directory has done so.
func (a *app) tellAdmin(ctx context.Context, dataDir, url string, down *teardown) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		a.Log.Warn("commands do not find the admin interface: give them --admin-url", schemas.LogURL, url, schemas.LogError, err)
		return
	}
	lock := flock.New(filepath.Join(dataDir, adminLockFile), flock.SetPermissions(0o600))
	file := filepath.Join(dataDir, adminURLFile)
	bounded, cancel := context.WithTimeout(ctx, time.Second) // a command may look just now
	defer cancel()
	if _, err := lock.TryLockContext(bounded, 10*time.Millisecond); err != nil {
		a.Log.Info("commands find another process's admin interface: give them this one's with --admin-url", schemas.LogURL, url)
		return
	}
	down.add("forget the admin interface", time.Second, func(context.Context) error {
		return errors.Join(os.Remove(file), unlock(lock))
	})
	if err := writeWhole(file, []byte(url+"\n")); err != nil {
		a.Log.Warn("commands do not find the admin interface: give them --admin-url", schemas.LogURL, url, schemas.LogError, err)
	}
}

// writeWhole replaces a file, which its owner alone reads.
func writeWhole(file string, text []byte) error {
	next := file + ".new"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := os.Rename(next, file); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// makeAdminKey makes a key, unless there is one: whole, or not at all.
func makeAdminKey(file string) error {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("make its key: %w", err)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	next, err := os.CreateTemp(filepath.Dir(file), adminKeyFile+".*")
	if err != nil {
		return fmt.Errorf("make its key: %w", err)
	}
	defer func() { _ = os.Remove(next.Name()) }()
	_, err = next.WriteString("sa-semantic-" + base64.RawURLEncoding.EncodeToString(secret) + "\n")
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return fmt.Errorf("make its key: %w", err)
	}
	// Who came first has made the one that both use.
	if err := os.Link(next.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make its key: %w", err)
	}
	return nil
}

// readAdminKeys reads a file of keys: one a line, a name behind it or not; # begins a
// comment.
func readAdminKeys(c *config.Loaded, file string) ([]gateway.AdminKey, error) {
	bad := func(format string, args ...any) error {
		return &config.Error{Key: "admin-key-file", Source: c.Source("admin-key-file"), Err: fmt.Errorf(format, args...)}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, bad("%w", err)
	}
	var keys []gateway.AdminKey
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 0, strings.HasPrefix(fields[0], "#"):
		case len(fields) > 2:
			return nil, bad("%s: line %d: want a key, and a name behind it or not", file, n)
		default:
			key := gateway.AdminKey{Key: fields[0]}
			if len(fields) == 2 {
				key.Name = fields[1]
			}
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, bad("%s has no key in it", file)
	}
	return keys, nil
}
