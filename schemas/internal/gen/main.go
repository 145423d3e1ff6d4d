// Gen writes the JSON Schema files of the wire contract from its Go types: their
// tags give the constraints, their comments the descriptions. From these it
// writes a page for people.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/semantic-worker/semantic/schemas"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: gen DIR PAGE")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir, pageFile string) error {
	files, text, err := documents(dir)
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("schema file: %w", err)
		}
	}
	if err := os.WriteFile(pageFile, []byte(text), 0o644); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// documents are the schema files by name, and the page; dir holds the sources of
// package schemas, for their comments.
func documents(dir string) (files map[string][]byte, text string, err error) {
	reflector := &jsonschema.Reflector{ExpandedStruct: true}
	const pkg = "github.com/semantic-worker/semantic/schemas"
	if err := addComments(reflector, pkg, dir); err != nil {
		return nil, "", err
	}
	files = map[string][]byte{}
	reflected := map[string]*jsonschema.Schema{}
	for _, d := range []struct {
		name, title string
		document    any
		refine      func(*jsonschema.Schema)
	}{
		{"job", "A job of semantic", schemas.Job{}, refineJob},
		{"event", "An event of a job's log", schemas.Event{}, refineEvent},
		{"worker", "A worker's entry in the registry", schemas.WorkerStatus{}, refineWorker},
		{"input", "What stands for a large job of semantic", schemas.Input{}, refineInput},
		{"parked", "A dead job of semantic", schemas.Parked{}, refineParked},
	} {
		s := reflector.Reflect(d.document)
		s.ID = jsonschema.ID(fmt.Sprintf("urn:semantic:schema:%s:%d", d.name, schemas.Version))
		s.Title = d.title
		if v, ok := s.Properties.Get("v"); ok {
			v.Minimum, v.Maximum = "1", json.Number(strconv.Itoa(schemas.Version))
		}
		d.refine(s)
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(s); err != nil {
			return nil, "", fmt.Errorf("%s: %w", d.name, err)
		}
		files[d.name+".schema.json"] = b.Bytes()
		reflected[d.name] = s
	}
	text, err = page(dir, reflected["job"], reflected["event"])
	return files, text, err
}

// addComments takes the doc comments as descriptions, in the words of JSON:
// links lose their brackets, and fields have their JSON names.
func addComments(r *jsonschema.Reflector, pkg, dir string) error {
	source := &jsonschema.Reflector{}
	here, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	// AddGoComments reads below the working directory only.
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	err = source.AddGoComments(pkg, ".", jsonschema.WithFullComment())
	if back := os.Chdir(here); err == nil {
		err = back
	}
	if err != nil {
		return fmt.Errorf("comments of %s: %w", pkg, err)
	}
	word := regexp.MustCompile(`\[\*?[A-Za-z.]+\]|[A-Z][A-Za-z]*`)
	r.LookupComment = func(t reflect.Type, field string) string {
		name := pkg + "." + t.Name()
		if field != "" {
			name += "." + field
		}
		comment := strings.ReplaceAll(strings.TrimSpace(source.CommentMap[name]), "\n", " ")
		return word.ReplaceAllStringFunc(comment, func(w string) string {
			if link, ok := strings.CutPrefix(w, "["); ok {
				return strings.Trim(link, "*]")
			}
			return jsonName(t, w)
		})
	}
	return nil
}

// jsonName is the JSON name of a field of t, and any other word as it is.
func jsonName(t reflect.Type, word string) string {
	if t.Kind() != reflect.Struct {
		return word
	}
	f, ok := t.FieldByName(word)
	if !ok {
		return word
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
