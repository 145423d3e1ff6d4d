package strictjson_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	v, err := strictjson.Parse([]byte(` {"a": [1, -2.5e3, true, false, null], "b": "\u00e9\n\ud83d\ude00\"/\/\\\b\f\r\t"}` + " \n"))
	if err != nil {
		t.Fatal(err)
	}
	want := strictjson.Value{Kind: strictjson.Object, Members: []strictjson.Member{
		{Name: "a", Value: strictjson.Value{Kind: strictjson.Array, Items: []strictjson.Value{
			{Kind: strictjson.Number, Text: "1"}, {Kind: strictjson.Number, Text: "-2.5e3"},
			{Kind: strictjson.Bool, Text: "true"}, {Kind: strictjson.Bool, Text: "false"}, {},
		}}},
		{Name: "b", Value: strictjson.Value{Kind: strictjson.String, Text: "é\n😀\"//\\\b\f\r\t"}},
	}}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got %+v", v)
	}
}

func TestParseRefusals(t *testing.T) {
	many := func(n int) string {
		return "[" + strings.Repeat("0,", n-1) + "0]"
	}
	wide := func(last string) string {
		var names []string
		for i := range 100 {
			names = append(names, `"k`+strings.Repeat("x", i)+`":0`)
		}
		return "{" + strings.Join(names, ",") + last + "}"
	}
	for _, c := range []struct{ doc, path, reason string }{
		{"", "", "the document ends"},
		{"nul", "", "a value is expected"},
		{"1 2", "", "text after the end"},
		{"[1,]", "[1]", "a value is expected"},
		{"[1 2]", "", "a comma or ] is expected"},
		{`{"a":1,}`, "", "a field name in double quotes"},
		{`{"a" 1}`, "a", "a colon is expected"},
		{`{"a":1 "b":2}`, "", "a comma or } is expected"},
		{`{a:1}`, "", "a field name in double quotes"},
		{`{"a":{"b":1,"b":2}}`, "a.b", "is there twice"},
		{`{"a":1,"\u0061":2}`, "a", "is there twice"},
		{wide(`,"kxxx":1`), "kxxx", "is there twice"},
		{`{"a":[0,{"odd name":x}]}`, `a[1]["odd name"]`, "a value is expected"},
		{`{"` + strings.Repeat("n", 100) + `":x}`, `["` + strings.Repeat("n", 64) + `\u2026"]`, "a value is expected"},
		{`{"":x}`, `[""]`, "a value is expected"},
		{"-", "", "a digit is expected"},
		{"01", "", "text after the end"},
		{"1.", "", "a digit is expected"},
		{"1e+", "", "a digit is expected"},
		{"+1", "", "a value is expected"},
		{`["a`, "[0]", "the string does not end"},
		{`["a\`, "[0]", "an escape in a string is not valid"},
		{`["\n`, "[0]", "the string does not end"},
		{`["\x"]`, "[0]", "an escape in a string is not valid"},
		{`["\u12"]`, "[0]", "an escape in a string is not valid"},
		{`["\u12g4"]`, "[0]", "an escape in a string is not valid"},
		{`["\ud800"]`, "[0]", "an escape in a string is not valid"},
		{`["\ud800\u0041"]`, "[0]", "an escape in a string is not valid"},
		{`["\ud800A"]`, "[0]", "an escape in a string is not valid"},
		{`["\udc00"]`, "[0]", "an escape in a string is not valid"},
		{"[\"\x01\"]", "[0]", "a control character"},
		{"[\"\\n\x01\"]", "[0]", "a control character"},
		{"[\"\xff\"]", "[0]", "not valid UTF-8"},
		{"[\"\\n\xff\"]", "[0]", "not valid UTF-8"},
		{"\xef\xbb\xbf1", "", "a value is expected"},
		{strings.Repeat("[", 65), strings.Repeat("[0]", 64), "nested deeper than 64"},
		{many(strictjson.MaxValues), "[499999]", "at most 500000"},
	} {
		_, err := strictjson.Parse([]byte(c.doc))
		var e *strictjson.Error
		if !errors.As(err, &e) || e.Path != c.path || !strings.Contains(e.Reason, c.reason) {
			t.Errorf("%.80s: got %v, want %q at %q", c.doc, err, c.reason, c.path)
		}
	}
	if _, err := strictjson.Parse([]byte(many(strictjson.MaxValues - 1))); err != nil {
		t.Errorf("the most values: %v", err)
	}
	if _, err := strictjson.Parse([]byte(wide(""))); err != nil {
		t.Errorf("a wide object: %v", err)
	}
}

type inner struct {
	Required string `json:"required"`
	Optional *int   `json:"optional,omitempty"`
}

type document struct {
	Text    string    `json:"text,omitempty"`
	Flag    bool      `json:"flag,omitempty"`
	Small   int32     `json:"small,omitempty"`
	Big     int64     `json:"big,omitempty"`
	Real    float64   `json:"real,omitempty"`
	Time    time.Time `json:"time,omitzero"`
	List    []inner   `json:"list,omitempty"`
	Skipped string    `json:"-"`
	Odd     chan int  `json:"odd,omitempty"`
	hidden  string
}

func bind(t *testing.T, doc string) (document, error) {
	t.Helper()
	v, err := strictjson.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return strictjson.For[document]().Bind(v)
}

func TestBind(t *testing.T) {
	got, err := bind(t, `{"text":"a","flag":true,"small":2.0,"big":-9223372036854775808,"real":1e3,
		"time":"2026-01-02T03:04:05.5+02:00","list":[{"required":"b","optional":1e1},{"required":""}]}`)
	if err != nil {
		t.Fatal(err)
	}
	ten := 10
	want := document{
		Text: "a", Flag: true, Small: 2, Big: -1 << 63, Real: 1000,
		Time: time.Date(2026, 1, 2, 1, 4, 5, 500_000_000, time.UTC),
		List: []inner{{Required: "b", Optional: &ten}, {}},
	}
	if !reflect.DeepEqual(got, want) || got.hidden != "" {
		t.Errorf("got %+v", got)
	}
}

func TestBindRefusals(t *testing.T) {
	for _, c := range []struct {
		doc   string
		path  string
		fault strictjson.Fault
		text  string
	}{
		{`[]`, "", strictjson.Mismatch, "must be an object, not a list"},
		{`{"Text":"a"}`, "Text", strictjson.Unknown, "is not a known field"},
		{`{"Skipped":"a"}`, "Skipped", strictjson.Unknown, "is not a known field"},
		{`{"text":null}`, "text", strictjson.Mismatch, "leave the field out"},
		{`{"text":1}`, "text", strictjson.Mismatch, "must be a string, not a number"},
		{`{"flag":"true"}`, "flag", strictjson.Mismatch, "must be a boolean, not a string"},
		{`{"small":true}`, "small", strictjson.Mismatch, "must be a number, not a boolean"},
		{`{"small":1.5}`, "small", strictjson.Mismatch, "an integer of 32 bits, not 1.5"},
		{`{"small":4294967296}`, "small", strictjson.Mismatch, "an integer of 32 bits"},
		{`{"big":9223372036854775808}`, "big", strictjson.Mismatch, "an integer of 64 bits"},
		{`{"big":1e400}`, "big", strictjson.Mismatch, "an integer of 64 bits"},
		{`{"big":1` + strings.Repeat("0", 99) + `}`, "big", strictjson.Mismatch, "000…"},
		{`{"real":1e400}`, "real", strictjson.Mismatch, "beyond what a number can hold"},
		{`{"real":[]}`, "real", strictjson.Mismatch, "must be a number, not a list"},
		{`{"time":"noon"}`, "time", strictjson.Mismatch, "RFC 3339"},
		{`{"time":12}`, "time", strictjson.Mismatch, "must be a string"},
		{`{"list":{}}`, "list", strictjson.Mismatch, "must be a list, not an object"},
		{`{"list":[{}]}`, "list[0].required", strictjson.Missing, "is required"},
		{`{"list":[{"required":null}]}`, "list[0].required", strictjson.Mismatch, "must be a string, not null"},
		{`{"list":[{"required":"a"},{"required":"a","x":1}]}`, "list[1].x", strictjson.Unknown, "not a known field"},
		{`{"odd":1}`, "odd", strictjson.Mismatch, "cannot be read into a chan int"},
	} {
		_, err := bind(t, c.doc)
		var e *strictjson.Error
		if !errors.As(err, &e) || e.Path != c.path || e.Fault != c.fault || !strings.Contains(e.Error(), c.text) {
			t.Errorf("%s: got %v, want %q at %q", c.doc, err, c.text, c.path)
		}
	}
}

func TestKinds(t *testing.T) {
	for k := strictjson.Null; k <= strictjson.Object; k++ {
		if k.String() == "nothing" {
			t.Errorf("kind %d has no name", k)
		}
	}
	if (strictjson.Object + 1).String() != "nothing" {
		t.Error("a kind that does not exist has a name")
	}
	text := strictjson.Value{Kind: strictjson.String, Text: "1"}
	if _, ok := text.Int(); ok {
		t.Error("a string is an integer")
	}
	if _, ok := text.Float(); ok {
		t.Error("a string is a number")
	}
}

// FuzzParse compares with encoding/json: what is accepted here it accepts, too,
// and reads alike; what it accepts is refused here for a reason of its own.
func FuzzParse(f *testing.F) {
	for _, doc := range []string{
		`{"a":[1,-2.5e3,true,null],"b":"\u00e9\ud83d\ude00"}`, `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"", "[[[[]]]]", "1e999", "-0",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := strictjson.Parse(data)
		if err != nil {
			var e *strictjson.Error
			if !errors.As(err, &e) {
				t.Fatalf("an error of type %T", err)
			}
			stricter := e.Fault == strictjson.TooLarge || strings.Contains(e.Reason, "twice") ||
				strings.Contains(e.Reason, "UTF-8") || strings.Contains(e.Reason, "escape")
			if json.Valid(data) && !stricter {
				t.Fatalf("%q is JSON, but: %v", data, err)
			}
			return
		}
		dec := json.NewDecoder(strings.NewReader(string(data)))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q is not JSON: %v", data, err)
		}
		if got := plain(v); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %v, want %v", data, got, want)
		}
	})
}

// plain is a value as encoding/json reads it.
func plain(v strictjson.Value) any {
	switch v.Kind {
	case strictjson.Null:
		return nil
	case strictjson.Bool:
		return v.True()
	case strictjson.Number:
		return json.Number(v.Text)
	case strictjson.String:
		return v.Text
	case strictjson.Array:
		items := []any{}
		for _, item := range v.Items {
			items = append(items, plain(item))
		}
		return items
	case strictjson.Object:
		members := map[string]any{}
		for _, m := range v.Members {
			members[m.Name] = plain(m.Value)
		}
		return members
	}
	return nil
}
