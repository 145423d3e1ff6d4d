package chat

import "github.com/semantic-worker/semantic/engine/chat/jsonschema"

// SchemaError refuses a JSON Schema, and names the keyword.
type SchemaError = jsonschema.Error

// SchemaLimitError refuses a JSON Schema that is too large.
type SchemaLimitError = jsonschema.LimitError

// SchemaGrammar is a grammar in GBNF, with the rule root, of the JSON values that
// a schema allows. The error is a *[SchemaError] or a *[SchemaLimitError].
func SchemaGrammar(schema []byte) (gbnf string, err error) { return jsonschema.Grammar(schema) }

// JSONObjectGrammar is a grammar in GBNF of any JSON object.
func JSONObjectGrammar() string { return jsonschema.ObjectGrammar() }
