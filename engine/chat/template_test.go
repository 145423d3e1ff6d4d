package chat

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

type golden struct {
	Prompt  *string
	Refused string
}

// TestFamilies renders templates of the published families as Jinja2 itself
// does: testdata/golden.py wrote the expected prompts.
func TestFamilies(t *testing.T) {
	var want map[string]map[string]golden
	readJSON(t, "golden.json", &want)
	var raw map[string][]struct {
		Role, Content, Name string
		ToolCallID          string `json:"tool_call_id"`
	}
	readJSON(t, "conversations.json", &raw)
	today := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	paths, err := filepath.Glob("testdata/*.jinja")
	if err != nil || len(paths) != len(want) || len(paths) < 8 {
		t.Fatalf("%d templates, %d with expected prompts, %v", len(paths), len(want), err)
	}
	for _, path := range paths {
		family := strings.TrimSuffix(filepath.Base(path), ".jinja")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		template, err := Parse(string(text), family, "<s>", "</s>")
		if err != nil {
			t.Errorf("%s: %v", family, err)
			continue
		}
		for name, turns := range raw {
			var messages []Message
			for _, turn := range turns {
				messages = append(messages, Message{Role: turn.Role, Content: turn.Content, Name: turn.Name, ToolCallID: turn.ToolCallID})
			}
			expect := want[family][name]
			got, err := template.RenderAt(today, messages)
			var refused *RefusedError
			switch {
			case expect.Prompt == nil:
				if !errors.As(err, &refused) || refused.Message != expect.Refused {
					t.Errorf("%s, %s: %q, %v; want refused: %s", family, name, got, err, expect.Refused)
				}
			case err != nil:
				t.Errorf("%s, %s: %v", family, name, err)
			case got != *expect.Prompt:
				t.Errorf("%s, %s:\n got %q\nwant %q", family, name, got, *expect.Prompt)
			}
		}
	}
}

// TestPlain: whitespace control where tags touch, which Jinja2 gives as here.
func TestPlain(t *testing.T) {
	for source, want := range map[string]string{
		"{% if true %}{{ 'b' }}\ntext{% endif %}":         "b\ntext",
		"A {{ 1 }}{%- if true %}x{% endif %}":             "A 1x",
		"{{ 1 -}}{{ 2 }} t":                               "12 t",
		"{{ 1 -}} {{ 2 }} t":                              "12 t",
		"{% if true %}\nx{% endif %}\n\ny\n":              "x\ny",
		"{% if true -%}\n  {{ 1 }}\n  {{ 2 }}{% endif %}": "1\n  2",
		"  {% if true %}\n  x\n  {% endif %}\n":           "  x\n",
		"  {%+ if true %}x{% endif +%}\n y":               "  x\n y",
		"a\n  {# note #}\nb{#- n -#}\n c":                 "a\nbc",
		"{% raw %} {{ no }} {%x {% endraw %}!":            " {{ no }} {%x !",
		"a {%- raw -%} {{ no }} {%- endraw -%} b":         "a{{ no }}b",
		"{{ {'a': {'b': 1}}['a']['b'] }}}":                "1}",
		"{{ '}}' }}{{ \"%}\" }}{ {":                       "}}%}{ {",
		"it's \\n {{ '\\n' }}":                            "it's \\n \n",
		"a\r\nb{{ 1 }}\r\n":                               "a\nb1",
		"{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}": "13",
	} {
		template, err := Parse(source, "m", "", "")
		if err != nil {
			t.Errorf("%q: %v", source, err)
			continue
		}
		if got, err := template.Render(nil); err != nil || got != want {
			t.Errorf("%q: %q, want %q (%v)", source, got, want, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for name, source := range map[string]string{
		"no template":      "",
		"unclosed tag":     "{% if x",
		"unclosed value":   "a {{ 'b' ",
		"unclosed string":  "{{ 'b }}",
		"unclosed comment": "{# b",
		"unclosed raw":     "{% raw %} {{ b }}",
		"unclosed block":   "{% if true %} b",
		"unknown tag":      "{% nonsense 1 %}",
	} {
		_, err := Parse(source, "a model", "", "")
		var te *TemplateError
		if !errors.As(err, &te) || te.Model != "a model" || !strings.Contains(err.Error(), `"a model"`) {
			t.Errorf("%s: error %v, want a *TemplateError that names the model", name, err)
		}
		if (name == "no template") != errors.Is(err, ErrNoTemplate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, source := range map[string]string{
		"call of nothing": "{{ nothing('x') }}",
		"unknown filter":  "{{ 'x' | nothing }}",
		"strftime":        "{{ strftime_now() }}",
		"raised":          "{{ raise_exception('I know no ' + messages[0].role) }}",
		"raised nothing":  "{{ raise_exception() }}",
	} {
		template, err := Parse(source, "a model", "", "")
		if err == nil {
			_, err = template.Render([]Message{{Role: "user", Content: "x"}})
		}
		var te *TemplateError
		if !errors.As(err, &te) || te.Model != "a model" {
			t.Errorf("%s: error %v", name, err)
		}
		var refused *RefusedError
		if strings.HasPrefix(name, "raised") != errors.As(err, &refused) {
			t.Errorf("%s: error %v", name, err)
		}
		if name == "raised" && !strings.Contains(err.Error(), "I know no user") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestGuarded(t *testing.T) {
	_, err := guarded(func() (int, error) { panic("oh") })
	if err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("error %v", err)
	}
}

// TestConcurrent renders one template from many goroutines; make race looks on.
func TestConcurrent(t *testing.T) {
	text, err := os.ReadFile("testdata/llama3.jinja")
	if err != nil {
		t.Fatal(err)
	}
	template, err := Parse(string(text), "m", "<s>", "</s>")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			content := strings.Repeat("x", i+1)
			for range 50 {
				got, err := template.Render([]Message{{Role: "user", Content: content}})
				if err != nil || !strings.Contains(got, "\n\n"+content+"<|eot_id|>") {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestStrftime(t *testing.T) {
	at := time.Date(2026, 2, 3, 14, 5, 6, 7000, time.UTC)
	for format, want := range map[string]string{
		"%d %b %Y": "03 Feb 2026", "%B %-d, %Y": "February 3, 2026", "%A %a %j": "Tuesday Tue 034", "%H:%M:%S %I %p": "14:05:06 02 PM",
		"%y%m%d %F %e|%f": "260203 2026-02-03  3|000007", "100%% %q %": "100% %q %", "%u%w%s": "221770127506", "%-H%n%t%Z": "14\n\tUTC",
	} {
		if got := strftime(at, format); got != want {
			t.Errorf("%q: %q, want %q", format, got, want)
		}
	}
	if got := strftime(at.Add(-14*time.Hour), "%-H"); got != "0" {
		t.Errorf("midnight %q", got)
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("a {%- if x -%} {{ '}}' }} {# c #}\n{% raw %}{{{% endraw %}")
	f.Fuzz(func(t *testing.T, source string) {
		// It ends, does not panic, and refuses with the package's own errors.
		_, err := Parse(source, "m", "", "")
		var refused *TemplateError
		if err != nil && !errors.As(err, &refused) && !errors.Is(err, ErrNoTemplate) {
			t.Errorf("error %v", err)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	text, err := os.ReadFile("testdata/llama3.jinja")
	if err != nil {
		b.Fatal(err)
	}
	template, err := Parse(string(text), "m", "<s>", "</s>")
	if err != nil {
		b.Fatal(err)
	}
	messages := []Message{{Role: "system", Content: "Be brief."}}
	for range 20 {
		messages = append(messages, Message{Role: "user", Content: "Hi"}, Message{Role: "assistant", Content: "Hello"})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := template.Render(messages); err != nil {
			b.Fatal(err)
		}
	}
}
