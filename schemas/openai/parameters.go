package openai

import (
	"slices"
	"strings"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// Disposition says what becomes of a parameter.
type Disposition string

// The dispositions. A null is accepted, as if the field were not there, for
// every parameter that is not required.
const (
	// Honoured: does what it says.
	Honoured Disposition = "honoured"
	// Bookkeeping: accepted with any value of its type; changes no answer.
	Bookkeeping Disposition = "bookkeeping"
	// NeutralOnly: accepted with a value that changes nothing; any other is
	// refused with unsupported_parameter.
	NeutralOnly Disposition = "neutral only"
	// Refused: refused with unsupported_parameter.
	Refused Disposition = "refused"
)

// Parameter is one row of the table of parameters.
type Parameter struct {
	// Name is the path of the parameter, like stream_options.include_usage or
	// messages[].role.
	Name string
	// Origin names who defined it: OpenAI, or the server or client family that
	// extended its dialect.
	Origin string
	// Disposition says what becomes of it.
	Disposition Disposition
	// Accepts describes the values that are accepted.
	Accepts string
	// Note is what it does here, or why it is refused.
	Note string
	// Required: its object is refused without it.
	Required bool

	// read takes an honoured value, or checks the type of a bookkeeping one.
	read func(*decoder, strictjson.Value, *strictjson.Path) error
	// neutral tells values that change nothing.
	neutral func(strictjson.Value) bool
}

// Parameters is the table of every parameter of POST /v1/chat/completions
// that is known, OpenAI's first.
func Parameters() []Parameter { return slices.Clone(chatTable) }

// CompletionParameters is the same for POST /v1/completions.
func CompletionParameters() []Parameter { return slices.Clone(completionTable) }

// Scopes of nested objects in the names of parameters.
const (
	scopeRequest        = ""
	scopeStreamOptions  = "stream_options."
	scopeResponseFormat = "response_format."
	scopeJSONSchema     = "response_format.json_schema."
	scopeTool           = "tools[]."
	scopeFunction       = "tools[].function."
	scopeChoice         = "tool_choice."
	scopeChosen         = "tool_choice.function."
	scopeMessage        = "messages[]."
	scopePart           = "messages[].content[]."
	scopeCall           = "messages[].tool_calls[]."
	scopeCalled         = "messages[].tool_calls[].function."
)

// scope is the rows of one kind of object, by the name within it.
type scope struct {
	byName   map[string]*Parameter
	required []string
}

// The tables, ready to be looked up.
var (
	chatScopes       = scopesOf(chatTable)
	completionScopes = scopesOf(completionTable)
)

func scopesOf(table []Parameter) map[string]scope {
	index := map[string]scope{}
	for i := range table {
		p := &table[i]
		prefix, name := scopeRequest, p.Name
		if cut := strings.LastIndexByte(p.Name, '.'); cut >= 0 {
			prefix, name = p.Name[:cut+1], p.Name[cut+1:]
		}
		s := index[prefix]
		if s.byName == nil {
			s.byName = map[string]*Parameter{}
		}
		s.byName[name] = p
		if p.Required {
			s.required = append(s.required, name)
		}
		index[prefix] = s
	}
	return index
}

// Values that change nothing.

func isNull(strictjson.Value) bool { return false } // null never gets here

func isNumber(n float64) func(strictjson.Value) bool {
	return func(v strictjson.Value) bool {
		f, ok := v.Float()
		return ok && f == n
	}
}

func isBool(b bool) func(strictjson.Value) bool {
	return func(v strictjson.Value) bool { return v.Kind == strictjson.Bool && v.True() == b }
}

func isWord(words ...string) func(strictjson.Value) bool {
	return func(v strictjson.Value) bool { return v.Kind == strictjson.String && slices.Contains(words, v.Text) }
}

// isEmpty holds for "", [], {}, and for an object or list of nothing else:
// what clients send back when they dump an answer's fields.
func isEmpty(v strictjson.Value) bool {
	switch v.Kind {
	case strictjson.Null:
		return true
	case strictjson.String:
		return v.Text == ""
	case strictjson.Array:
		return !slices.ContainsFunc(v.Items, func(i strictjson.Value) bool { return !isEmpty(i) })
	case strictjson.Object:
		return !slices.ContainsFunc(v.Members, func(m strictjson.Member) bool { return !isEmpty(m.Value) })
	case strictjson.Bool, strictjson.Number:
		return false
	}
	return false
}

func isEmptyList(v strictjson.Value) bool { return v.Kind == strictjson.Array && len(v.Items) == 0 }

func isEmptyMap(v strictjson.Value) bool {
	return isEmptyList(v) || v.Kind == strictjson.Object && len(v.Members) == 0
}

func isTextOnly(v strictjson.Value) bool {
	return v.Kind == strictjson.Array && len(v.Items) == 1 && isWord("text")(v.Items[0])
}
