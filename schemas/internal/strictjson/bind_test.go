package strictjson_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

type wide struct {
	Inner
	Raw    json.RawMessage            `json:"raw,omitempty"`
	Bytes  []byte                     `json:"bytes,omitempty"`
	Counts map[string]int             `json:"counts,omitempty"`
	Values map[string]json.RawMessage `json:"values,omitempty"`
}

// Inner is embedded with its fields.
type Inner struct {
	Choice int `json:"choice"`
}

func bindWide(doc string) (wide, error) {
	v, err := strictjson.Parse([]byte(doc))
	if err != nil {
		return wide{}, err
	}
	return strictjson.For[wide]().Bind(v)
}

func TestBindsWhatIsNotPlain(t *testing.T) {
	got, err := bindWide(`{"choice": 2, "raw": {"b": [1.50, null, true, "<\u00e9\n>"], "a": {}}, "bytes": "AP8=",
		"counts": {"x": 1, "": -2}, "values": {"v": [ ]}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := wide{
		Inner: Inner{Choice: 2}, Raw: json.RawMessage(`{"b":[1.50,null,true,"<é\n>"],"a":{}}`), Bytes: []byte{0, 255},
		Counts: map[string]int{"x": 1, "": -2}, Values: map[string]json.RawMessage{"v": json.RawMessage("[]")},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if empty, err := bindWide(`{"choice": 0, "counts": {}}`); err != nil || empty.Counts != nil {
		t.Errorf("an empty object is read as %v, %v", empty.Counts, err)
	}
}

func TestBindRefusesWhatIsNotPlain(t *testing.T) {
	for doc, path := range map[string]string{
		`{}`:                                "choice",
		`{"choice": "1"}`:                   "choice",
		`{"choice": 1, "counts": []}`:       "counts",
		`{"choice": 1, "counts": {"a":""}}`: "counts.a",
		`{"choice": 1, "bytes": 1}`:         "bytes",
		`{"choice": 1, "bytes": "?"}`:       "bytes",
		`{"choice": 1, "bytes": "AP8"}`:     "bytes",
	} {
		var e *strictjson.Error
		if _, err := bindWide(doc); !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: %v, want a fault at %s", doc, err, path)
		}
	}
}

func TestPathsOfValues(t *testing.T) {
	var root *strictjson.Path
	at := root.Field("messages").Index(3).Field("odd name")
	err := strictjson.Want(strictjson.Object, strictjson.Value{Kind: strictjson.String}, at)
	if err.Path != `messages[3]["odd name"]` || err.Error() == "" {
		t.Errorf("%q: %v", err.Path, err)
	}
}
