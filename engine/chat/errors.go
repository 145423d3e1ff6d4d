package chat

import (
	"errors"
	"fmt"
)

// ErrNoTemplate says that the model's file has no chat template.
var ErrNoTemplate = errors.New("the model has no chat template")

// TemplateError reports a template that cannot be parsed or rendered.
type TemplateError struct {
	// Model is the name of the model that the template belongs to.
	Model string
	// Cause is a *RefusedError where the template itself raised it.
	Cause error
}

func (e *TemplateError) Error() string {
	return fmt.Sprintf("chat template of model %q: %v", e.Model, e.Cause)
}

func (e *TemplateError) Unwrap() error { return e.Cause }

// RefusedError is what a template says, with raise_exception, of a conversation
// that it cannot render: roles that do not alternate, a system message where
// the model knows none. It is the client's to mend.
type RefusedError struct {
	// Message is the template's.
	Message string
}

func (e *RefusedError) Error() string { return "it refuses the conversation: " + e.Message }

// UnsupportedError refuses what a request asks for and this model, or its
// template, cannot do. It is the client's to mend.
type UnsupportedError struct {
	// Param is the JSON path of the field at fault, like "tools[2].parameters".
	Param string
	// Reason says why.
	Reason string
	// Cause is a *jsonschema.Error where the fault is in a schema; else nil.
	Cause error
}

func (e *UnsupportedError) Error() string { return e.Param + ": " + e.Reason }

func (e *UnsupportedError) Unwrap() error { return e.Cause }
