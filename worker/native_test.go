package worker_test

import (
	"encoding/json"
	"log/slog"
	"slices"
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/enginetest"
	"github.com/semantic-worker/semantic/engine/llama"
	"github.com/semantic-worker/semantic/schemas"
)

// native makes a worker run the default model, one sequence after the other: in
// company the bits, and so what is sampled, may be others.
func native(t *testing.T) func(*setup) {
	t.Helper()
	lib, model := enginetest.Native(t)
	return func(s *setup) {
		s.backend = func(simulated engine.Backend) engine.Backend {
			requireNoError(t, simulated.Close())
			b, err := llama.Open(t.Context(), llama.Options{
				LibDir: lib, ModelPath: model, Name: modelName, WeightsHash: "00", Backend: llama.BackendCPU,
				Context: 1024, Cells: 1024, Parallel: 1, Threads: 1, Batch: 512, Logger: slog.New(slog.DiscardHandler),
			})
			requireNoError(t, err)
			s.template = b.Info().ChatTemplate
			return b
		}
	}
}

// A real model: JSON that keeps to a schema, a call that is enforced, log
// probabilities, and all of it after deaths.
func TestDefaultModel(t *testing.T) {
	setup := native(t)
	weather := schemas.Tool{Name: "weather", Description: "The weather in a city", Parameters: []byte(
		`{"type":"object","properties":{"city":{"type":"string","maxLength":20},"unit":{"enum":["C","F"]}},` +
			`"required":["city","unit"],"additionalProperties":false}`)}
	person := []byte(`{"type":"object","properties":` +
		`{"name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":0,"maximum":120}},` +
		`"required":["name","age"],"additionalProperties":false}`)
	for name, c := range map[string]struct {
		text   string
		change func(*schemas.Job)
		check  func(*testing.T, answer)
	}{
		"schema": {
			"Invent a person.",
			func(j *schemas.Job) {
				j.ResponseFormat = &schemas.ResponseFormat{Type: schemas.FormatJSONSchema, Schema: person}
				j.N, j.Temperature, j.Logprobs, j.TopLogprobs = ptr(2), ptr(0.7), true, 2
			},
			func(t *testing.T, a answer) {
				var value struct {
					Name *string
					Age  *int
				}
				if err := json.Unmarshal([]byte(a.text), &value); err != nil || value.Name == nil || value.Age == nil || *value.Age > 120 {
					t.Errorf("%q: %v", a.text, err)
				}
				if a.finish != schemas.FinishStop || len(a.logprobs) != len(a.tokens) {
					t.Errorf("%+v", a)
				}
			},
		},
		"tool": {
			"What is the weather in Oslo?",
			func(j *schemas.Job) {
				j.Tools, j.ToolChoice = []schemas.Tool{weather}, &schemas.ToolChoice{Mode: schemas.ToolRequired}
				j.ParallelToolCalls = ptr(false)
			},
			func(t *testing.T, a answer) {
				var arguments struct{ City, Unit string }
				if len(a.calls) != 1 || a.calls[0].Name != "weather" || a.text != "" || a.finish != schemas.FinishToolCalls {
					t.Fatalf("%+v", a)
				}
				if err := json.Unmarshal([]byte(a.calls[0].Arguments), &arguments); err != nil ||
					!slices.Contains([]string{"C", "F"}, arguments.Unit) {
					t.Errorf("%q: %v", a.calls[0].Arguments, err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			w := h.start(setup, named("first"))
			job := prompt(c.text, func(j *schemas.Job) { j.Seed, j.MaxTokens = ptr(int64(3)), ptr(120) }, c.change)
			whole := h.result(h.submit(job))
			whole.done()
			for _, a := range whole.answers() {
				c.check(t, a)
			}
			requireNoError(t, w.drained())
			h.emptied()
			h.dieAfter(whole, job, 4, setup)
		})
	}
}
