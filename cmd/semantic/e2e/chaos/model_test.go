package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine/enginetest"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// The real model at small size: each answer is given once without faults, and then
// again by workers that are killed at random tokens. On one thread a stream that is
// taken up has the very bits of one that was not (docs/adr/0011); of several choices,
// whose steps have other company after a kill, only what was sent is certain.
func TestRealModel(t *testing.T) {
	enginetest.Native(t)
	t.Parallel()
	p := planned(t)
	b := newBook()
	worker := []string{"--ctx", "1024", "--parallel", "2", "--threads", "1"}
	f := makeFleet(t, b, installed(t), 1, worker, worker)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	models, err := f.queue.Models(ctx)
	for (err != nil || len(models) == 0) && pause(ctx, 100*time.Millisecond) {
		models, err = f.queue.Models(ctx)
	}
	if err != nil || len(models) != 1 {
		t.Fatalf("models %v: %v", models, err)
	}
	random := rand.New(rand.NewPCG(p.seed, 1))
	kills, differing := 0, 0
	for _, s := range realShapes(models[0], random) {
		b.phase(s.kind)
		s.right = nil
		f.learn(t.Context(), []*shape{s})
		if s.right == nil {
			break
		}
		n, same := f.realStream(t, s, random, p.deaths)
		kills += n
		if !same {
			differing++
		}
	}
	f.leave()
	f.checkLogs()
	t.Logf("\n%d kills, %d answers worded otherwise after one\n%s", kills, differing, b.report("real model", p.seed, 25))
	if len(b.failures) > 0 {
		t.Fail()
	}
}

// realShapes are requests that a small model answers in little time.
func realShapes(model string, random *rand.Rand) []*shape {
	seed := random.Int64N(1 << 40)
	chat := func(kind, prompt string, more map[string]any) *shape {
		s := &shape{kind: kind, path: pathChat, prompt: prompt, body: map[string]any{
			"model": model, "messages": []map[string]string{{"role": "user", "content": prompt}}, "max_tokens": 48,
		}}
		for key, value := range more {
			s.body[key] = value
		}
		return s
	}
	weather := map[string]any{
		"type": "object", "additionalProperties": false, "required": []string{"city", "days"}, "properties": map[string]any{
			"city": map[string]any{"type": "string", "maxLength": 24}, "days": map[string]any{"type": "integer", "minimum": 1, "maximum": 9},
		},
	}
	return []*shape{
		chat("greedy", "Tell me about the sea and the wind.", map[string]any{"temperature": 0}),
		chat("sampled", "Tell me a story of a fox.", map[string]any{"temperature": 0.8, "top_p": 0.9, "seed": seed}),
		chat("schema", "Name a city, and say for how many days to stay.", map[string]any{"temperature": 0, "response_format": map[string]any{
			"type": "json_schema", "json_schema": map[string]any{"name": "stay", "strict": true, "schema": weather},
		}}),
		chat("tool", "How is the weather in Rome?", map[string]any{
			"temperature": 0, "max_tokens": 80, "parallel_tool_calls": false, "tool_choice": "required",
			"tools": []map[string]any{{"type": "function", "function": map[string]any{
				"name": "get_weather", "strict": true, "parameters": weather,
			}}},
		}),
		chat("two choices", "Say something about stones.", map[string]any{"temperature": 0.8, "seed": seed, "n": 2, "max_tokens": 32}),
	}
}

// realStream asks again, by a stream, and kills who has it, up to so many times. It
// returns how often somebody was killed, and whether the answer is the very same.
func (f *fleet) realStream(t *testing.T, s *shape, random *rand.Rand, deaths int) (kills int, same bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := &client{fleet: f, random: random, http: http.DefaultClient}
	a := c.newAsk(s, doStream)
	response, err := c.post(ctx, ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	// What is right is not known to the last bit where there are several choices:
	// the log is the truth then.
	r := newReading(s.right)
	r.loose = len(s.right.choices) > 1
	r.job = a.job
	next := 1 + random.IntN(6)
	r.read(linesOf(response.Body), func() bool {
		if kills < deaths && r.chunks >= next {
			if f.killHolder(ctx, t, r.job) {
				kills++
			}
			next = r.chunks + 1 + random.IntN(8)
		}
		return false
	})
	if r.problem == "" && !r.over {
		r.fault(wrongEndless, "the stream ended with the code %q", r.code)
	}
	events, err := f.queue.Log(ctx, queue.OwnerLocal, r.job)
	if err != nil {
		t.Fatal(err)
	}
	log := newAnswer()
	for _, e := range events {
		log.add(e)
	}
	same = log.equals(s.right) == ""
	if problem := r.got.equals(log); problem != "" {
		r.fault(wrongText, "the stream is not the log's: %s", problem)
	}
	if !same && !r.loose {
		r.fault(wrongText, "%s", log.equals(s.right))
	}
	tokens := 0
	for _, choice := range log.choices {
		tokens += len(choice.tokens)
	}
	if tokens != log.completion {
		r.fault(wrongLost, "usage has %d tokens, the log %d", log.completion, tokens)
	}
	if err := valid(s, log); err != nil {
		r.fault(wrongText, "%v", err)
	}
	if r.problem != "" {
		f.book.wronged(r.kind, "%s: %s%s", s.kind, r.problem, f.history(ctx, r.job))
	}
	f.book.paused(r.pause, r.job)
	return kills, same
}

// killHolder kills the worker that has a job, and starts it again; false if nobody
// has it.
func (f *fleet) killHolder(ctx context.Context, t *testing.T, job string) bool {
	t.Helper()
	events, err := f.queue.Log(ctx, queue.OwnerLocal, job)
	if err != nil {
		t.Fatal(err)
	}
	if last := events[len(events)-1]; last.Type.Terminal() {
		return false
	}
	holder := ""
	for _, e := range events {
		if e.Started != nil {
			holder = e.Started.Worker
		}
	}
	for _, m := range f.workers {
		if m.name == f.names[holder] {
			over := f.book.fault(faultKillWorker, m.name)
			m.kill()
			if err := m.start(); err != nil {
				t.Fatal(err)
			}
			over()
			return true
		}
	}
	t.Fatalf("nobody is %q", holder)
	return false
}

// valid checks that what has to be JSON is.
func valid(s *shape, a *answer) error {
	var texts []string
	switch s.kind {
	case "schema":
		texts = append(texts, a.choice(0).text)
	case "tool":
		if len(a.choice(0).calls) == 0 || a.choice(0).finish != schemas.FinishToolCalls {
			return fmt.Errorf("no call: %+v", a.choice(0))
		}
		for _, c := range a.choice(0).calls {
			texts = append(texts, c.arguments)
		}
	}
	for _, text := range texts {
		var stay struct {
			City string `json:"city"`
			Days int    `json:"days"`
		}
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&stay); err != nil || stay.Days < 1 || stay.Days > 9 {
			return fmt.Errorf("%s: %+v, %w", text, stay, err)
		}
	}
	return nil
}

// installed is the home of a user who has the native runtime and the default model.
func installed(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	for _, args := range [][]string{
		{"runtime", "install", "--from", os.Getenv("SEMANTIC_TEST_LIB")},
		{"model", "pull", "--from", os.Getenv("SEMANTIC_TEST_MODEL")},
	} {
		command := exec.Command(binary, args...)
		command.Env = (&fleet{home: home}).environment()
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("semantic %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return home
}
