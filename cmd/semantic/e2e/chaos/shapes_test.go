package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

const (
	pathChat        = "/v1/chat/completions"
	pathCompletions = "/v1/completions"
)

// shape is a request and its right answer.
type shape struct {
	kind, path string
	body       map[string]any // without what says how it is answered
	right      *answer
	// plain: the simulation itself says what is right.
	plain  bool
	prompt string
}

// simShapes draws requests of every kind that the simulation can answer.
func simShapes(random *rand.Rand, n int) []*shape {
	shapes := make([]*shape, n)
	for i := range shapes {
		words := 10 + random.IntN(60)
		prompt := fmt.Sprintf("Tell me story %d of the sea. words=%d", random.IntN(1_000_000), words)
		s := &shape{path: pathChat, prompt: prompt, body: map[string]any{
			"model": "sim", "temperature": 0, "messages": []map[string]string{{"role": "user", "content": prompt}},
		}}
		sampled := map[string]any{"temperature": 0.8, "top_p": 0.95, "seed": random.Int64N(1 << 40)}
		add := func(kind string, more map[string]any) {
			s.kind = kind
			maps.Copy(s.body, more)
		}
		switch i % 10 {
		case 0, 1:
			s.plain = true
			add("greedy", nil)
		case 2:
			add("sampled", sampled)
		case 3:
			add("two choices", sampled)
			s.body["n"] = 2
		case 4:
			add("stop strings", map[string]any{"stop": []string{" the ", "r river", "世界"}})
		case 5:
			add("max_tokens", map[string]any{"max_tokens": 10 + random.IntN(60)})
		case 6:
			add("schema", sampled)
			s.body["max_tokens"] = 400
			s.body["response_format"] = map[string]any{"type": "json_schema", "json_schema": map[string]any{
				"name": "tale", "strict": true, "schema": tale(),
			}}
		case 7:
			add("tool", sampled)
			s.body["max_tokens"] = 400
			s.body["tool_choice"] = "required"
			s.body["tools"] = []map[string]any{{"type": "function", "function": map[string]any{"name": "tell", "parameters": tale()}}}
		case 8:
			s.path = pathCompletions
			delete(s.body, "messages")
			add("completion", sampled)
			s.body["prompt"], s.body["n"], s.body["max_tokens"] = prompt, 1+random.IntN(3), 80
		case 9: // over the gateways' --inline-bytes
			s.plain, s.prompt = true, strings.Repeat("Once upon a time there was an island. ", 40)+prompt
			add("large", map[string]any{"messages": []map[string]string{{"role": "user", "content": s.prompt}}})
		}
		shapes[i] = s
	}
	return shapes
}

// tale is a schema that a model without sense ends, too.
func tale() map[string]any {
	return map[string]any{
		"type": "object", "additionalProperties": false, "required": []string{"kind", "pages", "tags"},
		"properties": map[string]any{
			"kind":  map[string]any{"enum": []string{"tale", "fable", "legend"}},
			"pages": map[string]any{"type": "integer", "minimum": 1, "maximum": 99999},
			"tags": map[string]any{"type": "array", "minItems": 3, "maxItems": 6, "items": map[string]any{
				"type": "string", "maxLength": 12,
			}},
		},
	}
}

// encode is the body of a request.
func (s *shape) encode(stream bool) []byte {
	body := maps.Clone(s.body)
	if stream {
		body["stream"] = true
		body["stream_options"] = map[string]any{"include_usage": true}
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return data
}

// job is the request as a direct publisher has it.
func (s *shape) job() (schemas.Job, error) {
	decode := openai.DecodeChatRequest
	if s.path == pathCompletions {
		decode = openai.DecodeCompletionRequest
	}
	r, _, err := decode(s.encode(false), openai.DecodeOptions{UnknownFields: openai.RefuseUnknown})
	if err != nil {
		return schemas.Job{}, err
	}
	job := r.Job()
	job.Version, job.API = schemas.Version, nil
	return job, nil
}

// learn takes the right answers from a run without faults.
func (f *fleet) learn(ctx context.Context, shapes []*shape) {
	f.t.Helper()
	var all sync.WaitGroup
	turns := make(chan struct{}, 12)
	for _, s := range shapes {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if err := f.learnOne(ctx, s); err != nil {
				f.book.fail("without faults: %s: %v", s.kind, err)
			}
		})
	}
	all.Wait()
}

func (f *fleet) learnOne(ctx context.Context, s *shape) error {
	c := &client{fleet: f, random: rand.New(rand.NewPCG(0, 0)), http: http.DefaultClient}
	a := c.newAsk(s, doWhole)
	a.header.Del("Idempotency-Key")
	response, err := c.post(ctx, ctx, a)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	events, err := f.queue.Log(ctx, a.owner, a.job)
	if err != nil {
		return err
	}
	s.right = newAnswer()
	for _, e := range events {
		s.right.add(e)
	}
	if !s.plain {
		return nil
	}
	if want := saidBy(f.t, f.simulation, s.prompt); want != s.right.choice(0).text {
		return errors.New(differs(0, "text", s.right.choice(0).text, want))
	}
	return nil
}

// unlearned lists the kinds without an answer.
func unlearned(shapes []*shape) string {
	var kinds []string
	for _, s := range shapes {
		if s.right == nil {
			kinds = append(kinds, s.kind)
		}
	}
	return strings.Join(kinds, ", ")
}
