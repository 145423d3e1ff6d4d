package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxPrompt bounds a prompt that is read from a pipe, in bytes.
const maxPrompt = 8 << 20

// promptFrom is the argument, or stdin where there is none or it is -.
func (a *app) promptFrom(given []string) (string, error) {
	var prompt string
	if len(given) == 1 && given[0] != "-" {
		prompt = given[0]
	} else {
		text, err := io.ReadAll(io.LimitReader(a.In, maxPrompt+1))
		if err != nil {
			return "", fmt.Errorf("read the prompt from stdin: %w", err)
		}
		if len(text) > maxPrompt {
			return "", usagef("the prompt is longer than %d bytes", maxPrompt)
		}
		prompt = strings.TrimSpace(string(text))
	}
	switch {
	case strings.TrimSpace(prompt) == "":
		return "", usagef("the prompt is empty")
	case !utf8.ValidString(prompt):
		return "", usagef("the prompt is not valid UTF-8")
	}
	return prompt, nil
}

// checkSystem refuses a --system prompt that could not be sent unchanged.
func checkSystem(prompt string) error {
	if !utf8.ValidString(prompt) {
		return usagef("--system: not valid UTF-8")
	}
	return nil
}
