package cli

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/schemas"
)

// formatFlags are the flags of what the answer must keep to, of chat, submit and
// `job new`.
type formatFlags struct {
	schemaFile  string
	grammarFile string
}

func (f *formatFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.schemaFile, "json-schema", "", "`FILE` with a JSON Schema that the answer keeps to")
	flags.StringVar(&f.grammarFile, "grammar", "", "`FILE` with a grammar (GBNF) that the answer keeps to")
}

// read reads the file that was given, if one was.
func (f *formatFlags) read() (schema json.RawMessage, grammar string, err error) {
	flag, file := "--json-schema", f.schemaFile
	switch {
	case f.schemaFile != "" && f.grammarFile != "":
		return nil, "", usagef("--json-schema and --grammar exclude each other")
	case f.grammarFile != "":
		flag, file = "--grammar", f.grammarFile
	case file == "":
		return nil, "", nil
	}
	text, err := os.ReadFile(file)
	switch {
	case err != nil:
		return nil, "", usagef("%s: %v", flag, err)
	case file == f.grammarFile:
		return nil, string(text), nil
	case !json.Valid(text):
		return nil, "", usagef("%s: %s is not JSON", flag, file)
	}
	return text, "", nil
}

// setJob puts them into a job.
func (f *formatFlags) setJob(job *schemas.Job) error {
	schema, grammar, err := f.read()
	if schema != nil {
		job.ResponseFormat = &schemas.ResponseFormat{Type: schemas.FormatJSONSchema, Schema: schema}
	}
	job.Grammar = grammar
	return err
}

// setRequest puts them into a request to a gateway.
func (f *formatFlags) setRequest(r *chatRequest) error {
	schema, grammar, err := f.read()
	if schema != nil {
		r.ResponseFormat = &responseFormat{Type: schemas.FormatJSONSchema, JSONSchema: namedSchema{Name: "answer", Schema: schema}}
	}
	r.Grammar = grammar
	return err
}
