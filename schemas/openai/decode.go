package openai

import (
	"errors"
	"fmt"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// DecodeChatRequest reads a body of POST /v1/chat/completions. With
// [WarnUnknown] it also returns the paths of the fields that it ignored. Its
// errors are all [*schemas.FieldError], for the first fault in the order of
// the document; [RequestError] turns them into an answer.
func DecodeChatRequest(body []byte, o DecodeOptions) (*ChatRequest, []string, error) {
	root, err := strictjson.Parse(body)
	if err != nil {
		return nil, nil, asFieldError(err)
	}
	d := &decoder{scopes: scopes, warn: o.UnknownFields == WarnUnknown, req: &ChatRequest{Class: schemas.ClassNormal}}
	if err := d.object(root, scopeRequest, nil); err != nil {
		return nil, nil, asFieldError(err)
	}
	if err := d.finish(root); err != nil {
		return nil, nil, err
	}
	return d.req, d.warnings, nil
}

// decoder reads one request.
type decoder struct {
	// scopes is the table. It is reached through the decoder only, because the
	// table's rows refer to the decoder's methods.
	scopes   map[string]scope
	warn     bool
	warnings []string
	req      *ChatRequest
	// message and part are the ones being read.
	message *schemas.Message
	part    *string
}

// object reads the members of v by the table's rows for this kind of object.
func (d *decoder) object(v strictjson.Value, kind string, at *strictjson.Path) error {
	if v.Kind != strictjson.Object {
		return strictjson.Want(strictjson.Object, v, at)
	}
	rows := d.scopes[kind]
	for i := range v.Members {
		m := &v.Members[i]
		if err := d.parameter(rows.byName[m.Name], m.Value, at.Field(m.Name)); err != nil {
			return err
		}
	}
	for _, name := range rows.required {
		if _, ok := v.Get(name); !ok {
			return invalid(at.Field(name), "is required")
		}
	}
	return nil
}

func (d *decoder) parameter(p *Parameter, v strictjson.Value, at *strictjson.Path) error {
	switch {
	case p == nil && d.warn:
		d.warnings = append(d.warnings, at.String())
		return nil
	case p == nil:
		return &schemas.FieldError{Field: at.String(), Reason: "is not a known parameter", Code: schemas.CodeUnknownParameter}
	case v.Kind == strictjson.Null && !p.Required:
		return nil
	case v.Kind == strictjson.Null && p.read == nil:
		return invalid(at, "must not be null")
	case p.read != nil:
		return p.read(d, v, at)
	case p.neutral(v):
		return nil
	}
	return unsupported(at, "%s", p.refusal())
}

// refusal is the reason that a client reads.
func (p *Parameter) refusal() string {
	if p.Disposition == NeutralOnly {
		return fmt.Sprintf("is not supported: %s; only %s is accepted", p.Note, p.Accepts)
	}
	return "is not supported: " + p.Note
}

// finish checks what concerns more than one field, and every range.
func (d *decoder) finish(root strictjson.Value) error {
	r := d.req
	limit, hasLimit := root.Get("max_tokens")
	completion, hasCompletion := root.Get("max_completion_tokens")
	if hasLimit && hasCompletion && limit.Kind == strictjson.Number && completion.Kind == strictjson.Number {
		a, _ := limit.Int()
		if b, _ := completion.Int(); a != b {
			return invalid((*strictjson.Path)(nil).Field("max_tokens"), "differs from max_completion_tokens; give one of them")
		}
	}
	if o, ok := root.Get("stream_options"); ok && o.Kind != strictjson.Null && !r.Stream {
		return invalid((*strictjson.Path)(nil).Field("stream_options"), "is only allowed when stream is true")
	}
	if err := r.Job().Validate(); err != nil {
		return asFieldError(err)
	}
	return nil
}

func asFieldError(err error) error {
	var se *strictjson.Error
	if errors.As(err, &se) {
		return &schemas.FieldError{Field: se.Path, Reason: se.Reason, Code: schemas.CodeInvalidRequest}
	}
	return err
}

func invalid(at *strictjson.Path, format string, args ...any) error {
	return &schemas.FieldError{Field: at.String(), Reason: fmt.Sprintf(format, args...), Code: schemas.CodeInvalidRequest}
}

func unsupported(at *strictjson.Path, format string, args ...any) error {
	return &schemas.FieldError{Field: at.String(), Reason: fmt.Sprintf(format, args...), Code: schemas.CodeUnsupportedParameter}
}
