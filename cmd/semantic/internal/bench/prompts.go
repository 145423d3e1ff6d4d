package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/semantic-worker/semantic/schemas"
)

// maxLine bounds a line of a file of prompts, and maxFile the file, in bytes.
const (
	maxLine = 8 << 20
	maxFile = 256 << 20
)

// promptLine is a line of a file of prompts.
type promptLine struct {
	Prompt    string            `json:"prompt"`
	Messages  []schemas.Message `json:"messages"`
	MaxTokens *int              `json:"max_tokens"`
	Class     schemas.Class     `json:"class"`
	Agent     string            `json:"agent"`
}

// ReadPrompts reads JSON lines: each has a "prompt" or "messages", and may have
// "max_tokens", "class" and "agent". What is wrong is a [*FieldError] that names
// the line.
func ReadPrompts(r io.Reader) ([]Request, error) {
	var all []Request
	left := &io.LimitedReader{R: r, N: maxFile + 1}
	lines := bufio.NewScanner(left)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	number := 0
	for lines.Scan() {
		number++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		r, err := readPrompt(lines.Bytes())
		if err != nil {
			return nil, wrong("prompts", "line %d: %v", number, err)
		}
		all = append(all, r)
	}
	switch {
	case lines.Err() != nil:
		return nil, wrong("prompts", "line %d: %v", number+1, lines.Err())
	case left.N == 0:
		return nil, wrong("prompts", "more than %d bytes", maxFile)
	case len(all) == 0:
		return nil, wrong("prompts", "there is no prompt in it")
	}
	return all, nil
}

func readPrompt(line []byte) (Request, error) {
	var p promptLine
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Request{}, err //nolint:wrapcheck // the caller names the line
	}
	if _, err := d.Token(); err != io.EOF {
		return Request{}, errors.New("more than one JSON value")
	}
	r := Request{Messages: p.Messages, Class: p.Class, Agent: p.Agent}
	switch {
	case (p.Prompt == "") == (len(p.Messages) == 0):
		return Request{}, errors.New("want either prompt or messages")
	case p.MaxTokens != nil && (*p.MaxTokens < 1 || *p.MaxTokens > mostTokens):
		return Request{}, fmt.Errorf("max_tokens: %d is not between 1 and %d", *p.MaxTokens, mostTokens)
	case p.Class != "" && !slices.Contains(schemas.Classes(), p.Class):
		return Request{}, fmt.Errorf("class: %q is not %s", p.Class, list(schemas.Classes()))
	}
	if p.MaxTokens != nil {
		r.MaxTokens = *p.MaxTokens
	}
	if p.Prompt != "" {
		r.Messages = say(p.Prompt)
	}
	// What the queue would refuse of each is refused before the load begins.
	job := schemas.Job{Version: schemas.Version, Model: "any", Messages: r.Messages, Agent: r.Agent}
	if err := job.Validate(); err != nil {
		return Request{}, err
	}
	return r, nil
}
