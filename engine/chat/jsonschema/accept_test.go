package jsonschema_test

import (
	"bufio"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// valueCase is a schema with values, from testdata/values:
//
//	# name
//	schema, on one line or more
//	+ a value that is valid and accepted
//	- a value that is not valid
//	~ a value that is valid, and left out: a choice of ours
//
// A value after "go" is a string of Go. A line "ecma" says that the pattern is one
// that the oracle, whose patterns are Go's, does not know.
type valueCase struct {
	name, schema            string
	valid, invalid, leftOut []string
	ecma                    bool
}

// TestValues holds the grammar against values, and the values against the
// oracle.
func TestValues(t *testing.T) {
	for _, tt := range readCases(t) {
		t.Run(tt.name, func(t *testing.T) {
			g := mustParse(t, tt.schema)
			for _, text := range tt.valid {
				if !accepts(g, text) {
					t.Errorf("refused: %s", text)
				}
			}
			for _, text := range append(tt.invalid, tt.leftOut...) {
				if accepts(g, text) {
					t.Errorf("accepted: %s", text)
				}
			}
			if tt.ecma {
				return
			}
			v := mustValidate(t, tt.schema)
			for _, text := range append(tt.valid, tt.leftOut...) {
				if err := valid(v, text); err != nil {
					t.Errorf("the oracle refuses %s: %v", text, err)
				}
			}
			for _, text := range tt.invalid {
				if valid(v, text) == nil {
					t.Errorf("the oracle accepts %s", text)
				}
			}
			checkWalks(t, g, v, rand.New(rand.NewPCG(1, 2)), 60)
		})
	}
}

func readCases(t testing.TB) []valueCase {
	t.Helper()
	files, err := filepath.Glob("testdata/values/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var list []valueCase
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			list = readLine(t, list, lines.Text())
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func readLine(t testing.TB, list []valueCase, line string) []valueCase {
	t.Helper()
	mark, text, _ := strings.Cut(line, " ")
	if mark == "#" {
		return append(list, valueCase{name: text})
	}
	c := &list[len(list)-1]
	if quoted, ok := strings.CutPrefix(text, "go "); ok {
		var err error
		if text, err = strconv.Unquote(quoted); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	switch mark {
	case "+":
		c.valid = append(c.valid, text)
	case "-":
		c.invalid = append(c.invalid, text)
	case "~":
		c.leftOut = append(c.leftOut, text)
	case "ecma":
		c.ecma = true
	default:
		c.schema += line + "\n"
	}
	return list
}
