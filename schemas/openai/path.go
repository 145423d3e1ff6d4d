package openai

import (
	"errors"
	"regexp"

	"github.com/semantic-worker/semantic/schemas"
)

// rename is where a part of a job stands in the client's request.
type rename struct {
	job     *regexp.Regexp
	request string
}

// renames are those of one dialect.
func renames(format string) []rename {
	of := func(job, request string) rename { return rename{regexp.MustCompile(job), request} }
	schema := of(`^response_format\.(name|schema)`, "response_format.json_schema.$1")
	if format == schemas.FormatOpenAICompletions {
		return []rename{
			schema,
			// A prompt may have been a string, a list of them, or tokens.
			of(`^(prompts|messages)(\W.*)?$`, "prompt"),
			of(`^top_logprobs$`, "logprobs"),
		}
	}
	return []rename{
		of(`^tools\[(\d+)\]\.`, "tools[$1].function."),
		of(`^tool_choice\.name$`, "tool_choice.function.name"),
		of(`^tool_choice\.mode$`, "tool_choice"),
		schema,
		of(`^(messages\[\d+\]\.tool_calls\[\d+\])\.(name|arguments)`, "$1.function.$2"),
	}
}

// paramOf is the path that the client of a dialect knows a job's field by.
func paramOf(format, field string) string {
	for _, r := range renames(format) {
		if r.job.MatchString(field) {
			return r.job.ReplaceAllString(field, r.request)
		}
	}
	return field
}

// renamed is a refusal of a job in the client's words.
func renamed(format string, err error) error {
	var fe *schemas.FieldError
	if !errors.As(err, &fe) {
		return err
	}
	e := *fe
	e.Field = paramOf(format, e.Field)
	return &e
}
