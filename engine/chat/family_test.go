package chat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/engine/grammar"
)

// spoke is an answer, put together.
type spoke struct {
	Reasoning, Content string
	Names, Arguments   []string
}

func (s *spoke) add(t testing.TB, parts []Part) {
	for _, part := range parts {
		switch part.Kind {
		case Reasoning:
			s.Reasoning += part.Text
		case Content:
			s.Content += part.Text
		case Call:
			if part.Call.Name != "" {
				if part.Call.Index != len(s.Names) {
					t.Fatalf("call %d begins as %d", len(s.Names), part.Call.Index)
				}
				s.Names = append(s.Names, part.Call.Name)
				s.Arguments = append(s.Arguments, "")
			}
			if part.Call.Index != len(s.Names)-1 {
				t.Fatalf("arguments of call %d while %d calls began", part.Call.Index, len(s.Names))
			}
			s.Arguments[part.Call.Index] += part.Call.Arguments
		}
	}
}

func (s spoke) String() string {
	b, _ := json.Marshal(s)
	return string(b)
}

// parsed is what a parser makes of pieces of text.
func parsed(t testing.TB, plan *Plan, pieces ...string) spoke {
	var s spoke
	p := plan.Parser()
	for _, piece := range pieces {
		s.add(t, p.Push(piece))
	}
	s.add(t, p.Finish())
	if p.Called() != (len(s.Names) > 0) {
		t.Fatalf("called %v with %d calls", p.Called(), len(s.Names))
	}
	return s
}

// exchange is the conversation of toolcalls.json.
func exchange(t testing.TB) Conversation {
	t.Helper()
	var in struct {
		Tools []struct {
			Function struct {
				Name, Description string
				Parameters        json.RawMessage
			}
		}
		Messages []struct {
			Role, Content, Name string
			ToolCallID          string `json:"tool_call_id"`
			ToolCalls           []struct {
				ID       string
				Function struct {
					Name      string
					Arguments json.RawMessage
				}
			} `json:"tool_calls"`
		}
	}
	b, err := os.ReadFile("testdata/toolcalls.json")
	if err == nil {
		err = json.Unmarshal(b, &in)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := Conversation{Now: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), ParallelCalls: true}
	for _, tool := range in.Tools {
		c.Tools = append(c.Tools, Tool{
			Name: tool.Function.Name, Description: tool.Function.Description, Parameters: tool.Function.Parameters,
		})
	}
	for _, m := range in.Messages {
		message := Message{Role: m.Role, Content: m.Content, Name: m.Name, ToolCallID: m.ToolCallID}
		for _, call := range m.ToolCalls {
			message.ToolCalls = append(message.ToolCalls, ToolCall{
				ID: call.ID, Name: call.Function.Name, Arguments: string(call.Function.Arguments),
			})
		}
		c.Messages = append(c.Messages, message)
	}
	return c
}

func load(t testing.TB, path string) *Template {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", path))
	if err != nil {
		t.Fatal(err)
	}
	template, err := Parse(string(b), path, "<s>", "</s>")
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func prepared(t testing.TB, template *Template, c Conversation) *Plan {
	t.Helper()
	plan, err := template.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// sentence reports whether a grammar accepts a whole text.
func sentence(t testing.TB, gbnf, text string) bool {
	t.Helper()
	g, err := grammar.Parse(gbnf)
	if err != nil {
		t.Fatalf("%v in\n%s", err, gbnf)
	}
	m := g.Matcher()
	return m.Accept([]byte(text)) && m.Complete()
}

// family is a family's wire format by examples: what its models generate behind
// the prompt of exchange.
type family struct {
	// template is the file; think is what opens the reasoning, if the model
	// does, and what closes it.
	template        string
	open, close     string
	single, several string
	// loose is what a parser understands, though the grammar does not write it.
	loose []string
	// broken is no call, and therefore said.
	broken string
}

const (
	weatherArguments = `{"city": "K\u00f6ln \"<b>\" </", "days": 2, "items": ["rain", "}"]}`
	addArguments     = `{"b": 1.0, "a": -2}`
)

func families() []family {
	weather := `{"name": "get_weather", "arguments": ` + weatherArguments + `}`
	add := `{"name": "add", "arguments": ` + addArguments + `}`
	const deepSection, deepCall, deepSep, deepEnd, deepOver = "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
		"<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"
	const fence = "\n```json\n"
	qwen := "<tool_call>\n<function=get_weather>\n<parameter=city>\nKöln \"<b>\" </\n</parameter>\n<parameter=days>\n2\n</parameter>\n" +
		"<parameter=items>\n[\"rain\", \"}\"]\n</parameter>\n</function>\n</tool_call>"
	qwenAdd := "<tool_call>\n<function=add>\n<parameter=b>\n1.0\n</parameter>\n<parameter=a>\n-2\n</parameter>\n</function>\n</tool_call>"
	glm := "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Köln \"<b>\" </</arg_value>\n<arg_key>days</arg_key>\n" +
		"<arg_value>2</arg_value>\n<arg_key>items</arg_key>\n<arg_value>[\"rain\", \"}\"]</arg_value>\n</tool_call>"
	glmAdd := "<tool_call>add<arg_key>b</arg_key><arg_value>1.0</arg_value><arg_key>a</arg_key><arg_value>-2</arg_value></tool_call>"
	gemma := `<|tool_call>call:get_weather{city:<|"|>Köln "<b>" </<|"|>,days:2,items:[<|"|>rain<|"|>,<|"|>}<|"|>]}<tool_call|>`
	gemmaAdd := `<|tool_call>call:add{a:-2,b:1.0}<tool_call|>`
	return []family{
		{
			template: "tools/hermes.jinja", open: "<think>\n", close: "\n</think>\n\n",
			single:  "<tool_call>\n" + weather + "\n</tool_call>",
			several: "<tool_call>\n" + weather + "\n</tool_call>\n<tool_call>\n" + add + "\n</tool_call>",
			loose: []string{
				`<tool_call>{"arguments": ` + weatherArguments + `, "name": "get_weather"}</tool_call>`,
				`<tool_call> {"id": [1], "name": "get_weather" , "arguments":` + weatherArguments + `, "x": "}"}`,
			},
			broken: `<tool_call>{"nome": 1} and {`,
		},
		{
			template: "tools/qwencoder.jinja", close: "\n</think>\n\n",
			single: qwen, several: qwen + "\n" + qwenAdd,
			loose:  []string{strings.Replace(qwen, "</function>\n", "", 1)},
			broken: "<tool_call>\n<fun>",
		},
		{
			template: "tools/glm.jinja", close: "</think>",
			single: glm, several: glm + "\n" + glmAdd,
			broken: "<tool_call><arg_key>x",
		},
		{
			template: "tools/llama.jinja",
			single:   `{"name": "get_weather", "parameters": ` + weatherArguments + `}`,
			loose: []string{
				`<|python_tag|>{"name": "get_weather", "parameters": ` + weatherArguments + `}`,
				`{"type": "function", "name": "get_weather", "parameters": ` + weatherArguments + `}`,
			},
			broken: `{"city": "Bonn"}`,
		},
		{
			template: "tools/mistral3.jinja",
			single:   `[TOOL_CALLS][` + weather + `]`,
			several:  `[TOOL_CALLS] [` + weather + `, ` + add + `]`,
			loose:    []string{`[TOOL_CALLS][{"name": "get_weather", "arguments": ` + weatherArguments + `, "id": "abcdefghi"}]`},
			broken:   `[TOOL_CALLS] none`,
		},
		{
			template: "tools/mistral13.jinja",
			single:   `[TOOL_CALLS]get_weather[ARGS]` + weatherArguments,
			several:  `[TOOL_CALLS]get_weather[ARGS]` + weatherArguments + `[TOOL_CALLS]add[ARGS]` + addArguments,
			loose:    []string{`[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]` + weatherArguments},
			broken:   `[TOOL_CALLS]` + strings.Repeat("x", longestName+10),
		},
		{
			template: "tools/deepseek31.jinja",
			single:   deepSection + deepCall + "get_weather" + deepSep + weatherArguments + deepEnd + deepOver,
			several: deepSection + deepCall + "get_weather" + deepSep + weatherArguments + deepEnd +
				deepCall + "add" + deepSep + addArguments + deepEnd + deepOver,
			broken: deepSection + "none",
		},
		{
			template: "tools/deepseekr1.jinja", close: "\n</think>\n\n",
			single: deepSection + deepCall + "function" + deepSep + "get_weather" + fence + weatherArguments + "\n```" + deepEnd + deepOver,
			several: deepSection + deepCall + "function" + deepSep + "get_weather" + fence + weatherArguments + "\n```" + deepEnd + "\n" +
				deepCall + "function" + deepSep + "add" + fence + addArguments + "\n```" + deepEnd + deepOver,
			broken: deepSection + deepCall + "none",
		},
		{
			template: "tools/gemma4.jinja",
			single:   gemma, several: gemma + gemmaAdd,
			broken: "<|tool_call>none{",
		},
		{
			template: "phi4.jinja",
			single:   `<|tool_call|>[` + weather + `]<|/tool_call|>`,
			several:  `<|tool_call|>[` + weather + `, ` + add + `]<|/tool_call|>`,
			broken:   `<|tool_call|>[]`,
		},
		{
			template: "tools/granite.jinja",
			single:   `<|tool_call|>[` + weather + `]`,
			several:  `<|tool_call|>[` + weather + `, ` + add + `]`,
			broken:   `<|tool_call|> x`,
		},
		{
			template: "granite31.jinja",
			single:   `<tool_call>[` + weather + `]`,
			several:  `<tool_call> [` + weather + `, ` + add + `]`,
			broken:   `<tool_call>{}`,
		},
		{
			template: "chatml.jinja", open: "<think>", close: "</think>",
			single:  "<tool_call>\n" + weather + "\n</tool_call>",
			several: "<tool_call>\n" + weather + "\n</tool_call>\n<tool_call>\n" + add + "\n</tool_call>",
			broken:  "<tool_call>\n[",
		},
		{
			template: "zephyr.jinja",
			single:   "<tool_call>\n" + weather + "\n</tool_call>",
			several:  "<tool_call>\n" + weather + "\n</tool_call>\n<tool_call>\n" + add + "\n</tool_call>",
			broken:   "<tool_call>!",
		},
		{
			template: "gemma.jinja",
			single:   "<tool_call>\n" + weather + "\n</tool_call>",
			several:  "<tool_call>\n" + weather + "\n</tool_call>\n<tool_call>\n" + add + "\n</tool_call>",
			broken:   "<tool_call>\n{}",
		},
	}
}

// TestFamilyPrompts: tools, calls and results are rendered as Jinja2 renders
// them; golden_tools.py wrote what is expected.
func TestFamilyPrompts(t *testing.T) {
	var want map[string]string
	readJSON(t, "golden_tools.json", &want)
	paths, err := filepath.Glob("testdata/tools/*.jinja")
	if err != nil || len(paths) != len(want) || len(paths) < 10 {
		t.Fatalf("%d templates, %d with expected prompts, %v", len(paths), len(want), err)
	}
	c := exchange(t)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".jinja")
		template := load(t, "tools/"+name+".jinja")
		c.Messages[0].Content = "Be brief."
		plan := prepared(t, template, c)
		expect := want[name]
		if !template.manners().tools {
			// The tools are in the system message.
			expect = strings.Replace(expect, "Be brief.", "Be brief.\n\n"+explanation(c.Tools, template.format), 1)
		}
		if plan.Prompt != expect {
			t.Errorf("%s:\n got %q\nwant %q", name, plan.Prompt, expect)
		}
		if !template.known || !plan.Special {
			t.Errorf("%s: known %v, special %v", name, template.known, plan.Special)
		}
	}
}

// TestSilent: templates that say nothing of calls, but how tools are listed.
func TestSilent(t *testing.T) {
	c := exchange(t)
	c.Messages = append([]Message{{Role: "system", Content: "Be brief."}}, c.Messages[1:4]...)
	c.Tools = c.Tools[1:]
	for template, want := range map[string]string{
		"phi4.jinja": `<|system|>Be brief.<|tool|>[{"name": "add", "description": "Adds two numbers.", "parameters": ` +
			string(c.Tools[0].Parameters) + `}]<|/tool|><|end|><|user|>Weather in Köln? And 1 + 2?<|end|>` +
			`<|assistant|><|tool_call|>[{"name": "get_weather", "arguments": ` + c.Messages[2].ToolCalls[0].Arguments +
			`}]<|/tool_call|><|end|><|user|>` + "<tool_response>\n{\"temperature\": 21.0}\n</tool_response><|end|><|assistant|>",
		"granite31.jinja": "<tool_call>[{\"name\": \"get_weather\"",
	} {
		plan := prepared(t, load(t, template), c)
		if !strings.Contains(plan.Prompt, want) || !plan.Special {
			t.Errorf("%s: %q, want %q; special %v", template, plan.Prompt, want, plan.Special)
		}
	}
	c.Messages = c.Messages[1:2]
	if got := prepared(t, load(t, "phi4.jinja"), c).Prompt; !strings.HasPrefix(got, `<|system|><|tool|>[{"name": "add"`) {
		t.Errorf("without a system message: %q", got)
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

// TestFamilyCalls: what models generate is split into reasoning, content and
// calls, and the grammars accept it, and nothing else.
func TestFamilyCalls(t *testing.T) {
	for _, f := range families() {
		t.Run(f.template, func(t *testing.T) {
			template, c := load(t, f.template), exchange(t)
			plan := prepared(t, template, c)
			check := func(text string, content string, calls ...string) {
				t.Helper()
				thought := ""
				if f.close != "" {
					text, thought = f.open+"Let me see: <tool_cal"+f.close+text, "Let me see: <tool_cal"
				}
				got := parsed(t, plan, text)
				if got.Content != content || got.Reasoning != thought || len(got.Names) != len(calls) {
					t.Fatalf("%q gives %v", text, got)
				}
				for i, arguments := range calls {
					name := []string{"get_weather", "add"}[i]
					if got.Names[i] != name || !sameJSON(got.Arguments[i], arguments) {
						t.Errorf("%q: call %d is %s(%s)", text, i, got.Names[i], got.Arguments[i])
					}
				}
			}
			thought := f.open + f.close
			check(f.single, "", weatherArguments)
			check("Hello!", "Hello!")
			for _, loose := range f.loose {
				check(loose, "", weatherArguments)
			}
			check(f.broken, f.broken)
			if f.several != "" {
				check(f.several, "", weatherArguments, addArguments)
			}
			before := "I look, a < b [1] {:\n\n"
			if f.template != "tools/llama.jinja" { // there a call is the whole answer
				check(before+f.single, strings.TrimRight(before, "\n"), weatherArguments)
				if !sentence(t, plan.Grammar, thought+before+f.single) {
					t.Error("text before a call is refused")
				}
			}

			accepts := func(c Conversation, text string, want bool) {
				t.Helper()
				if got := sentence(t, prepared(t, template, c).Grammar, thought+text); got != want {
					t.Errorf("%q is a sentence: %v (%v, parallel %v)", text, got, c.ToolChoice, c.ParallelCalls)
				}
			}
			for _, choice := range []ToolChoice{{}, {Mode: ToolRequired}, {Mode: ToolFunction, Name: "get_weather"}} {
				c.ToolChoice, c.ParallelCalls = choice, true
				accepts(c, f.single, true)
				accepts(c, strings.Replace(f.single, "get_weather", "get_wether", 1), false)
				accepts(c, f.single[:len(f.single)-1], false)
				accepts(c, "Hello!", choice.Mode == "")
				if f.several == "" {
					continue
				}
				accepts(c, f.several, choice.Mode != ToolFunction)
				if strings.HasSuffix(f.single, "</tool_call>") {
					many := strings.Repeat(f.single+"\n", 15) + f.single
					accepts(c, many, choice.Mode != ToolFunction)
					accepts(c, many+"\n"+f.single, false)
				}
				c.ParallelCalls = false
				accepts(c, f.several, false)
			}
			c.ToolChoice, c.ParallelCalls = ToolChoice{Mode: ToolFunction, Name: "add"}, true
			accepts(c, f.single, false)
			// What is enforced keeps to the schema.
			c.ToolChoice.Name = "get_weather"
			accepts(c, strings.Replace(f.single, "2", `true`, 1), false)
			c.ToolChoice = ToolChoice{}
			accepts(c, strings.Replace(f.single, "2", `true`, 1), true)
			c.Tools[0].Strict = true
			accepts(c, strings.Replace(f.single, "2", `true`, 1), false)
			accepts(c, f.single, true)
		})
	}
}

// TestCuts: however a text is cut into pieces, the same comes out; also of texts
// that are no more than something like a call.
func TestCuts(t *testing.T) {
	type sample struct {
		plan  *Plan
		texts []string
	}
	var samples []sample
	for _, f := range append(families(), harmonyFamily()) {
		s := sample{plan: prepared(t, load(t, f.template), exchange(t))}
		said := []string{f.single, f.several, f.broken, "Hello \n\n there.\n", "a" + f.single + "\n b \n" + f.single}
		for _, text := range append(said, f.loose...) {
			s.texts = append(s.texts, f.open+"thinking\n"+f.close+text, text)
		}
		samples = append(samples, s)
	}
	rapid.Check(t, func(r *rapid.T) {
		s := rapid.SampledFrom(samples).Draw(r, "family")
		var text []rune
		for range rapid.IntRange(1, 6).Draw(r, "fragments") {
			whole := []rune(rapid.SampledFrom(s.texts).Draw(r, "text"))
			from := 0
			if rapid.Bool().Draw(r, "begins within") {
				from = rapid.IntRange(0, len(whole)).Draw(r, "from")
			}
			text = append(text, whole[from:rapid.IntRange(from, len(whole)).Draw(r, "to")]...)
		}
		var pieces []string
		for at := 0; at < len(text); {
			n := min(rapid.IntRange(1, 12).Draw(r, "piece"), len(text)-at)
			pieces = append(pieces, string(text[at:at+n]))
			at += n
		}
		whole, cut := parsed(t, s.plan, string(text)), parsed(t, s.plan, pieces...)
		if whole.String() != cut.String() {
			r.Fatalf("%q gives\n%v, in pieces\n%v", string(text), whole, cut)
		}
	})
}

// TestShort: of a call that was cut short, what arrived is handed on, and
// nothing else.
func TestShort(t *testing.T) {
	for _, f := range append(families(), harmonyFamily()) {
		plan := prepared(t, load(t, f.template), exchange(t))
		thought := f.open + f.close
		whole := parsed(t, plan, thought+f.single)
		seen := ""
		for n := range []rune(f.single) {
			got := parsed(t, plan, thought+string([]rune(f.single)[:n]))
			if len(got.Names) == 0 {
				continue
			}
			if got.Names[0] != "get_weather" || !strings.HasPrefix(whole.Arguments[0], got.Arguments[0]) {
				t.Errorf("%s: %q gives %v, of %v", f.template, string([]rune(f.single)[:n]), got, whole)
			}
			if len(got.Arguments[0]) < len(seen) {
				t.Errorf("%s: %q after %q", f.template, got.Arguments[0], seen)
			}
			seen = got.Arguments[0]
		}
	}
}

// TestArgumentsStream: arguments arrive while they are generated.
func TestArgumentsStream(t *testing.T) {
	for _, f := range append(families(), harmonyFamily()) {
		plan := prepared(t, load(t, f.template), exchange(t))
		p := plan.Parser()
		p.Push(f.open + f.close)
		pieces := 0
		for _, c := range f.single {
			for _, part := range p.Push(string(c)) {
				if part.Kind == Call && part.Call.Arguments != "" {
					pieces++
				}
			}
		}
		if pieces < 10 {
			t.Errorf("%s: the arguments come in %d pieces", f.template, pieces)
		}
	}
}

func harmonyFamily() family {
	return family{
		template: "tools/harmony.jinja",
		open:     "<|channel|>analysis<|message|>", close: "<|end|><|start|>assistant",
		single:  "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>" + weatherArguments,
		several: "",
		loose: []string{
			" to=functions.get_weather<|channel|>commentary json<|message|>" + weatherArguments + "<|call|>",
			"<|channel|>final<|message|>Hi<|return|>",
		},
	}
}

func TestHarmony(t *testing.T) {
	f := harmonyFamily()
	template, c := load(t, f.template), exchange(t)
	auto := prepared(t, template, c)
	c.ToolChoice = ToolChoice{Mode: ToolRequired}
	must := prepared(t, template, c)
	c.ToolChoice, c.Tools = ToolChoice{}, nil
	plain := prepared(t, template, c)
	c.Grammar = `root ::= "yes" | "no"`
	constrained := prepared(t, template, c)
	if !auto.Special || !plain.Special || plain.Grammar != "" {
		t.Errorf("special %v, %v, grammar %q", auto.Special, plain.Special, plain.Grammar)
	}
	const analysis = "<|channel|>analysis<|message|>Hm. a < b<|end|><|start|>assistant"
	for _, test := range []struct {
		text                    string
		want                    spoke
		auto, must, constrained bool
	}{
		{"<|channel|>final<|message|>Hello", spoke{Content: "Hello"}, true, false, false},
		{"<|channel|>final<|message|>yes", spoke{Content: "yes"}, true, false, true},
		{analysis + "<|channel|>final<|message|>no", spoke{Reasoning: "Hm. a < b", Content: "no"}, true, false, true},
		{
			analysis + "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant" + f.single,
			spoke{"Hm. a < b", "I look.", []string{"get_weather"}, []string{weatherArguments}},
			true, true, false,
		},
		{
			analysis + " to=functions.add<|channel|>commentary json<|message|>" + addArguments,
			spoke{Reasoning: "Hm. a < b", Names: []string{"add"}, Arguments: []string{addArguments}},
			true, true, false,
		},
		{
			strings.Replace(f.single, "get_weather", "get_wether", 1),
			spoke{Names: []string{"get_wether"}, Arguments: []string{weatherArguments}},
			false, false, false,
		},
		{analysis + analysis, spoke{Reasoning: "Hm. a < b\nHm. a < b"}, false, false, false},
		{"Just so.", spoke{Content: "Just so."}, false, false, false},
	} {
		if got := parsed(t, auto, test.text); got.String() != test.want.String() {
			t.Errorf("%q gives %v", test.text, got)
		}
		if got := parsed(t, plain, test.text); got.String() != test.want.String() {
			t.Errorf("%q without tools gives %v", test.text, got)
		}
		for i, want := range []bool{test.auto, test.must, test.constrained} {
			if got := sentence(t, []*Plan{auto, must, constrained}[i].Grammar, test.text); got != want {
				t.Errorf("%q is a sentence of %d: %v", test.text, i, got)
			}
		}
	}
}
