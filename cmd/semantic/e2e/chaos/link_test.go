package chaos

import (
	"fmt"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// link is the way of one process to the broker.
type link struct {
	proxy    *toxiproxy.Proxy
	up, down *gate
}

func newLink(name, upstream string) (*link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l := &link{proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}
	toxics.Register("gate", new(gate))
	for stream, g := range map[string]**gate{"upstream": &l.up, "downstream": &l.down} {
		toxic, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(`{"type": "gate", "stream": "` + stream + `"}`))
		if err != nil {
			return nil, fmt.Errorf("link of %s: %w", name, err)
		}
		*g = toxic.Toxic.(*gate)
	}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("link of %s: %w", name, err)
	}
	return l, nil
}

func (l *link) url() string { return "nats://" + l.proxy.Listen }

// cut ends every connection, and refuses new ones until mend.
func (l *link) cut() { l.proxy.Stop() }

func (l *link) mend() error { return l.proxy.Start() }

// hang lets nothing through, and closes nothing, until heal. What is on its way
// then arrives, as with TCP.
func (l *link) hang() {
	l.up.set(make(chan struct{}), 0)
	l.down.set(make(chan struct{}), 0)
}

// slow delays everything.
func (l *link) slow(d time.Duration) {
	l.up.set(nil, d)
	l.down.set(nil, d)
}

func (l *link) heal() {
	l.up.set(nil, 0)
	l.down.set(nil, 0)
}

// gate is a toxic that is always there: toxics that come and go lose data where a
// connection was stuck.
type gate struct {
	mu    sync.Mutex
	shut  chan struct{} // closed when it opens; nil while it is open
	delay time.Duration
}

func (g *gate) set(shut chan struct{}, delay time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
	}
	g.shut, g.delay = shut, delay
}

// Pipe implements toxics.Toxic.
func (g *gate) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			g.mu.Lock()
			shut, delay := g.shut, g.delay
			g.mu.Unlock()
			if shut != nil {
				<-shut
			}
			if delay > 0 {
				<-time.After(delay)
			}
			stub.Output <- c
		}
	}
}
