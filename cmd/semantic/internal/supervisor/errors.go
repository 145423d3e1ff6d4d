package supervisor

import "fmt"

// ExitError is a child that will not be started again.
type ExitError struct {
	// Name is the child's name.
	Name string
	// Status is how the last one ended, like "exit status 78" or "signal: killed".
	Status string
	// Failure is the child's own reason; nil if it died without a word.
	Failure *Failure
	// Hung is whether the last one was killed because it gave no sign of life for
	// Config.HangTimeout.
	Hung bool
	// Attempts is how many children in a row died before they were ready.
	Attempts int
}

func (e *ExitError) Error() string {
	switch {
	case e.Failure != nil:
		return fmt.Sprintf("the %s cannot start: %s", e.Name, e.Failure.Message)
	case e.Attempts > 1:
		return fmt.Sprintf("the %s died %d times before it was ready; the last time: %s", e.Name, e.Attempts, e.Status)
	default:
		return fmt.Sprintf("the %s cannot start: %s", e.Name, e.Status)
	}
}
