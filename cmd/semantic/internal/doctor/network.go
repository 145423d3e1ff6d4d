package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"

	"github.com/semantic-worker/semantic/queue"
)

// standalone is whether the configuration names a NATS server: then the ports
// of `semantic serve` are nobody's concern.
func (e *examination) standalone() bool {
	return e.Config.Source("nats") != "default" || e.Config.NATSCreds != ""
}

func (e *examination) broker(ctx context.Context) {
	if !e.standalone() {
		return
	}
	url, err := e.Config.NATSURL()
	var what string
	if err == nil {
		what, err = e.look(ctx, url)
	}
	switch {
	case err == nil:
		e.ok("nats", "%s answers and allows JetStream; %s", queue.MaskURLs(url), what)
	case errors.Is(err, queue.ErrNoTopology):
		e.ok("nats", "%s answers and allows JetStream; nothing of semantic was there yet", queue.MaskURLs(url))
	default:
		e.failed("nats", err, "")
	}
}

// look says what of semantic is on a NATS server.
func (e *examination) look(ctx context.Context, url string) (what string, err error) {
	ctx, cancel := context.WithTimeout(ctx, brokerBound)
	defer cancel()
	q, err := e.Broker(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, q.Close(context.WithoutCancel(ctx))) }()
	workers, err := q.Workers(ctx)
	if err != nil {
		return "", err
	}
	return plural(len(workers), "worker"), nil
}

// ports checks those that `semantic serve` takes.
func (e *examination) ports(ctx context.Context) {
	if e.standalone() {
		return
	}
	c := e.Config
	e.port(ctx, "http port", "--port", c.Host, c.Port, e.isGateway)
	e.port(ctx, "nats port", "--nats-port", c.NATSHost, c.NATSPort, e.isBroker)
}

// port checks that one can be taken; if not, asks who has it. holder returns
// its name if it is a semantic, else what else is known of it.
func (e *examination) port(ctx context.Context, check, flag, host string, port int, holder func(context.Context, string) (string, bool)) {
	if port == 0 {
		e.ok(check, "any free one")
		return
	}
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err == nil {
		_ = l.Close()
		e.ok(check, "%s is free", addr)
		return
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		e.fail(check, fmt.Sprintf("Choose another address with %s.", flag), "%v", err)
		return
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		addr = net.JoinHostPort("localhost", strconv.Itoa(port))
	}
	if who, ours := holder(ctx, addr); ours {
		e.ok(check, "%s is held by %s", addr, who)
	} else {
		e.fail(check, fmt.Sprintf("Choose another one with %s, or %s 0 for any; or stop that program.", flag, flag),
			"%s is in use by %s", addr, who)
	}
}

const anotherProgram = "another program"

// isGateway asks for the liveness page, which names the release.
func (e *examination) isGateway(ctx context.Context, addr string) (string, bool) {
	scheme := "http"
	if e.Config.TLSCert != "" {
		scheme = "https"
	}
	ctx, cancel := context.WithTimeout(ctx, httpBound)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+addr+"/health/live", nil)
	if err != nil {
		return anotherProgram, false
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return anotherProgram, false
	}
	defer func() { _ = resp.Body.Close() }()
	var live struct {
		Status  string `json:"status"`
		Release string `json:"release"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&live) != nil || live.Status != "ok" || live.Release == "" {
		return anotherProgram, false
	}
	return "a running semantic, " + live.Release, true
}

func (e *examination) isBroker(ctx context.Context, addr string) (string, bool) {
	switch what, err := e.look(ctx, "nats://"+addr); {
	case err == nil:
		return "a running NATS server with semantic's queue, " + what, true
	case errors.Is(err, queue.ErrNoTopology):
		return "a NATS server without semantic's queue", false
	case errors.Is(err, queue.ErrJetStreamUnavailable):
		return "a NATS server without JetStream", false
	case errors.Is(err, queue.ErrUnauthorized):
		return "a NATS server that wants credentials", false
	default:
		return anotherProgram, false
	}
}
