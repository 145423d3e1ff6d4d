package queue

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
)

// kvKey is what nats.go accepts as a key.
var kvKey = regexp.MustCompile(`^[-/_=.a-zA-Z0-9]+$`)

func TestSlugRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("aZ09_-=/.*>: \x00\né€")))).Draw(t, "name")
		slug := Slug(name)
		if !concreteSubject(slug) || strings.Contains(slug, ".") || !kvKey.MatchString(slug) {
			t.Fatalf("slug %q of %q is not one safe token", slug, name)
		}
		back, err := Unslug(slug)
		if err != nil || back != name {
			t.Fatalf("%q → %q → %q, %v", name, slug, back, err)
		}
	})
}

func TestSlugIsTheOnlyOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slug := rapid.StringOf(rapid.RuneFrom([]rune("aZ9_-=2F4D1."))).Draw(t, "slug")
		if name, err := Unslug(slug); err == nil && Slug(name) != slug {
			t.Fatalf("%q and %q both mean %q", slug, Slug(name), name)
		}
	})
	for _, bad := range []string{"", "=2", "=2f", "=41", "a.b", "a=", "=GG", "é"} {
		if name, err := Unslug(bad); err == nil {
			t.Errorf("Unslug(%q) = %q, want an error", bad, name)
		}
	}
}

func TestConsumerName(t *testing.T) {
	seen := make(map[string]string)
	rapid.Check(t, func(t *rapid.T) {
		model := rapid.String().Draw(t, "model")
		name := consumerName(model, rapid.IntRange(0, Flows-1).Draw(t, "flow"))
		if len(name) > 64 || strings.ContainsAny(name, ". *>/\\\t\n") {
			t.Fatalf("consumer name %q", name)
		}
	})
	for _, model := range []string{"Qwen", "qwen", "QWEN", "qwen/x", "qwen=2Fx", strings.Repeat("q", 300), strings.Repeat("q", 301)} {
		// A Mac's disk does not tell upper from lower case.
		name := strings.ToLower(consumerName(model, 3))
		if other, taken := seen[name]; taken {
			t.Errorf("%q and %q share the consumer %s", model, other, name)
		}
		seen[name] = model
	}
}

func TestJobSubjectRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := jobAddress{
			Model: rapid.String().Draw(t, "model"), Owner: rapid.String().Draw(t, "owner"),
			Class: rapid.SampledFrom(schemas.Classes()).Draw(t, "class"), Flow: rapid.IntRange(0, Flows-1).Draw(t, "flow"),
		}
		got, err := parseJobSubject(JobSubject(want.Model, want.Class, want.Flow, want.Owner))
		if err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
		class, flow, ok := parseWakeSubject(wakeSubject(want.Model, want.Class, want.Flow, want.Owner))
		if !ok || class != want.Class || flow != want.Flow {
			t.Fatalf("bell: %s %d %v", class, flow, ok)
		}
		filter, err := parseJobSubject(flowFilter(want.Model, want.Class, want.Flow))
		if err != nil || filter.Owner != "" || filter.Model != want.Model {
			t.Fatalf("filter: %+v, %v", filter, err)
		}
	})
	for _, bad := range []string{
		"", "semantic.jobs.m.normal.00", "semantic.jobs.m.normal.00.o.x", "other.jobs.m.normal.00.o", "semantic.jobs.m.urgent.00.o",
		"semantic.jobs.m.normal.16.o", "semantic.jobs.m.normal.3.o", "semantic.jobs.m.normal.-1.o", "semantic.jobs.é.normal.00.o",
		"semantic.jobs.m.normal.00.é",
	} {
		if got, err := parseJobSubject(bad); err == nil {
			t.Errorf("parseJobSubject(%q) = %+v, want an error", bad, got)
		}
	}
	for _, bad := range []string{"semantic.wake.m.normal.00", "semantic.wake.m.normal.99.o", "semantic.wake.m.none.00.o"} {
		if _, _, ok := parseWakeSubject(bad); ok {
			t.Errorf("parseWakeSubject(%q) accepted", bad)
		}
	}
}

func TestReplyAllowed(t *testing.T) {
	prefixes := []string{"replies.{owner}.", "shared.out."}
	for _, c := range []struct {
		replyTo, owner string
		want           bool
	}{
		{"_INBOX.abc", OwnerLocal, true},
		{"_INBOX.abc.def", OwnerLocal, true},
		{"_INBOX.", OwnerLocal, false},
		{"_INBOX.>", OwnerLocal, false},
		{"_INBOX.*", OwnerLocal, false},
		{"_INBOX.a b", OwnerLocal, false},
		{"_INBOX.a\r\nPUB x 0", OwnerLocal, false},
		{"_INBOX.a..b", OwnerLocal, false},
		{"semantic.events.local.x", OwnerLocal, false},
		{"$JS.API.STREAM.PURGE.EVENTS", OwnerLocal, false},
		{"_INBOX.ada.x", "ada", true},
		{"_INBOX.adam.x", "ada", false},
		{"_INBOX.x", "ada", false},
		{"_INBOX.a=2Fb.x", "a/b", true},
		{"replies.ada.x", "ada", true},
		{"replies.bob.x", "ada", false},
		{"shared.out.x", "ada", true},
		{"_INBOX." + strings.Repeat("x", 600), OwnerLocal, false},
	} {
		if got := replyAllowed(c.replyTo, c.owner, prefixes); got != c.want {
			t.Errorf("replyAllowed(%q, %q) = %v", c.replyTo, c.owner, got)
		}
	}
}

func TestJobIDs(t *testing.T) {
	if a, b := NewJobID(), NewJobID(); a == b || !ValidJobID(a) || len(a) != 32 {
		t.Fatalf("ids %q and %q", a, b)
	}
	for _, bad := range []string{"", "a.b", "a b", "a=b", "é", strings.Repeat("a", 129)} {
		if ValidJobID(bad) {
			t.Errorf("ValidJobID(%q)", bad)
		}
	}
	for _, c := range []struct{ header, want string }{
		{"mine", "mine"}, {"", "sb-7"}, {"a.b", "sb-7"}, {"si-12", "sb-7"}, {"sx-12", "sx-12"}, {"si-012", "si-012"},
	} {
		if got := deliveredID(c.header, schemas.ClassBatch, 7); got != c.want {
			t.Errorf("deliveredID(%q) = %q, want %q", c.header, got, c.want)
		}
	}
	if class, n, ok := parseSequenceID(sequenceID(schemas.ClassInteractive, 42)); !ok || class != schemas.ClassInteractive || n != 42 {
		t.Errorf("sequence id: %s %d %v", class, n, ok)
	}
}

func TestFlow(t *testing.T) {
	say := func(texts ...string) (m []schemas.Message) {
		for _, text := range texts {
			m = append(m, schemas.Message{Role: schemas.RoleUser, Content: text})
		}
		return m
	}
	flowOf := func(owner, agent string, m []schemas.Message) int {
		return Flow(owner, schemas.Job{Agent: agent, Messages: m})
	}
	if flowOf("o", "agent", say("a")) != flowOf("o", "agent", say("b")) {
		t.Error("one agent, two flows")
	}
	if flowOf("o", "", say("a", "b")) != flowOf("o", "", say("a", "b", "c", "d")) {
		t.Error("a growing conversation moved")
	}
	rapid.Check(t, func(t *rapid.T) {
		flow := flowOf(rapid.String().Draw(t, "owner"), rapid.String().Draw(t, "agent"), say(rapid.String().Draw(t, "text")))
		if flow < 0 || flow >= Flows {
			t.Fatalf("flow %d", flow)
		}
	})
	used := make(map[int]bool)
	for i := range 500 {
		used[flowOf("o", strings.Repeat("x", i), nil)] = true
	}
	if len(used) != Flows {
		t.Errorf("500 agents use %d flows", len(used))
	}
	clear(used)
	for i := range 500 {
		prompts := []schemas.Prompt{{Text: strings.Repeat("x", i)}}
		if i%2 == 1 {
			prompts = []schemas.Prompt{{Tokens: []int32{int32(i)}}}
		}
		used[Flow("o", schemas.Job{Kind: schemas.KindCompletion, Prompts: prompts})] = true
	}
	if len(used) != Flows {
		t.Errorf("500 completions use %d flows", len(used))
	}
}
