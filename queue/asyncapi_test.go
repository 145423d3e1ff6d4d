package queue

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/semantic-worker/semantic/schemas"
)

// channel is what asyncapi.yaml says about one subject.
type channel struct {
	Address    string         `yaml:"address"`
	Parameters map[string]any `yaml:"parameters"`
}

func asyncAPIChannels(t *testing.T) map[string]channel {
	t.Helper()
	var doc struct {
		Channels map[string]channel `yaml:"channels"`
	}
	if err := yaml.Unmarshal(schemas.AsyncAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Channels
}

var parameter = regexp.MustCompile(`\{[a-z]+\}`)

// The addresses of asyncapi.yaml, with their parameters filled in, are the
// subjects that this package makes.
func TestAsyncAPIDescribesTheSubjects(t *testing.T) {
	const model, owner, worker, job = "a/model of 7B", "some.one", "mac.local", "j-1"
	fill := strings.NewReplacer(
		"{model}", Slug(model), "{class}", "batch", "{flow}", "07", "{owner}", Slug(owner), "{job}", job, "{worker}", Slug(worker),
		"{answer}", "t1", "{inbox}", Slug(owner)+".1",
	)
	want := map[string]string{
		"jobs":     JobSubject(model, schemas.ClassBatch, 7, owner),
		"doorbell": wakeSubject(model, schemas.ClassBatch, 7, owner),
		"events":   EventSubject(owner, job),
		"feed":     ReplySubject(owner, job),
		"control":  controlSubject(worker),
		"report":   reportSubject(worker),
		"answer":   answerSubject("t1"),
		"inbox":    "_INBOX." + Slug(owner) + ".1",
		"dead":     deadSubject(model, owner, job),
		"readers":  readersSubject(owner, job),
		"arrivals": arrivalsSubject(owner, job),
	}
	if !replyAllowed(want["inbox"], owner, nil) {
		t.Errorf("%s is no inbox of %s", want["inbox"], owner)
	}
	channels := asyncAPIChannels(t)
	for name, c := range channels {
		if got := fill.Replace(c.Address); got != want[name] {
			t.Errorf("the channel %s: %s becomes %q, the package makes %q", name, c.Address, got, want[name])
		}
		var described []string
		for p := range maps.Keys(c.Parameters) {
			described = append(described, "{"+p+"}")
		}
		used := parameter.FindAllString(c.Address, -1)
		slices.Sort(described)
		slices.Sort(used)
		if !slices.Equal(described, used) {
			t.Errorf("the channel %s describes the parameters %q, and uses %q", name, described, used)
		}
	}
	for name := range want {
		if _, ok := channels[name]; !ok {
			t.Errorf("%s is no channel", name)
		}
	}
}

// Every subject of the grammar in subjects.go has a channel.
func TestAsyncAPIHasEverySubject(t *testing.T) {
	channels := slices.Collect(maps.Values(asyncAPIChannels(t)))
	grammar := subjectConstants(t)
	if len(grammar) < 6 {
		t.Fatalf("only %q found", grammar)
	}
	for _, subject := range grammar {
		prefix := strings.TrimRight(subject, "*.") + "."
		if !slices.ContainsFunc(channels, func(c channel) bool { return strings.HasPrefix(c.Address, prefix) }) {
			t.Errorf("no channel describes %s", subject)
		}
	}
	for _, s := range DefaultConfig().streams() {
		for _, subject := range s.Subjects {
			if strings.HasPrefix(subject, "$") { // NATS's own
				continue
			}
			if !slices.ContainsFunc(grammar, func(g string) bool { return strings.HasPrefix(subject, strings.TrimRight(g, "*.")+".") }) {
				t.Errorf("%s of the stream %s is not of the grammar", subject, s.Name)
			}
		}
	}
}

// subjectConstants are the string constants of subjects.go.
func subjectConstants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "subjects.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, decl := range file.Decls {
		constants, ok := decl.(*ast.GenDecl)
		if !ok || constants.Tok != token.CONST {
			continue
		}
		ast.Inspect(constants, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if text, err := strconv.Unquote(literal.Value); err == nil && strings.HasPrefix(text, "semantic.") {
					list = append(list, text)
				}
			}
			return true
		})
	}
	return list
}
