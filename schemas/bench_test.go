package schemas_test

import (
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

// BenchmarkEvent is what every token costs a worker and a gateway.
func BenchmarkEvent(b *testing.B) {
	e := schemas.Event{
		Job: "0123456789abcdef0123456789abcdef", N: 42, Type: schemas.EventDelta,
		Delta: &schemas.Delta{Output: schemas.Output{Tokens: []int32{12345}, Text: " token"}},
	}
	data, err := schemas.EncodeEvent(e)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := schemas.EncodeEvent(e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := schemas.DecodeEvent(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
