package chat

import (
	"errors"
	"fmt"

	"github.com/semantic-worker/semantic/engine/chat/jsonschema"
)

// schema adds the rules of a JSON Schema, or of the one that a pointer leads to in
// it, and returns the name of their root. path is the document's place in the
// request.
func (r *rules) schema(document []byte, pointer, path string) (string, error) {
	text, root, err := jsonschema.RulesAt(document, pointer, r.prefix("schema"))
	if err != nil {
		e := &UnsupportedError{Param: path, Reason: err.Error(), Cause: err}
		var place *jsonschema.Error
		if errors.As(err, &place) {
			e.Reason = fmt.Sprintf("%q %s", place.Path, place.Reason)
		}
		return "", e
	}
	r.text.WriteString(text)
	return root, nil
}
