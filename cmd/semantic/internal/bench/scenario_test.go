package bench

import (
	"errors"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

// What every scenario asks is a job, the same with the same seed, and no longer
// than it says.
func TestScenarios(t *testing.T) {
	for _, scenario := range Scenarios() {
		t.Run(string(scenario), func(t *testing.T) {
			c := DefaultConfig()
			c.Scenario = scenario
			one, two := newSource(c, 7, nil), newSource(c, 7, nil)
			seen := make(map[string]bool)
			classes := make(map[schemas.Class]int)
			for i := range 300 {
				r, answered := one.next()
				again, answeredAgain := two.next()
				job := schemas.Job{
					Version: schemas.Version, Model: "any", Messages: r.Messages, MaxTokens: &r.MaxTokens, IgnoreEOS: r.Exact, Agent: r.Agent,
				}
				if err := job.Validate(); err != nil {
					t.Fatal(err)
				}
				if r.MaxTokens < c.MaxTokens/2 || r.MaxTokens > c.MaxTokens || !r.Exact {
					t.Fatalf("an answer of %d tokens", r.MaxTokens)
				}
				text, textAgain := whole(r), whole(again)
				if text != textAgain || r.MaxTokens != again.MaxTokens || r.Class != again.Class {
					t.Fatalf("request %d is another one with the same seed", i)
				}
				if seen[text] {
					t.Fatalf("request %d was asked before", i)
				}
				seen[text] = true
				classes[r.Class]++
				if answered != nil {
					answered("yes")
					answeredAgain("yes")
				}
			}
			if scenario != ScenarioMixedClasses {
				return
			}
			for _, class := range schemas.Classes() {
				if classes[class] < 60 {
					t.Errorf("%d of 300 are %s", classes[class], class)
				}
			}
		})
	}
}

func whole(r Request) string {
	var b strings.Builder
	for _, m := range r.Messages {
		b.WriteString(string(m.Role) + ": " + m.Content + "\n")
	}
	return b.String()
}

// An agent's next turn holds the one before with its answer; while it waits, the
// others ask; after 8 turns, or a failure, it begins anew.
func TestAgents(t *testing.T) {
	c := DefaultConfig()
	c.Scenario = ScenarioAgents
	s := newSource(c, 1, nil)
	first, answer := s.next()
	other, otherAnswer := s.next()
	if first.Agent == "" || first.Agent == other.Agent {
		t.Fatalf("the agents %q and %q", first.Agent, other.Agent)
	}
	answer("the answer")
	before := whole(first)
	for turn := 2; turn <= turns; turn++ {
		r, answered := s.next()
		if r.Agent != first.Agent || !strings.HasPrefix(whole(r), before+"assistant: the answer\n") {
			t.Fatalf("turn %d of %s does not go on where it was:\n%s", turn, r.Agent, whole(r))
		}
		before = whole(r)
		answered("the answer")
	}
	anew, fail := s.next()
	if anew.Agent != first.Agent || len(anew.Messages) != 2 {
		t.Fatalf("after %d turns: %d messages of %s", turns, len(anew.Messages), anew.Agent)
	}
	fail("")
	if r, _ := s.next(); r.Agent != first.Agent || len(r.Messages) != 2 {
		t.Errorf("after a failure: %d messages of %s", len(r.Messages), r.Agent)
	}
	otherAnswer("ok")
	if r, _ := s.next(); r.Agent != other.Agent || len(r.Messages) != 4 {
		t.Errorf("the other agent: %d messages of %s", len(r.Messages), r.Agent)
	}
}

func TestSharedPrefix(t *testing.T) {
	c := DefaultConfig()
	c.Scenario = ScenarioSharedPrefix
	s := newSource(c, 1, nil)
	a, _ := s.next()
	b, _ := s.next()
	if a.Messages[0].Content != b.Messages[0].Content || len(strings.Fields(a.Messages[0].Content)) != c.Words {
		t.Error("the long part is not the same, or not as long")
	}
}

func TestReadPrompts(t *testing.T) {
	all, err := ReadPrompts(strings.NewReader(`{"prompt": "a", "max_tokens": 3, "class": "batch", "agent": "x"}

{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "b"}]}
`))
	if err != nil || len(all) != 2 {
		t.Fatalf("%d prompts, %v", len(all), err)
	}
	c := DefaultConfig()
	c.Scenario, c.Class = ScenarioFile, schemas.ClassInteractive
	s := newSource(c, 1, all)
	for range 2 { // again and again
		r, _ := s.next()
		if whole(r) != "user: a\n" || r.MaxTokens != 3 || r.Class != schemas.ClassBatch || r.Agent != "x" || r.Exact {
			t.Errorf("the first line: %+v", r)
		}
		if r, _ = s.next(); whole(r) != "system: s\nuser: b\n" || r.MaxTokens != c.MaxTokens || r.Class != c.Class {
			t.Errorf("the second line: %+v", r)
		}
	}
	for _, bad := range []struct{ text, want string }{
		{"", "there is no prompt"},
		{"\n\n", "there is no prompt"},
		{`{"prompt": "a"}` + "\n{}", "line 2: want either prompt or messages"},
		{`{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}`, "line 1: want either"},
		{`{"prompt": "a", "tokens": 3}`, `line 1: json: unknown field "tokens"`},
		{`{"prompt": "a", "max_tokens": 0}`, "line 1: max_tokens: 0 is not"},
		{`{"prompt": "a", "class": "vip"}`, `line 1: class: "vip" is not interactive, normal or batch`},
		{`{"messages": [{"role": "nobody", "content": "b"}]}`, "line 1: messages[0].role"},
		{`{"prompt": "a"} x`, "line 1: more than one JSON value"},
		{`"a"`, "line 1: json: cannot unmarshal"},
		{strings.Repeat("x", maxLine+1), "line 1: bufio.Scanner: token too long"},
	} {
		_, err := ReadPrompts(strings.NewReader(bad.text))
		field := new(FieldError)
		if !errors.As(err, &field) || field.Field != "prompts" || !strings.Contains(field.Reason, bad.want) {
			t.Errorf("%.60q: %v, want %q", bad.text, err, bad.want)
		}
	}
}
