package chat

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/engine/chat/jsonschema"
)

// TestReasoning: what is thought is split off, wherever the model begins.
func TestReasoning(t *testing.T) {
	first, open := load(t, "tools/hermes.jinja"), load(t, "tools/qwencoder.jinja")
	c := Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}}
	closed := c
	closed.Vars = map[string]json.RawMessage{"enable_thinking": json.RawMessage("false")}
	for _, test := range []struct {
		name string
		plan *Plan
		text string
		want spoke
	}{
		{"first", prepared(t, first, c), "<think>\na\n\nb\n</think>\n\n  Hello\n", spoke{Reasoning: "a\n\nb", Content: "  Hello\n"}},
		{"first, not at all", prepared(t, first, c), "\nHello <think>\n", spoke{Content: "\nHello <think>\n"}},
		{"first, behind blanks", prepared(t, first, c), "\n <think></think>x", spoke{Content: "x"}},
		{"first, cut short", prepared(t, first, c), "<think>a <b\n", spoke{Reasoning: "a <b"}},
		{"first, hardly", prepared(t, first, c), "<thi", spoke{Content: "<thi"}},
		{"open", prepared(t, open, c), "a\n</think>\n\nHello", spoke{Reasoning: "a", Content: "Hello"}},
		{"open, nothing", prepared(t, open, c), "\n</think>Hello</think>", spoke{Content: "Hello</think>"}},
		{"open, cut short", prepared(t, open, c), "Hello </thi", spoke{Reasoning: "Hello </thi"}},
		{"closed", prepared(t, first, closed), "\nHello <think>", spoke{Content: "Hello <think>"}},
		{"none", prepared(t, load(t, "zephyr.jinja"), c), "\n<think>\nHello", spoke{Content: "\n<think>\nHello"}},
		{"none, tools", prepared(t, load(t, "zephyr.jinja"), c), "<tool_call>x", spoke{Content: "<tool_call>x"}},
	} {
		if got := parsed(t, test.plan, test.text); got.String() != test.want.String() {
			t.Errorf("%s: %q gives %v", test.name, test.text, got)
		}
		if special := test.plan.want.think.place != thinkingNone; test.plan.Special != special || test.plan.Grammar != "" {
			t.Errorf("%s: special %v, grammar %q", test.name, test.plan.Special, test.plan.Grammar)
		}
	}
}

// TestAnswerGrammar: what the answer must keep to is asked of what comes behind
// the reasoning, and of what is no call.
func TestAnswerGrammar(t *testing.T) {
	const gbnf = "# root ::= no\nroot ::= 1-calls [\"#\\]]? # end\n1-calls ::=\n  \"yes {}\" | # or\n  \"no\" {2}\n"
	c := Conversation{Messages: []Message{{Role: "user", Content: "Hi"}}, Grammar: gbnf}
	first, open := load(t, "tools/hermes.jinja"), load(t, "tools/qwencoder.jinja")
	tools := exchange(t)
	tools.Grammar = gbnf
	none := tools
	none.ToolChoice.Mode = ToolNone
	if got := prepared(t, load(t, "zephyr.jinja"), c).Grammar; got != gbnf {
		t.Errorf("without reasoning: %s", got)
	}
	const call = `<tool_call>{"name": "add", "arguments": {"b": 1, "a": 2}}</tool_call>`
	for _, test := range []struct {
		name  string
		plan  *Plan
		yes   []string
		other []string
	}{
		{
			"first", prepared(t, first, c),
			[]string{"yes {}", "nono]", "<think>x <y\n</think>\n\nyes {}#", "<think></think>nono"},
			[]string{"<think>yes {}", "no", call},
		},
		{"open", prepared(t, open, c), []string{"x</think>yes {}", "</think>\n\nnono"}, []string{"yes {}", "</think> x"}},
		{
			"tools", prepared(t, first, tools),
			[]string{"yes {}", call, "<think>x</think>" + call},
			[]string{"x", "<think>x</think>yes", "yes {}" + call},
		},
		{"no tools", prepared(t, first, none), []string{"yes {}", "<think>x</think>nono"}, []string{call}},
	} {
		for _, text := range test.yes {
			if !sentence(t, test.plan.Grammar, text) {
				t.Errorf("%s: %q is refused by\n%s", test.name, text, test.plan.Grammar)
			}
		}
		for _, text := range test.other {
			if sentence(t, test.plan.Grammar, text) {
				t.Errorf("%s: %q is accepted", test.name, text)
			}
		}
	}
}

func TestUnsupported(t *testing.T) {
	hermes, coder, gemma := load(t, "tools/hermes.jinja"), load(t, "tools/qwencoder.jinja"), load(t, "tools/gemma4.jinja")
	with := func(change func(c *Conversation)) Conversation {
		c := exchange(t)
		change(&c)
		return c
	}
	parameters := func(schema string) Conversation {
		return with(func(c *Conversation) { c.Tools[1].Parameters, c.Tools[1].Strict = []byte(schema), true })
	}
	for _, test := range []struct {
		template *Template
		c        Conversation
		param    string
	}{
		{hermes, with(func(c *Conversation) { c.ReasoningEffort = "high" }), "reasoning_effort"},
		{hermes, with(func(c *Conversation) { c.Vars = map[string]json.RawMessage{"thinking": nil} }), "chat_template_kwargs.thinking"},
		{hermes, with(func(c *Conversation) { c.Vars = map[string]json.RawMessage{"tool_call": nil} }), "chat_template_kwargs.tool_call"},
		{hermes, with(func(c *Conversation) { c.Vars = map[string]json.RawMessage{"messages": nil} }), "chat_template_kwargs.messages"},
		{hermes, with(func(c *Conversation) {
			c.Vars = map[string]json.RawMessage{"enable_thinking": []byte("{")}
		}), "chat_template_kwargs.enable_thinking"},
		{load(t, "tools/harmony.jinja"), with(func(c *Conversation) {
			c.ReasoningEffort = "high"
			c.Vars = map[string]json.RawMessage{"reasoning_effort": []byte(`"low"`)}
		}), "chat_template_kwargs.reasoning_effort"},
		{hermes, with(func(c *Conversation) { c.ToolChoice.Mode = "sometimes" }), "tool_choice"},
		{hermes, with(func(c *Conversation) { c.ToolChoice = ToolChoice{ToolFunction, "sub"} }), "tool_choice"},
		{hermes, with(func(c *Conversation) { c.ToolChoice.Mode, c.Tools = ToolRequired, nil }), "tool_choice"},
		{hermes, with(func(c *Conversation) { c.Tools[1].Name = c.Tools[0].Name }), "tools[1].name"},
		{hermes, parameters(`[]`), "tools[1].parameters"},
		{hermes, parameters(`{"type":"object","not":{}}`), "tools[1].parameters"},
		{hermes, with(func(c *Conversation) { c.Messages[2].ToolCalls[0].Arguments = "{" }), "messages[2].tool_calls[0].arguments"},
		{coder, parameters(`{"type":"object","properties":{"a":{"type":"string","maxLength":3}}}`),
			"tools[1].parameters.properties.a.maxLength"},
		{coder, parameters(`{"type":"object","minProperties":1}`), "tools[1].parameters.minProperties"},
		{coder, parameters(`{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}}}`), "tools[1].parameters"},
		{coder, parameters(`{"type":"object","properties":{"a":{"type":"null"}},"required":["b"]}`), "tools[1].parameters.required"},
		{coder, parameters(`{"type":"object","properties":{"a>":{"type":"null"}}}`), "tools[1].parameters.properties"},
		{coder, parameters(`{"type":"object","additionalProperties":{"type":"null"}}`), "tools[1].parameters.additionalProperties"},
		{coder, parameters(`{"type":"object","properties":{"a":{"type":"string","enum":["x"],"const":"y"}}}`),
			"tools[1].parameters.properties.a.const"},
		{gemma, parameters(`{"type":"object","properties":{"a":{"type":"string","anyOf":[{"type":"null"}]}}}`),
			"tools[1].parameters.properties.a.anyOf"},
		{gemma, parameters(`{"type":"object","properties":{"a":{"$ref":"#/$defs/b","enum":[1]}},"$defs":{"b":{"type":"integer"}}}`),
			"tools[1].parameters.properties.a.$ref"},
		{gemma, parameters(`{"type":"object","properties":{"a":{"type":"object","required":["b"]}}}`),
			"tools[1].parameters.properties.a.required"},
		{gemma, parameters(`{"type":"object","properties":{"a":{"type":"null","enum":[1]}}}`), "tools[1].parameters.properties.a.enum"},
		{gemma, parameters(`{"type":"object","properties":{"a":{"type":"integer","minimum":3}}}`),
			"tools[1].parameters.properties.a.minimum"},
	} {
		_, err := test.template.Prepare(test.c)
		var unsupported *UnsupportedError
		if !errors.As(err, &unsupported) || unsupported.Param != test.param || unsupported.Reason == "" {
			t.Errorf("%s: error %v", test.param, err)
		}
	}
	_, err := hermes.Prepare(parameters(`{"type":"object","not":{}}`))
	var schema *jsonschema.Error
	if !errors.As(err, &schema) {
		t.Errorf("error %v, want a *jsonschema.Error within", err)
	}
	// What nobody asked to keep to is not read.
	c := parameters(`{"type":"object","not":{}}`)
	c.Tools[1].Strict = false
	prepared(t, hermes, c)
}

func TestVariables(t *testing.T) {
	c := exchange(t)
	c.ReasoningEffort = "high"
	if plan := prepared(t, load(t, "tools/harmony.jinja"), c); !strings.Contains(plan.Prompt, "Reasoning: high") {
		t.Errorf("prompt %q", plan.Prompt)
	}
	for source, want := range map[string]string{
		"{% set a = a if a is defined else b.c %}{{ x | default(y, boolean=z) }}":                    "a b x y z",
		"{% for k, v in d.items() if v %}{{ k ~ 'q' }}{{ loop.index }}{% endfor %}":                  "d loop",
		"{% macro f(p, q=none) %}{{ p }}{% endmacro %}{{ f(r, q=s) }}":                               "r s",
		"{% set n = namespace(i=0) %}{% set n.i = 1 %}{% if n.i is not none and not u %}{% endif %}": "namespace u",
		"{% if a == b %}{% elif c in ['d'] %}{% else %}{% endif %}{# e #}{{ 'f' if g else 1 }}":      "a b c g",
		"{% set t %}x{% endset %}{{ t }}{% raw %}{{ r }}{% endraw %}":                                "",
	} {
		template, err := Parse(source, "m", "", "")
		if err != nil {
			t.Fatal(err)
		}
		wanted := strings.Fields(want)
		for name, read := range template.names.first {
			found := false
			for _, w := range wanted {
				found = found || w == name
			}
			if read != found {
				t.Errorf("%s: %s is read: %v", source, name, read)
			}
		}
		for _, w := range wanted {
			if !template.names.reads(w) {
				t.Errorf("%s: %s is not read", source, w)
			}
		}
	}
}

// TestManners: what a template cannot render is put so that it can.
func TestManners(t *testing.T) {
	c := exchange(t)
	c.Messages = []Message{
		{Role: "user", Content: "Weather?"},
		{Role: "assistant", Content: "I look.", Reasoning: "Hm.", ToolCalls: []ToolCall{
			{ID: "call-1", Name: "get_weather", Arguments: `{"city": "Bonn"}`}, {ID: "call-2", Name: "add", Arguments: `{"b": 1, "a": 20}`},
		}},
		{Role: "tool", ToolCallID: "call-2", Content: "result two"},
		{Role: "tool", ToolCallID: "call-1", Content: "result one"},
		{Role: "user", Content: "Thanks"},
	}
	templates := []string{
		"chatml.jinja", "zephyr.jinja", "gemma.jinja", "phi3.jinja", "llama3.jinja", "mistral.jinja", "harmony.jinja", "glm.jinja",
	}
	for _, f := range append(families(), harmonyFamily()) {
		templates = append(templates, f.template)
	}
	for _, name := range templates {
		template := load(t, name)
		for _, tools := range []bool{true, false} {
			conversation := c
			if !tools {
				conversation.Tools = nil
			}
			plan, err := template.Prepare(conversation)
			if err != nil {
				t.Errorf("%s, tools %v: %v", name, tools, err)
				continue
			}
			needles := []string{"Weather?", "Bonn", "20", "result one", "result two", "Thanks", "I look."}
			if tools {
				needles = append(needles, "Adds two numbers.", "get_weather")
			}
			for _, needle := range needles {
				if !strings.Contains(plan.Prompt, needle) {
					t.Errorf("%s, tools %v: no %q in %q", name, tools, needle, plan.Prompt)
				}
			}
		}
	}
	// One call at a time, each with its result; and names from ids.
	prompt := prepared(t, load(t, "tools/harmony.jinja"), c).Prompt
	at := -1
	for _, needle := range []string{
		"I look.", "analysis<|message|>Hm.", "to=functions.get_weather", "functions.get_weather to=assistant", "result one",
		"to=functions.add", "functions.add to=", "result two", "Thanks",
	} {
		next := strings.Index(prompt, needle)
		if next < at {
			t.Errorf("%q too early in %q", needle, prompt)
		}
		at = next
	}
	// Ids of nine letters and digits, the same on both sides.
	prompt = prepared(t, load(t, "tools/mistral3.jinja"), c).Prompt
	if strings.Count(prompt, shortID("call-1")) != 2 || strings.Contains(prompt, "call-1") {
		t.Errorf("ids in %q", prompt)
	}
}

// TestGeneric: a template that knows no tools, and refuses a system message.
func TestGeneric(t *testing.T) {
	template := load(t, "gemma.jinja") // alternating roles, no tools
	refusing, err := Parse("{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"+
		"{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "m", "", "")
	if err != nil {
		t.Fatal(err)
	}
	c := exchange(t)
	c.Messages = append(c.Messages[1:], Message{Role: "user", Content: "Thanks"})
	prompt := prepared(t, refusing, c).Prompt
	if !strings.HasPrefix(prompt, "user: You can call these functions.") || strings.Contains(prompt, "tool:") ||
		!strings.Contains(prompt, "Weather in Köln") || !strings.Contains(prompt, "assistant: <tool_call>\n{\"name\": \"get_weather\"") {
		t.Errorf("prompt %q", prompt)
	}
	plan := prepared(t, template, c)
	if plan.Special {
		t.Error("special")
	}
	if !strings.Contains(plan.Prompt, "</tool_response>\n\nThanks") {
		t.Errorf("roles do not alternate in %q", plan.Prompt)
	}
	// A template with tools whose way of calling nobody knows: no mixture.
	unknown, err := Parse("{{ tools | tojson }}{% for m in messages %}{{ m.role }}: {{ m.content }}"+
		"{% for call in m.tool_calls or [] %}CALL {{ call | tojson }}{% endfor %}\n{% endfor %}", "m", "", "")
	if err != nil {
		t.Fatal(err)
	}
	prompt = prepared(t, unknown, c).Prompt
	if strings.Contains(prompt, "CALL") || !strings.HasPrefix(prompt, "nullsystem: You can call") ||
		!strings.Contains(prompt, "user: <tool_response>") {
		t.Errorf("prompt %q", prompt)
	}
	plain := c
	plain.Tools = nil
	if prompt = prepared(t, unknown, plain).Prompt; strings.Count(prompt, "CALL") != 2 || strings.Contains(prompt, "<tool_") {
		t.Errorf("prompt %q", prompt)
	}
	// An answer that is none is told by tool_choice.
	c.ToolChoice.Mode = ToolNone
	if plan := prepared(t, template, c); plan.Grammar != "" || strings.Contains(plan.Prompt, "You can call") {
		t.Errorf("grammar %q, prompt %q", plan.Grammar, plan.Prompt)
	}
}

// TestTojson: as Python writes it; see golden.py for its settings.
func TestTojson(t *testing.T) {
	const value = `{"z": 1.0, "a": [1, -2.5e-7, 1e16, 123456789012345.5, true, null, []], ` +
		`"s": "<&>\"\\\n\u0001\u2028é😀/", "o": {}, "items": 1e5}`
	const written = `{"z": 1.0, "a": [1, -2.5e-07, 1e+16, 123456789012345.5, true, null, []], ` +
		`"s": "<&>\"\\\n\u0001` + "\u2028" + `é😀/", "o": {}, "items": 100000.0}`
	for source, want := range map[string]string{
		"v | tojson":                              written,
		"v.s | tojson(ensure_ascii=true)":         `"<&>\"\\\n\u0001\u2028\u00e9\ud83d\ude00/"`,
		"v.a[:2] | tojson(indent=2)":              "[\n  1,\n  -2.5e-07\n]",
		"{'o': v.o, 'a': []} | tojson(indent=1)":  "{\n \"o\": {},\n \"a\": []\n}",
		"v.a[:2] | tojson(separators=(',', ':'))": "[1,-2.5e-07]",
		"v.z":                  "1.0",
		"v.a[0] | string":      "1",
		"v.z | string":         "1.0",
		"v.a[4] | string":      "True",
		"v.a[5] | string":      "None",
		"v.a":                  "[1, -2.5e-07, 1e+16, 123456789012345.5, True, None, []]",
		"v.items() | length":   "5",
		"{'k': 'it'} | string": "{'k': 'it'}",
	} {
		template, err := Parse("{{ "+source+" }}", "m", "", "")
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		var vars map[string]json.RawMessage
		if template.names.reads("v") {
			vars = map[string]json.RawMessage{"v": []byte(value)}
		}
		plan, err := template.Prepare(Conversation{Vars: vars})
		if err != nil || plan.Prompt != want {
			t.Errorf("%s: %v\n got %v\nwant %s", source, err, plan, want)
		}
	}
}

// TestText: the expression for text without markers is just that.
func TestText(t *testing.T) {
	markers := [][]string{{"<ab>"}, {"<ab", "<ac>"}, {"<aab", "<ab>"}}
	var all []string
	for _, m := range markers {
		all = append(all, new(rules).whole(text(m...)))
	}
	starts := []string{"ab", "aac"}
	begins := new(rules).whole(unlike(anything, nil, starts))
	rapid.Check(t, func(r *rapid.T) {
		s := rapid.StringOfN(rapid.SampledFrom([]rune("<abc>é")), 0, 12, -1).Draw(r, "text")
		for i, m := range markers {
			want := true
			for _, marker := range m {
				want = want && !strings.Contains(s, marker)
			}
			if got := sentence(t, all[i], s); got != want {
				r.Fatalf("%q without %q: %v", s, m, got)
			}
		}
		// The end may come before it differs.
		want := !strings.HasPrefix(s, starts[0]) && !strings.HasPrefix(s, starts[1])
		if got := sentence(t, begins, s); got != want {
			r.Fatalf("%q begins unlike %q: %v", s, starts, got)
		}
	})
}

// BenchmarkPrepare plans a conversation with twenty tools.
func BenchmarkPrepare(b *testing.B) {
	template, c := load(b, "tools/hermes.jinja"), exchange(b)
	for len(c.Tools) < 20 {
		tool := c.Tools[0]
		tool.Name += strings.Repeat("x", len(c.Tools))
		tool.Strict = true
		c.Tools = append(c.Tools, tool)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := template.Prepare(c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParser splits an answer that comes in small pieces.
func BenchmarkParser(b *testing.B) {
	f := families()[0]
	plan := prepared(b, load(b, f.template), exchange(b))
	said := f.open + strings.Repeat("some thoughts ", 50) + f.close + strings.Repeat("some words ", 50) + f.several
	b.ReportAllocs()
	b.SetBytes(int64(len(said)))
	for b.Loop() {
		p := plan.Parser()
		for at := 0; at < len(said); at += 4 {
			p.Push(said[at:min(at+4, len(said))])
		}
		p.Finish()
	}
}
