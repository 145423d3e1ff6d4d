package worker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/grammar"
	"github.com/semantic-worker/semantic/schemas"
)

// errOtherPrompt: the log is of a job with another prompt. Two jobs were
// published under one id, and this message is not the one that was begun.
var errOtherPrompt = errors.New("the job's log began with another prompt")

// task is what a job asks of the engine.
type task struct {
	prompts []prompt
	// each is how many choices each prompt has.
	each int
	// plan is how a conversation is generated; nil for a completion, whose text
	// is nothing but text.
	plan *chat.Plan
	// request is what all choices have in common.
	request engine.Request
}

// prompt is what choices continue.
type prompt struct {
	tokens []engine.Token
	// echo is the text that each choice begins with; empty for none.
	echo string
	// field is where it is in the job.
	field string
}

// promptTokens is the length of all prompts together.
func (t *task) promptTokens() (n int) {
	for _, p := range t.prompts {
		n += len(p.tokens)
	}
	return n
}

// newTask plans a job. What the job itself is to blame for is a
// *schemas.FieldError, a *chat.TemplateError or a *chat.UnsupportedError.
func (r *run) newTask() (*task, error) {
	vocabulary := r.w.engine.Vocabulary()
	t := &task{each: value(r.job.N, 1)}
	answer, err := answerGrammar(r.job, r.w.grammars)
	if err != nil {
		return nil, err
	}
	gbnf := answer
	if r.job.Kind == schemas.KindCompletion {
		t.prompts, err = r.completionPrompts()
	} else {
		t.plan, t.prompts, err = r.chatPrompt(answer)
		if err == nil {
			gbnf = t.plan.Grammar
		}
	}
	if err != nil {
		return nil, err
	}
	if first := r.history.first; first != nil && first.PromptTokens != t.promptTokens() {
		return nil, fmt.Errorf("%w: of %d tokens, this one has %d", errOtherPrompt, first.PromptTokens, t.promptTokens())
	}
	t.request = engine.Request{
		MaxTokens:   value(r.job.MaxTokens, 0),
		Stop:        r.job.Stop,
		Special:     t.plan != nil && t.plan.Special,
		Logprobs:    r.job.Logprobs,
		TopLogprobs: r.job.TopLogprobs,
		Class:       rankOf(r.delivery.Class),
		Logger:      r.log,
	}
	if t.request.Sampling, err = sampling(r.job, vocabulary); err != nil {
		return nil, err
	}
	if t.request.StopTokens, err = stopTokens(r.job, vocabulary); err != nil {
		return nil, err
	}
	if gbnf != "" {
		if t.request.Grammar, err = r.w.grammars.compile(gbnf); err != nil {
			return nil, invalid(grammarField(r.job), "%s", grammarReason(err))
		}
	}
	return t, nil
}

// chatPrompt renders the job's messages.
func (r *run) chatPrompt(answer string) (*chat.Plan, []prompt, error) {
	c := conversation(r.job)
	c.Grammar = answer
	// The time that a template may print is the job's, so that every attempt has
	// the same prompt.
	c.Now = r.delivery.StoredAt.UTC()
	plan, err := r.w.template.Prepare(c)
	if err != nil {
		return nil, nil, err
	}
	tokens, err := r.w.engine.Vocabulary().Tokenize(plan.Prompt, true)
	if err != nil {
		return nil, nil, fmt.Errorf("tokenize the prompt: %w", err)
	}
	return plan, []prompt{{tokens: tokens, field: "messages"}}, nil
}

// completionPrompts are the job's prompts as they are: text with the beginning
// that the model wants, tokens without.
func (r *run) completionPrompts() ([]prompt, error) {
	vocabulary := r.w.engine.Vocabulary()
	begin, err := r.beginning()
	if err != nil {
		return nil, err
	}
	prompts := make([]prompt, len(r.job.Prompts))
	for i, given := range r.job.Prompts {
		p := prompt{tokens: given.Tokens, field: fmt.Sprintf("prompts[%d]", i)}
		for j, token := range given.Tokens {
			if token < 0 || int(token) >= vocabulary.Size() {
				return nil, invalid(fmt.Sprintf("%s.tokens[%d]", p.field, j),
					"%d is not a token of this model, which has %d", token, vocabulary.Size())
			}
		}
		if len(given.Tokens) == 0 {
			if p.tokens, err = vocabulary.Tokenize(given.Text, true); err != nil {
				return nil, fmt.Errorf("tokenize a prompt: %w", err)
			}
			if len(begin) > 0 && !slices.Equal(begin, p.tokens[:min(len(begin), len(p.tokens))]) {
				p.tokens = slices.Concat(begin, p.tokens)
			}
		}
		if len(p.tokens) == 0 {
			return nil, invalid(p.field, "has no tokens")
		}
		if r.job.Echo {
			p.echo = cmp.Or(given.Text, textOf(given.Tokens, vocabulary))
		}
		prompts[i] = p
	}
	return prompts, nil
}

// beginning is what the model wants in front of every text.
func (r *run) beginning() ([]engine.Token, error) {
	if !r.w.model.AddBOS || r.w.model.BOS == "" {
		return nil, nil
	}
	begin, err := r.w.engine.Vocabulary().Tokenize(r.w.model.BOS, true)
	if err != nil {
		return nil, fmt.Errorf("tokenize the beginning of a text: %w", err)
	}
	return begin, nil
}

// textOf is the text of tokens, control tokens included, as a text that was
// split into them would read.
func textOf(tokens []engine.Token, vocabulary engine.Vocabulary) string {
	var text []byte
	for _, token := range tokens {
		text = vocabulary.AppendPiece(text, token, true)
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

// conversation is a job's.
func conversation(job schemas.Job) chat.Conversation {
	c := chat.Conversation{
		ParallelCalls:   value(job.ParallelToolCalls, true),
		ReasoningEffort: job.ReasoningEffort,
		Vars:            job.TemplateVars,
	}
	for _, m := range job.Messages {
		turn := chat.Message{
			Role: string(m.Role), Content: m.Content, Name: m.Name, ToolCallID: m.ToolCallID, Reasoning: m.Reasoning,
		}
		for _, call := range m.ToolCalls {
			turn.ToolCalls = append(turn.ToolCalls, chat.ToolCall{ID: call.ID, Name: call.Name, Arguments: call.Arguments})
		}
		c.Messages = append(c.Messages, turn)
	}
	for _, tool := range job.Tools {
		c.Tools = append(c.Tools, chat.Tool{
			Name: tool.Name, Description: tool.Description, Parameters: tool.Parameters, Strict: tool.Strict,
		})
	}
	if job.ToolChoice != nil {
		c.ToolChoice = chat.ToolChoice{Mode: chat.ToolMode(job.ToolChoice.Mode), Name: job.ToolChoice.Name}
	}
	return c
}

// answerGrammar is GBNF for what a job says, without reasoning and calls; empty
// for anything.
func answerGrammar(job schemas.Job, known *grammars) (string, error) {
	if job.Grammar != "" {
		// By itself, so that what is wrong has its own line and column.
		if _, err := known.compile(job.Grammar); err != nil {
			return "", invalid("grammar", "%s", grammarReason(err))
		}
		return job.Grammar, nil
	}
	if job.ResponseFormat == nil {
		return "", nil
	}
	switch job.ResponseFormat.Type {
	case schemas.FormatJSONObject:
		return chat.JSONObjectGrammar(), nil
	case schemas.FormatJSONSchema:
		const field = "response_format.schema"
		gbnf, err := chat.SchemaGrammar(job.ResponseFormat.Schema)
		if err != nil {
			return "", schemaFault(field, err)
		}
		return gbnf, nil
	}
	return "", nil
}

// grammarField is the field that a job's grammar is made of.
func grammarField(job schemas.Job) string {
	switch {
	case job.Grammar != "":
		return "grammar"
	case job.ResponseFormat != nil && job.ResponseFormat.Schema != nil:
		return "response_format.schema"
	}
	return "tools"
}

// grammarReason is what is wrong with a grammar, as it follows the field's name.
func grammarReason(err error) string {
	var syntax *grammar.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("line %d, column %d: %s", syntax.Line, syntax.Column, syntax.Reason)
	}
	return strings.TrimPrefix(err.Error(), "grammar: ")
}

// schemaFault refuses the schema in a field, by the keyword's path where the
// error has one.
func schemaFault(field string, err error) *schemas.FieldError {
	var fault *chat.SchemaError
	if errors.As(err, &fault) {
		return invalid(field+jsonPath(fault.Path), "%s", fault.Reason)
	}
	return invalid(field, "%s", strings.TrimPrefix(err.Error(), "JSON Schema: "))
}

// jsonPath turns a JSON pointer into the end of a path as errors have it:
// "/anyOf/0/not" into ".anyOf[0].not".
func jsonPath(pointer string) string {
	var path strings.Builder
	parts := strings.Split(pointer, "/")
	for _, part := range parts[1:] {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		if part != "" && strings.Trim(part, "0123456789") == "" {
			path.WriteString("[" + part + "]")
		} else {
			path.WriteString(member(part))
		}
	}
	return path.String()
}

// member is the part of a path that names a member, in quotes where its name
// needs them.
func member(name string) string {
	const most = 64 // of a stranger's words
	if !strings.ContainsFunc(name, func(c rune) bool { return !isPlain(c) }) && name != "" && len(name) <= most {
		return "." + name
	}
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return "[" + strconv.QuoteToASCII(name) + "]"
}

func isPlain(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
