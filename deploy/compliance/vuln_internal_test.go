package compliance

import (
	"errors"
	"strings"
	"testing"
)

const (
	said   = `{"config": {"go_version": "go1.26.8"}} {"progress": {"message": "x"}} {"osv": {"id": "GO-1"}}`
	called = `{"finding": {"osv": "GO-1", "fixed_version": "v1.1.0", "trace": [
		{"module": "example.com/m", "version": "v1.0.0", "package": "example.com/m", "function": "F"}, {"module": "us"}]}}`
	present = `{"finding": {"osv": "GO-1", "fixed_version": "v1.1.0", "trace": [{"module": "example.com/m", "version": "v1.0.0"}]}}`
	ofTheGo = `{"finding": {"osv": "GO-2", "fixed_version": "v1.26.9", "trace": [
		{"module": "stdlib", "version": "v1.26.8", "package": "net/http", "function": "F"}]}}`
)

func TestReadScan(t *testing.T) {
	tests := map[string]struct {
		text            string
		online          bool
		called, present int
		is              error
		names           string
	}{
		"nothing found":            {said, true, 0, 0, nil, ""},
		"nothing found in the old": {said, false, 0, 0, ErrMachine, "could not be reached"},
		"called":                   {said + present + called + called, true, 1, 0, ErrVulnerable, "GO-1: example.com/m v1.0.0, fixed in v1.1.0"},
		"called, in the old":       {said + called, false, 1, 0, ErrVulnerable, "GO-1"},
		"present":                  {said + present, true, 0, 1, nil, ""},
		"of the Go":                {said + ofTheGo, true, 1, 0, ErrMachine, "build with a newer Go than go1.26.8"},
		"both":                     {said + ofTheGo + called, true, 2, 0, ErrVulnerable, "GO-1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := readScan(strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			s.Online = test.online
			if len(s.Called) != test.called || len(s.Present) != test.present {
				t.Errorf("called %v, present %v", s.Called, s.Present)
			}
			switch err := s.Err(); {
			case test.is == nil && err != nil:
				t.Error(err)
			case test.is != nil && (!errors.Is(err, test.is) || !strings.Contains(err.Error(), test.names)):
				t.Errorf("error %v, want %v that names %q", err, test.is, test.names)
			case errors.Is(test.is, ErrVulnerable) && errors.Is(err, ErrMachine):
				t.Errorf("a vulnerable program could pass as a matter of the machine: %v", err)
			}
		})
	}
	for name, text := range map[string]string{"nothing": "", "cut off": said + `{"finding": {`, "no json": "govulncheck: no go.mod"} {
		if _, err := readScan(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
