package openai

import (
	"math"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// reader takes one value into the request.
type reader = func(*decoder, strictjson.Value, *strictjson.Path) error

// ofKind accepts every value of one kind and takes none.
func ofKind(k strictjson.Kind) reader {
	return func(_ *decoder, v strictjson.Value, at *strictjson.Path) error {
		if v.Kind != k {
			return strictjson.Want(k, v, at)
		}
		return nil
	}
}

func anything(*decoder, strictjson.Value, *strictjson.Path) error { return nil }

func text(field func(*decoder) *string) reader {
	return func(d *decoder, v strictjson.Value, at *strictjson.Path) error {
		if v.Kind != strictjson.String {
			return strictjson.Want(strictjson.String, v, at)
		}
		*field(d) = v.Text
		return nil
	}
}

func flag(field func(*ChatRequest) *bool) reader {
	return func(d *decoder, v strictjson.Value, at *strictjson.Path) error {
		if v.Kind != strictjson.Bool {
			return strictjson.Want(strictjson.Bool, v, at)
		}
		*field(d.req) = v.True()
		return nil
	}
}

// number leaves the range, 0 … most, to [schemas.Job.Validate], but for what no
// float64 holds.
func number(most float64, field func(*ChatRequest) **float64) reader {
	return func(d *decoder, v strictjson.Value, at *strictjson.Path) error {
		f, ok := v.Float()
		switch {
		case v.Kind != strictjson.Number:
			return strictjson.Want(strictjson.Number, v, at)
		case !ok:
			return invalid(at, "must be 0 … %g, not %s", most, v.Short())
		}
		*field(d.req) = &f
		return nil
	}
}

// integer reads an integer that is least … most.
func integer(v strictjson.Value, at *strictjson.Path, least, most int64) (int64, error) {
	if v.Kind != strictjson.Number {
		return 0, strictjson.Want(strictjson.Number, v, at)
	}
	i, exact := v.Int()
	f, finite := v.Float()
	switch {
	case exact && least <= i && i <= most:
		return i, nil
	case exact, !finite, f <= float64(least), f >= float64(most):
		return 0, invalid(at, "must be %d … %d, not %s", least, most, v.Short())
	}
	return 0, invalid(at, "must be an integer, not %s", v.Short())
}

func readSeed(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	i, err := integer(v, at, math.MinInt64, math.MaxInt64)
	d.req.Seed = &i
	return err
}

// readTopK takes vLLM's −1, which is "all" like 0.
func readTopK(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	i, err := integer(v, at, -1, math.MaxInt32)
	if err != nil || i == -1 {
		return err
	}
	k := int(i)
	d.req.TopK = &k
	return nil
}

func readMaxTokens(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	i, err := integer(v, at, 1, math.MaxInt32)
	if err != nil {
		return err
	}
	n := int(i)
	d.req.MaxTokens = &n
	return nil
}

func readStop(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind == strictjson.String {
		if v.Text == "" {
			return invalid(at, "must not be empty")
		}
		d.req.Stop = []string{v.Text}
		return nil
	}
	if v.Kind != strictjson.Array {
		return invalid(at, "must be a string or a list of strings, not %s", v.Kind)
	}
	for i, item := range v.Items {
		if item.Kind != strictjson.String {
			return strictjson.Want(strictjson.String, item, at.Index(i))
		}
		d.req.Stop = append(d.req.Stop, item.Text)
	}
	return nil
}

func readServiceTier(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind != strictjson.String {
		return strictjson.Want(strictjson.String, v, at)
	}
	switch v.Text {
	case "auto", "default":
		d.req.Class = schemas.ClassNormal
	case "flex":
		d.req.Class = schemas.ClassBatch
	case "priority", "fast":
		d.req.Class = schemas.ClassInteractive
	default:
		return unsupported(at, "must be auto, default, flex, priority or fast")
	}
	return nil
}

func readStreamOptions(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	return d.object(v, scopeStreamOptions, at)
}

// readResponseFormat looks at the type first: the other fields of an object
// with an unsupported type are not unknown, only useless.
func readResponseFormat(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if t, ok := v.Get("type"); ok && isWord("json_object", "json_schema", "grammar", "structural_tag")(t) {
		return unsupported(at, "is not supported: structured output is not built yet; only {\"type\": \"text\"} is accepted")
	}
	return d.object(v, scopeResponseFormat, at)
}

func readMessages(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind != strictjson.Array {
		return strictjson.Want(strictjson.Array, v, at)
	}
	d.req.Messages = make([]schemas.Message, len(v.Items))
	for i, item := range v.Items {
		d.message = &d.req.Messages[i]
		if err := d.readMessage(item, at.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) readMessage(v strictjson.Value, at *strictjson.Path) error {
	if err := d.object(v, scopeMessage, at); err != nil {
		return err
	}
	// A null content passes for tool calls; those were refused by now.
	if c, ok := v.Get("content"); !ok || c.Kind == strictjson.Null {
		return invalid(at.Field("content"), "is required")
	}
	switch id, ok := v.Get("tool_call_id"); {
	case d.message.Role == schemas.RoleTool && (!ok || id.Text == ""):
		return invalid(at.Field("tool_call_id"), "is required in a message of role tool")
	case d.message.Role != schemas.RoleTool && ok && id.Kind != strictjson.Null:
		return invalid(at.Field("tool_call_id"), "belongs to messages of role tool only")
	}
	return nil
}

func readRole(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind != strictjson.String {
		return strictjson.Want(strictjson.String, v, at)
	}
	if v.Text == "function" {
		return unsupported(at, "function is not supported: functions are not built yet")
	}
	d.message.Role = schemas.Role(v.Text) // its range is checked with the job's
	return nil
}

func readContent(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	switch v.Kind {
	case strictjson.String:
		d.message.Content = v.Text
		return nil
	case strictjson.Array:
	default:
		return invalid(at, "must be a string or a list of parts, not %s", v.Kind)
	}
	if len(v.Items) == 0 {
		return invalid(at, "must hold at least one part")
	}
	var joined strings.Builder
	for i, item := range v.Items {
		part, err := d.readPart(item, at.Index(i))
		if err != nil {
			return err
		}
		joined.WriteString(part)
	}
	d.message.Content = joined.String()
	return nil
}

// readPart looks at the type first: the fields of an image are not unknown.
func (d *decoder) readPart(v strictjson.Value, at *strictjson.Path) (string, error) {
	t, ok := v.Get("type")
	if ok && t.Kind == strictjson.String && t.Text != "text" {
		return "", unsupported(at.Field("type"), "is not supported: only parts of type text are read")
	}
	var part string
	d.part = &part
	err := d.object(v, scopePart, at)
	return part, err
}
