package gateway

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
)

// spanAttrs describes a request's span, in OpenTelemetry's names where it has
// them. Messages are never among them.
func spanAttrs(c *call, r *http.Request, sent int) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("http.request.method", shown(r.Method)),
		attribute.String("http.route", c.route),
		attribute.Int("http.response.status_code", c.status(sent)),
		attribute.String("semantic.request_id", c.id),
	}
	if c.job != "" {
		attrs = append(attrs,
			attribute.String("semantic.job", c.job),
			attribute.String("semantic.class", string(c.class)),
			attribute.String("gen_ai.request.model", c.model))
	}
	if c.code != "" {
		attrs = append(attrs, attribute.String("error.type", string(c.code)))
	}
	return attrs
}
