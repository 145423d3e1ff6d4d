package jsonschema

import "fmt"

// Error refuses a schema: because of a keyword that cannot be kept, that is
// malformed, or that leaves no value at all. It is the client's to mend.
type Error struct {
	// Path is the JSON pointer of the keyword in the schema, such as
	// "/properties/name/not"; empty for the schema as a whole.
	Path string
	// Keyword is the last keyword of the path; empty for the schema as a whole.
	Keyword string
	// Reason completes "the schema at PATH ...".
	Reason string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return "JSON Schema: the schema " + e.Reason
	}
	return fmt.Sprintf("JSON Schema: %q %s", e.Path, e.Reason)
}

// LimitError refuses a schema that is too large, or whose combinations are.
type LimitError struct {
	// Limit says what is bounded: "bytes", "depth", "rules"...
	Limit string
	// Max is the bound.
	Max int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("JSON Schema: more than %d %s", e.Max, e.Limit)
}

const (
	maxBytes        = 256 << 10 // of a schema's text
	maxDepth        = 128       // nested arrays and objects in a schema's text
	maxAlternatives = 512       // of one goal: the product of its anyOf and oneOf
	maxGoals        = 10_000
	maxRules        = 10_000
	maxGrammarBytes = 1 << 20
	maxSteps        = 200_000 // of the search for branches of oneOf that exclude each other
)
