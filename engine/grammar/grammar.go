package grammar

// Grammar is a compiled GBNF grammar. It is immutable and safe for concurrent use.
type Grammar struct{}

// Matcher is a place in a grammar. The zero value is not usable. It is not safe
// for concurrent use.
type Matcher struct{}
