package openai

import (
	"encoding/json"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// typed reads an object whose type, looked at first, must be function where it
// is there: the fields of another one are not unknown.
func (d *decoder) typed(v strictjson.Value, kind string, at *strictjson.Path) error {
	if t, ok := v.Get("type"); ok && t.Kind == strictjson.String {
		if err := readFunctionType(d, t, at.Field("type")); err != nil {
			return err
		}
	}
	return d.object(v, kind, at)
}

var readFunctionType = word("function")

func readTools(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind != strictjson.Array {
		return strictjson.Want(strictjson.Array, v, at)
	}
	for i, item := range v.Items {
		d.job.Tools = append(d.job.Tools, schemas.Tool{})
		d.tool = &d.job.Tools[i]
		if err := d.typed(item, scopeTool, at.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// raw takes an object as it is.
func raw(field func(*decoder) *json.RawMessage) reader {
	return func(d *decoder, v strictjson.Value, at *strictjson.Path) error {
		if v.Kind != strictjson.Object {
			return strictjson.Want(strictjson.Object, v, at)
		}
		*field(d) = v.AppendJSON(nil)
		return nil
	}
}

func readToolChoice(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	d.job.ToolChoice = &schemas.ToolChoice{Mode: schemas.ToolFunction}
	if v.Kind == strictjson.Object {
		return d.typed(v, scopeChoice, at)
	}
	if v.Kind != strictjson.String {
		return invalid(at, "must be a string or an object, not %s", v.Kind)
	}
	switch v.Text {
	case schemas.ToolAuto, schemas.ToolNone, schemas.ToolRequired:
		d.job.ToolChoice.Mode = v.Text
		return nil
	}
	return invalid(at, "must be auto, none, required or an object that names a function, not %s", quoted(v))
}

// finishTools leaves out what means nothing without tools.
func (d *decoder) finishTools() {
	if len(d.job.Tools) > 0 {
		return
	}
	d.job.ParallelToolCalls = nil
	if c := d.job.ToolChoice; c != nil && (c.Mode == schemas.ToolAuto || c.Mode == schemas.ToolNone) {
		d.job.ToolChoice = nil
	}
}

func readParallel(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	d.job.ParallelToolCalls = new(bool)
	return flag(func(d *decoder) *bool { return d.job.ParallelToolCalls })(d, v, at)
}

// readTemplateVars takes an empty list, too, like [readBias].
func readTemplateVars(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if isEmptyMap(v) {
		return nil
	}
	if v.Kind != strictjson.Object {
		return strictjson.Want(strictjson.Object, v, at)
	}
	d.job.TemplateVars = make(map[string]json.RawMessage, len(v.Members))
	for _, m := range v.Members {
		d.job.TemplateVars[m.Name] = m.Value.AppendJSON(nil)
	}
	return nil
}

// readResponseFormat looks at the type first: the other fields of an object
// with an unsupported type are not unknown, only useless.
func readResponseFormat(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if t, ok := v.Get("type"); ok && isWord("grammar", "structural_tag", "regex", "python")(t) {
		return unsupported(at.Field("type"), "%s is not supported; only text, json_object and json_schema are", t.Text)
	}
	d.job.ResponseFormat = &schemas.ResponseFormat{}
	if err := d.object(v, scopeResponseFormat, at); err != nil {
		return err
	}
	of, given := d.job.ResponseFormat.Type, there(v, "json_schema")
	switch {
	case of == schemas.FormatJSONSchema && !given:
		return invalid(at.Field("json_schema"), "is required for the type %s", of)
	case of != schemas.FormatJSONSchema && given:
		return invalid(at.Field("json_schema"), "belongs to the type %s only", schemas.FormatJSONSchema)
	case of == schemas.FormatText:
		d.job.ResponseFormat = nil
	}
	return nil
}
