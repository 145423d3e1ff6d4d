package jsonschema_test

import (
	"errors"
	"testing"

	"github.com/semantic-worker/semantic/engine/chat/jsonschema"
	"github.com/semantic-worker/semantic/engine/grammar"
)

// FuzzGrammar: whatever a client sends is a typed error or a grammar that
// parses.
func FuzzGrammar(f *testing.F) {
	for _, c := range readCases(f) {
		f.Add([]byte(c.schema))
	}
	f.Fuzz(func(t *testing.T, schema []byte) {
		text, err := jsonschema.Grammar(schema)
		if err != nil {
			refused, limit := new(jsonschema.Error), new(jsonschema.LimitError)
			if !errors.As(err, &refused) && !errors.As(err, &limit) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if _, err := grammar.Parse(text); err != nil && !errors.As(err, new(*grammar.LimitError)) {
			t.Fatalf("%v\n%s\n%s", err, schema, text)
		}
	})
}
