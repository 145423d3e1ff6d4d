package chat

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ardanlabs/jinja"
)

// Template is a chat template, parsed once. It is immutable and safe for
// concurrent use.
type Template struct {
	model    string
	bos, eos string
	source   string
	parsed   *jinja.Template
	names    *names
	// format is the family's; known is whether the text says which it is.
	format format
	known  bool
	tags   tags
	// manners are found out when first needed.
	manners func() manners
}

// Parse parses a template. model is for errors; bos and eos are the texts of
// the model's tokens, of which most templates use one. The error is a
// *TemplateError.
func Parse(templateText, modelName string, bos, eos string) (*Template, error) {
	fail := func(err error) (*Template, error) { return nil, &TemplateError{Model: modelName, Cause: err} }
	if templateText == "" {
		return fail(ErrNoTemplate)
	}
	source, names, err := plain(templateText)
	if err != nil {
		return fail(err)
	}
	parsed, err := guarded(func() (*jinja.Template, error) { return jinja.Compile(source) })
	if err != nil {
		return fail(err)
	}
	t := &Template{model: modelName, bos: bos, eos: eos, source: templateText, parsed: parsed, names: names, tags: tagsOf(templateText)}
	t.format, t.known = recognise(templateText)
	t.manners = sync.OnceValue(t.probe)
	return t, nil
}

// Render writes the prompt of a conversation, up to where the assistant begins
// to speak. The error is a *TemplateError.
//
// Templates may print today's date: RenderAt renders the same prompt later.
func (t *Template) Render(messages []Message) (string, error) {
	return t.RenderAt(time.Now(), messages)
}

// RenderAt is Render with the time that the template sees, so that a job that
// is taken over by another worker, perhaps after midnight, has the same prompt.
func (t *Template) RenderAt(now time.Time, messages []Message) (string, error) {
	return t.render(now, turns(messages, manners{}), jinja.None(), nil)
}

// render writes the prompt of messages as the template takes them.
func (t *Template) render(now time.Time, messages, tools jinja.Value, more map[string]jinja.Value) (string, error) {
	var refused *RefusedError
	variables := map[string]jinja.Value{
		"messages":              messages,
		"add_generation_prompt": jinja.NewBool(true),
		"bos_token":             jinja.NewString(t.bos),
		"eos_token":             jinja.NewString(t.eos),
		// Defined, and none, as the templates' authors test them.
		"tools":      tools,
		"documents":  jinja.None(),
		tojsonFilter: jinja.NewCallable("tojson", tojson),
		stringFilter: jinja.NewCallable("string", str),
		outputFilter: jinja.NewCallable("output", output),
		"raise_exception": jinja.NewCallable("raise_exception", func(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
			refused = &RefusedError{Message: "without a message"}
			if len(args) > 0 && args[0].IsString() {
				refused.Message = args[0].AsString()
			}
			return jinja.Undefined(), refused
		}),
		"strftime_now": jinja.NewCallable("strftime_now", func(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
			if len(args) != 1 || !args[0].IsString() {
				return jinja.Undefined(), errors.New("strftime_now needs a format")
			}
			return jinja.NewString(strftime(now, args[0].AsString())), nil
		}),
	}
	maps.Copy(variables, more)
	prompt, err := guarded(func() (string, error) { return t.parsed.RenderValues(variables) })
	if err != nil {
		// The library may drop the cause behind words of its own.
		if refused != nil {
			err = refused
		}
		return "", &TemplateError{Model: t.model, Cause: err}
	}
	return prompt, nil
}

// guarded turns a panic of the template library into an error: a template is
// data from somebody else, and one bad one must not end the process.
func guarded[T any](call func() (T, error)) (result T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the template library failed: %v", r)
		}
	}()
	return call()
}
