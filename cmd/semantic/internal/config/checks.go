package config

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/queue"
)

// areReplyPrefixes leaves the judgement to the queue, which honours them.
func areReplyPrefixes(value any) error {
	c := queue.DefaultConfig()
	c.ReplyPrefixes = value.([]string)
	return c.Validate()
}

// isReplicas leaves the judgement to the queue.
func isReplicas(value any) error {
	c := queue.DefaultConfig()
	c.Replicas = value.(int)
	return c.Validate()
}

func isLevel(value any) error {
	_, err := telemetry.ParseLevel(value.(string))
	return err
}

func oneOf(allowed ...string) func(any) error {
	return func(value any) error {
		if slices.Contains(allowed, value.(string)) {
			return nil
		}
		shown := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
		return fmt.Errorf("%q is not one of %s", value, strings.Join(shown, ", "))
	}
}

func between(low, high int) func(any) error {
	return func(value any) error {
		if v := value.(int); v < low || v > high {
			return fmt.Errorf("%d is not between %d and %d", v, low, high)
		}
		return nil
	}
}

// isFactor allows what lets a step take longer than without it.
func isFactor(value any) error {
	const most = 1000
	if v := value.(float64); !(v > 1 && v <= most) {
		return fmt.Errorf("%v is not more than 1 and at most %d", v, most)
	}
	return nil
}

// isShare allows parts of a whole.
func isShare(value any) error {
	if v := value.(float64); !(v > 0 && v <= 1) {
		return fmt.Errorf("%v is not above 0 and at most 1", v)
	}
	return nil
}

func atLeast(low time.Duration) func(any) error {
	return func(value any) error {
		if v := value.(time.Duration); v < low {
			return fmt.Errorf("%s is less than %s", v, low)
		}
		return nil
	}
}

// leastWatch is the least time after which something counts as hung: what is
// shorter mistakes a process for dead that only waits for a core.
const leastWatch = 100 * time.Millisecond

func zeroOrAtLeast(low time.Duration) func(any) error {
	return func(value any) error {
		if v := value.(time.Duration); v != 0 && v < low {
			return fmt.Errorf("%s is less than %s, and not 0 either", v, low)
		}
		return nil
	}
}

func within(low, high time.Duration) func(any) error {
	return func(value any) error {
		if v := value.(time.Duration); v < low || v > high {
			return fmt.Errorf("%s is not between %s and %s", v, low, high)
		}
		return nil
	}
}

func isHost(value any) error {
	host := value.(string)
	if host == "" || strings.ContainsAny(host, "/ ") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return fmt.Errorf("%q is not an address: give a name or an IP address without a port", host)
	}
	return nil
}

func isListen(value any) error {
	addr := value.(string)
	if addr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not an ADDRESS:PORT", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is not a port", port)
	}
	return nil
}

func isAdminAddr(value any) error {
	if value == AdminOff {
		return nil
	}
	return isListen(value)
}

func isNATSURL(value any) error {
	for part := range strings.SplitSeq(value.(string), ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Host == "" {
			return fmt.Errorf("%q is not a NATS URL like nats://127.0.0.1:4222", queue.MaskURLs(part))
		}
		if !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return fmt.Errorf("%q: scheme %s is not nats, tls, ws or wss", queue.MaskURLs(part), u.Scheme)
		}
	}
	return nil
}

func isHTTPURL(value any) error {
	text := value.(string)
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is not a URL like http://127.0.0.1:8000", text)
	}
	return nil
}

func areOrigins(value any) error {
	for _, origin := range value.([]string) {
		u, err := url.Parse(origin)
		if origin == "*" || err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && (u.Path == "" || u.Path == "/") {
			continue
		}
		return fmt.Errorf("%q is not an origin like https://chat.example.org", origin)
	}
	return nil
}

func areAliases(value any) error {
	for i, a := range value.([]Alias) {
		if _, err := path.Match(a.Pattern, ""); err != nil || a.Pattern == "" {
			return fmt.Errorf("[%d].pattern: %q is not a name or a pattern like gpt-*", i, a.Pattern)
		}
		if a.Model == "" {
			return fmt.Errorf("[%d].model is empty", i)
		}
	}
	return nil
}
