package queue

import (
	"context"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
)

// carryTrace writes the trace context of ctx into a message's header.
func carryTrace(ctx context.Context, header nats.Header) {
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
	// nats.Header keeps names as written, and the carrier canonicalises them;
	// the contract's name is lower case.
	for _, name := range []string{"traceparent", "tracestate"} {
		canonical := strings.ToUpper(name[:1]) + name[1:]
		if values := header.Values(canonical); len(values) > 0 {
			header.Del(canonical)
			header.Set(name, values[0])
		}
	}
}

// redact removes passwords from the URLs of a connection string.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, one := range list {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil {
			list[i] = u.Redacted()
		}
	}
	return strings.Join(list, ",")
}
