package chaos

import (
	"context"
	"fmt"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// link is the way of one process to the broker.
type link struct{ proxy *toxiproxy.Proxy }

func newLink(name, upstream string) (*link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l := &link{proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("link of %s: %w", name, err)
	}
	return l, nil
}

func (l *link) url() string { return "nats://" + l.proxy.Listen }

// cut ends every connection, and refuses new ones until mend.
func (l *link) cut() { l.proxy.Stop() }

func (l *link) mend() error { return l.proxy.Start() }

// The toxics of a link that hangs, and of one that is slow. What is on its way
// while a link hangs arrives when it does no more, as with TCP.
var (
	hanging = []string{
		`{"name": "hang-up", "type": "latency", "stream": "upstream", "attributes": {"latency": 3600000}}`,
		`{"name": "hang-down", "type": "latency", "stream": "downstream", "attributes": {"latency": 3600000}}`,
	}
	slow = []string{
		`{"name": "late-up", "type": "latency", "stream": "upstream", "attributes": {"latency": 40, "jitter": 30}}`,
		`{"name": "late-down", "type": "latency", "stream": "downstream", "attributes": {"latency": 40, "jitter": 30}}`,
		`{"name": "narrow", "type": "bandwidth", "stream": "upstream", "attributes": {"rate": 128}}`,
	}
)

func (l *link) poison(toxics []string) error {
	for _, toxic := range toxics {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return fmt.Errorf("toxic: %w", err)
		}
	}
	return nil
}

func (l *link) heal(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }
