package openai

import (
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// defaultMaxTokens is what OpenAI's /v1/completions generates unless told.
const defaultMaxTokens = 16

// readPrompt takes a text, tokens, or a list of either.
func readPrompt(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind == strictjson.Array && (len(v.Items) == 0 || v.Items[0].Kind != strictjson.Number) {
		if len(v.Items) == 0 {
			return invalid(at, "must not be empty")
		}
		for i, item := range v.Items {
			if err := d.readOnePrompt(item, at.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	return d.readOnePrompt(v, at)
}

func (d *decoder) readOnePrompt(v strictjson.Value, at *strictjson.Path) error {
	prompt := schemas.Prompt{Text: v.Text}
	switch v.Kind {
	case strictjson.String:
	case strictjson.Array:
		ids, err := tokens(v, at)
		if err != nil {
			return err
		}
		prompt = schemas.Prompt{Tokens: ids}
	default:
		return invalid(at, "must be a string, a list of token ids, or a list of either, not %s", v.Kind)
	}
	if prompt.Text == "" && len(prompt.Tokens) == 0 {
		return invalid(at, "must not be empty")
	}
	d.job.Prompts = append(d.job.Prompts, prompt)
	return nil
}

// readLegacyLogprobs takes a number: 0 asks for those of the chosen tokens only.
func readLegacyLogprobs(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	i, err := integer(v, at, 0, 5)
	d.job.Logprobs, d.job.TopLogprobs = true, int(i)
	return err
}

// finishCompletion checks what only a completion has.
func (d *decoder) finishCompletion() error {
	n := 1
	if d.job.N != nil {
		n = *d.job.N
	}
	if d.bestOf != nil && *d.bestOf != n {
		return unsupported((*strictjson.Path)(nil).Field("best_of"),
			"is not supported: all choices are answered, none is thrown away; only n (%d) is accepted", n)
	}
	if d.job.MaxTokens == nil {
		most := defaultMaxTokens
		if d.job.MinTokens != nil {
			most = max(most, *d.job.MinTokens)
		}
		d.job.MaxTokens = &most
	}
	return nil
}
