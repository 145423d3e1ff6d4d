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
func DecodeChatRequest(body []byte, o DecodeOptions) (*Request, []string, error) {
	return decodeRequest(body, o, chatScopes, &Request{
		job: schemas.Job{Version: schemas.Version, Kind: schemas.KindChat},
		api: schemas.API{Format: schemas.FormatOpenAIChat},
	})
}

// DecodeCompletionRequest does the same for a body of POST /v1/completions.
func DecodeCompletionRequest(body []byte, o DecodeOptions) (*Request, []string, error) {
	return decodeRequest(body, o, completionScopes, &Request{
		job: schemas.Job{Version: schemas.Version, Kind: schemas.KindCompletion},
		api: schemas.API{Format: schemas.FormatOpenAICompletions},
	})
}

func decodeRequest(body []byte, o DecodeOptions, table map[string]scope, req *Request) (*Request, []string, error) {
	root, err := strictjson.Parse(body)
	if err != nil {
		return nil, nil, asFieldError(err)
	}
	req.Class = schemas.ClassNormal
	d := &decoder{scopes: table, warn: o.UnknownFields == WarnUnknown, req: req, job: &req.job}
	if err := d.object(root, scopeRequest, nil); err != nil {
		return nil, nil, asFieldError(err)
	}
	if err := d.finish(root); err != nil {
		return nil, nil, asFieldError(err)
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
	req      *Request
	job      *schemas.Job // of req
	// message, part, call and tool are the ones being read.
	message *schemas.Message
	part    *string
	call    *schemas.ToolCall
	tool    *schemas.Tool
	// bestOf is nil where the client gave none.
	bestOf *int
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

// there reports whether a member of the request is there, and not null.
func there(root strictjson.Value, name string) bool {
	v, ok := root.Get(name)
	return ok && v.Kind != strictjson.Null
}

// finish checks what concerns more than one field, and every range.
func (d *decoder) finish(root strictjson.Value) error {
	top := func(name string) *strictjson.Path { return (*strictjson.Path)(nil).Field(name) }
	if there(root, "max_tokens") && there(root, "max_completion_tokens") {
		a, _ := root.Get("max_tokens")
		b, _ := root.Get("max_completion_tokens")
		if x, _ := a.Int(); !isNumber(float64(x))(b) {
			return invalid(top("max_tokens"), "differs from max_completion_tokens; give one of them")
		}
	}
	if there(root, "stream_options") && !d.req.api.Stream {
		return invalid(top("stream_options"), "is only allowed when stream is true")
	}
	if err := d.finishPenalties(root); err != nil {
		return err
	}
	switch d.job.Kind {
	case schemas.KindChat:
		d.finishTools()
	case schemas.KindCompletion:
		if err := d.finishCompletion(); err != nil {
			return err
		}
	}
	err := renamed(d.req.api.Format, d.req.Job().Validate())
	if e := new(schemas.FieldError); errors.As(err, &e) && e.Field == "repeat_penalty" && there(root, "repetition_penalty") {
		e.Field = "repetition_penalty"
		return e
	}
	if last := d.job.RepeatLastN; err == nil && last != nil && *last == 0 {
		// llama.cpp's way to turn every penalty off.
		d.job.RepeatPenalty, d.job.PresencePenalty, d.job.FrequencyPenalty, d.job.RepeatLastN = nil, nil, nil, nil
	}
	return err
}

// finishPenalties tells llama.cpp's repeat_penalty from vLLM's
// repetition_penalty, which looks back over everything.
func (d *decoder) finishPenalties(root strictjson.Value) error {
	wide := there(root, "repetition_penalty")
	if wide && there(root, "repeat_penalty") {
		return invalid((*strictjson.Path)(nil).Field("repetition_penalty"), "is another name of repeat_penalty; give one of them")
	}
	if d.job.RepeatLastN == nil && wide {
		everything := -1
		d.job.RepeatLastN = &everything
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
