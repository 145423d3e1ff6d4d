package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/semantic-worker/semantic/queue"
)

// ErrExposed is wrapped by the [Error] of an address that would let other
// machines in without the word that it is meant.
var ErrExposed = errors.New("reachable from other machines")

// Loopback reports whether only this machine reaches the host.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

func (l *Loaded) fault(key, format string, args ...any) error {
	return &Error{Key: key, Source: l.sources[key], Err: fmt.Errorf(format, args...)}
}

// CheckGateway refuses settings of the HTTP gateway that do not go together.
func (l *Loaded) CheckGateway() error {
	switch {
	case l.TLSCert != "" && l.TLSKey == "":
		return l.fault("tls-cert", "needs tls-key too")
	case l.TLSKey != "" && l.TLSCert == "":
		return l.fault("tls-key", "needs tls-cert too")
	}
	keys, err := l.APIKeys()
	if err != nil {
		return err
	}
	if len(keys) > 0 && l.NoAuth {
		return l.fault("no-auth", "contradicts the API key that is set (api-key or api-key-file)")
	}
	if Loopback(l.Host) {
		return nil
	}
	if !l.AllowRemote {
		return l.fault("host", "%s is %w: say --allow-remote, with an API key (--api-key-file or SEMANTIC_API_KEY) or --no-auth",
			l.Host, ErrExposed)
	}
	if len(keys) == 0 && !l.NoAuth {
		return l.fault("host", "%s is %w without a key: set --api-key-file or SEMANTIC_API_KEY, or say --no-auth", l.Host, ErrExposed)
	}
	return nil
}

// AdminOff is the address of an admin interface that is not wanted.
const AdminOff = "off"

// CheckAdmin refuses an admin interface that other machines reach with a key that
// nobody chose for them, and a key for none.
func (l *Loaded) CheckAdmin() error {
	switch l.AdminAddr {
	case "":
		return nil
	case AdminOff:
		if l.AdminKeyFile != "" {
			return l.fault("admin-key-file", "has no meaning with admin-addr: off")
		}
		return nil
	}
	host, _, err := net.SplitHostPort(l.AdminAddr)
	if err != nil {
		return l.fault("admin-addr", "%w", err)
	}
	if l.AdminKeyFile == "" && !Loopback(host) {
		return l.fault("admin-addr", "%s is %w without a key: set --admin-key-file", l.AdminAddr, ErrExposed)
	}
	return nil
}

// CheckEmbeddedNATS refuses an embedded NATS server that anybody could use.
func (l *Loaded) CheckEmbeddedNATS() error {
	if l.Sync == "always" && l.sources["sync-interval"] != "default" {
		return l.fault("sync-interval", "has no meaning with sync: always")
	}
	if l.Cluster != "" {
		for _, key := range []string{"nats-host", "nats-port", "nats-token-file", "no-nats-auth"} {
			if l.sources[key] != "default" {
				return l.fault(key, "has no meaning with cluster: the files in %s say it", l.Cluster)
			}
		}
		return nil
	}
	if l.NATSTokenFile != "" && l.NoNATSAuth {
		return l.fault("no-nats-auth", "contradicts nats-token-file")
	}
	if Loopback(l.NATSHost) || l.NATSTokenFile != "" || l.NoNATSAuth {
		return nil
	}
	return l.fault("nats-host", "%s is %w without a token: set --nats-token-file, or say --no-nats-auth", l.NATSHost, ErrExposed)
}

// CheckPorts refuses one port for two servers.
func (l *Loaded) CheckPorts() error {
	if l.Cluster != "" || l.Port == 0 || l.Port != l.NATSPort || apart(l.Host, l.NATSHost) {
		return nil
	}
	key, other := "nats-port", "the gateway's port too (--port)"
	if l.sources[key] == "default" {
		key, other = "port", "the embedded NATS server's port too (--nats-port)"
	}
	return l.fault(key, "%d is %s: choose another one for one of them, or 0 for any", l.Port, other)
}

// apart is whether two hosts are surely two addresses.
func apart(a, b string) bool {
	x, y := net.ParseIP(a), net.ParseIP(b)
	return x != nil && y != nil && !x.IsUnspecified() && !y.IsUnspecified() && !x.Equal(y)
}

// CheckBackend refuses settings, other than their defaults, that the backend
// would ignore.
func (l *Loaded) CheckBackend() error {
	type unused struct {
		key string
		set bool
	}
	ignored := []unused{{"sim-step", l.SimStep != 0}, {"sim-prefill-rate", l.SimPrefillRate != 0}}
	if l.Backend == "sim" {
		ignored = []unused{{"kv-type", l.KVType != ""}, {"gpu-layers", l.GPULayers != -1}, {"threads", l.Threads != 0}}
	}
	for _, i := range ignored {
		if i.set {
			return l.fault(i.key, "has no meaning with the backend %s", l.Backend)
		}
	}
	return nil
}

// CheckWorker refuses settings of a worker that do not go together: those of
// [Loaded.CheckBackend], and a batch window in which the worker, which has work
// and makes no step, would count as hung.
func (l *Loaded) CheckWorker() error {
	if err := l.CheckBackend(); err != nil {
		return err
	}
	if l.StepTimeout == 0 || l.BatchWindow < l.StepTimeout {
		return nil
	}
	return l.fault("batch-window", "%s is not less than the step-timeout, %s", l.BatchWindow, l.StepTimeout)
}

// CheckNATSClient refuses two identities at once.
func (l *Loaded) CheckNATSClient() error {
	if l.NATSCreds != "" && l.NATSTokenFile != "" {
		return l.fault("nats-creds", "contradicts nats-token-file: a server takes one of them")
	}
	return nil
}

// NATSURL is where the NATS server is: what nats says or, if that is not set,
// the file of nats-creds.
func (l *Loaded) NATSURL() (string, error) {
	if l.NATSCreds == "" || l.sources["nats"] != "default" {
		return l.NATS, nil
	}
	creds, err := queue.ReadCreds(l.NATSCreds)
	if err != nil {
		return "", l.fault("nats-creds", "%w", err)
	}
	if len(creds.Servers) == 0 {
		return l.NATS, nil
	}
	return strings.Join(creds.Servers, ","), nil
}

// APIKeys are the keys that the gateway accepts: of api-key and of the lines
// of api-key-file (# begins a comment). No key means no authentication.
func (l *Loaded) APIKeys() ([]string, error) {
	var keys []string
	if l.APIKey != "" {
		keys = append(keys, l.APIKey)
	}
	if l.APIKeyFile == "" {
		return keys, nil
	}
	text, err := os.ReadFile(l.APIKeyFile)
	if err != nil {
		return nil, l.fault("api-key-file", "%w", err)
	}
	found := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.ContainsAny(line, " \t") {
			return nil, l.fault("api-key-file", "%s: a key has no spaces in it", l.APIKeyFile)
		}
		keys, found = append(keys, line), true
	}
	if !found {
		return nil, l.fault("api-key-file", "%s has no key in it", l.APIKeyFile)
	}
	return keys, nil
}

// NATSToken reads nats-token-file; empty if there is none.
func (l *Loaded) NATSToken() (string, error) {
	if l.NATSTokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(l.NATSTokenFile)
	if err != nil {
		return "", l.fault("nats-token-file", "%w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", l.fault("nats-token-file", "%s: want one token, without spaces", l.NATSTokenFile)
	}
	return token, nil
}
