package natsinit

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/semantic-worker/semantic/queue"
)

const (
	// DefaultPort is NATS's own.
	DefaultPort = 4222
	// clusterOffset is what a member's port for the other members is above its
	// port for clients.
	clusterOffset = 2000
	maxPort       = 65535
)

// host is a machine that runs a broker.
type host struct {
	// name is a name or an IP address.
	name string
	port int
	// label names its folder, its server and its users.
	label string
}

// parseHosts reads HOST or HOST:PORT; no host means this machine alone.
func parseHosts(list []string) ([]host, error) {
	if len(list) == 0 {
		list = []string{"localhost"}
	}
	switch len(list) {
	case 1, 3:
	case 2:
		return nil, fmt.Errorf("%w: two hosts: one of two asleep stops both, so a cluster has three members; "+
			"take one host that is always on, or three", ErrInvalid)
	default:
		return nil, fmt.Errorf("%w: %d hosts: a cluster has one member or three", ErrInvalid, len(list))
	}
	hosts := make([]host, len(list))
	seen := make(map[string]bool)
	alone := make(map[string]int)
	for i, text := range list {
		h := host{name: text, port: DefaultPort}
		if name, port, err := net.SplitHostPort(text); err == nil {
			n, err := strconv.Atoi(port)
			if err != nil || n < 1 || n > maxPort-clusterOffset {
				return nil, fmt.Errorf("%w: host %q: want a port of 1 to %d", ErrInvalid, text, maxPort-clusterOffset)
			}
			h.name, h.port = name, n
		}
		if !validHost(h.name) {
			return nil, fmt.Errorf("%w: host %q is neither a name nor an IP address", ErrInvalid, text)
		}
		if seen[h.client()] {
			return nil, fmt.Errorf("%w: host %q is there twice", ErrInvalid, text)
		}
		seen[h.client()] = true
		alone[h.name]++
		hosts[i] = h
	}
	labels := make(map[string]bool)
	for i := range hosts {
		h := &hosts[i]
		h.label = label(h.name)
		if alone[h.name] > 1 {
			h.label += "-" + strconv.Itoa(h.port)
		}
		if labels[h.label] {
			return nil, fmt.Errorf("%w: host %q cannot be told from another by its name", ErrInvalid, h.name)
		}
		labels[h.label] = true
	}
	return hosts, nil
}

func validHost(name string) bool {
	if net.ParseIP(name) != nil {
		return true
	}
	const longest = 253
	if name == "" || len(name) > longest || strings.HasPrefix(name, "-") || strings.HasPrefix(name, ".") {
		return false
	}
	return strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}

// label makes a name that fits a folder and a subject.
func label(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name)), "-")
}

func (h host) client() string  { return net.JoinHostPort(h.name, strconv.Itoa(h.port)) }
func (h host) cluster() string { return net.JoinHostPort(h.name, strconv.Itoa(h.port+clusterOffset)) }

// listen is the address that its server listens on.
func (h host) listen() string {
	if h.name == "localhost" {
		return "127.0.0.1"
	}
	if ip := net.ParseIP(h.name); ip != nil && ip.IsLoopback() {
		return h.name
	}
	return "0.0.0.0"
}

// validName refuses names of users that would not fit a subject or a file.
func validName(name string) error {
	const longest = 64
	if name == "" || len(name) > longest || queue.Slug(name) != name {
		return fmt.Errorf("%w: name %q: want up to %d letters, digits, - and _", ErrInvalid, name, longest)
	}
	return nil
}
