package schemas

import (
	"errors"
	"fmt"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// ErrNewerVersion is returned for a document that was written by a newer
// release. It is not wrong, only not readable here: hand it back.
var ErrNewerVersion = errors.New("the document has a newer version than this release reads")

// FieldError is one field that cannot be accepted.
type FieldError struct {
	// Field is the JSON path of the field, like messages[2].content; empty
	// where the document as a whole is at fault.
	Field string
	// Reason says what is wrong, as a sentence part that follows the path.
	Reason string
	// Code is [CodeInvalidRequest], [CodeUnknownParameter] or
	// [CodeUnsupportedParameter].
	Code Code
}

// Error is the path and the reason.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// invalid makes the FieldError of a wrong value.
func invalid(field, format string, args ...any) *FieldError {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...), Code: CodeInvalidRequest}
}

// unsupported makes the FieldError of what no job can have.
func unsupported(field, format string, args ...any) *FieldError {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...), Code: CodeUnsupportedParameter}
}

// fieldError turns what strictjson reports into a FieldError.
func fieldError(err error) error {
	var se *strictjson.Error
	if !errors.As(err, &se) {
		return err
	}
	code := CodeInvalidRequest
	if se.Fault == strictjson.Unknown {
		code = CodeUnknownParameter
	}
	return &FieldError{Field: se.Path, Reason: se.Reason, Code: code}
}
