package grammar

import (
	"errors"
	"fmt"
)

// ErrAmbiguous says that a text could be read in too many ways at once to be
// followed; such a text counts as refused. See [Matcher.Err].
var ErrAmbiguous = errors.New("grammar: too ambiguous to be followed")

// SyntaxError is why a text is no usable grammar.
type SyntaxError struct {
	// Line and Column (in characters) count from 1.
	Line, Column int
	Reason       string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("grammar: line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// LimitError refuses a grammar that is bigger than this package handles.
type LimitError struct {
	// What there is too much of, in the plural: "rules".
	What string
	// Limit is the most that is allowed.
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("grammar: more than %d %s", e.Limit, e.What)
}
