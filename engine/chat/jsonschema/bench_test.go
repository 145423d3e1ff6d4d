package jsonschema_test

import (
	"testing"

	"github.com/semantic-worker/semantic/engine/chat/jsonschema"
)

// BenchmarkGrammar is what a request pays once: a schema of ordinary size, and
// an email address as zod writes it, whose pattern and format are intersected.
func BenchmarkGrammar(b *testing.B) {
	for name, schema := range map[string]string{
		"tool": `{"type":"object","properties":{"query":{"type":"string","maxLength":200},"limit":{"type":"integer","minimum":1,"maximum":50},
			"sort":{"enum":["new","old"]},"tags":{"type":"array","items":{"type":"string"}},"since":{"type":"string","format":"date-time"}},
			"required":["query"],"additionalProperties":false}`,
		"email": `{"type":"string","format":"email","pattern":` +
			`"^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"}`,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				text, err := jsonschema.Grammar([]byte(schema))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(text)), "grammar-bytes")
			}
		})
	}
}
