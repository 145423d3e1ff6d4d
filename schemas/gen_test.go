package schemas_test

import (
	"encoding/json"
	"time"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
)

// Generators of valid documents: what the types can hold and Validate accepts.

func optional[T any](g *rapid.Generator[T]) *rapid.Generator[*T] {
	return rapid.Custom(func(t *rapid.T) *T {
		if rapid.Bool().Draw(t, "absent") {
			return nil
		}
		v := g.Draw(t, "value")
		return &v
	})
}

func some[T any](g *rapid.Generator[T], most int) *rapid.Generator[[]T] {
	return rapid.Custom(func(t *rapid.T) []T {
		s := rapid.SliceOfN(g, 0, most).Draw(t, "list")
		if len(s) == 0 {
			return nil
		}
		return s
	})
}

func name() *rapid.Generator[string]  { return rapid.StringN(1, 40, -1) }
func jobID() *rapid.Generator[string] { return rapid.StringMatching(`[A-Za-z0-9_-]{1,40}`) }

func moment() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
	})
}

func api(format string) *rapid.Generator[schemas.API] {
	return rapid.Custom(func(t *rapid.T) schemas.API {
		return schemas.API{
			Format:          format,
			Stream:          rapid.Bool().Draw(t, "stream"),
			IncludeUsage:    rapid.Bool().Draw(t, "include_usage"),
			ContinuousUsage: rapid.Bool().Draw(t, "continuous_usage"),
			OnDisconnect: rapid.SampledFrom([]schemas.OnDisconnect{
				"", schemas.DisconnectCancel, schemas.DisconnectGrace, schemas.DisconnectKeep,
			}).Draw(t, "on_disconnect"),
		}
	})
}

// raw is a JSON object, as it is written.
func raw() *rapid.Generator[json.RawMessage] {
	return rapid.Custom(func(t *rapid.T) json.RawMessage {
		return json.RawMessage(rapid.SampledFrom([]string{
			`{}`, `{"type":"object"}`, `{"properties":{"b":{"type":"string"},"a":{"enum":[1.50,2e3,"<é>",null]}}}`,
		}).Draw(t, "object"))
	})
}

func tokens(most int) *rapid.Generator[[]int32] { return some(rapid.Int32Range(0, 1<<31-1), most) }

func message() *rapid.Generator[schemas.Message] {
	return rapid.Custom(func(t *rapid.T) schemas.Message {
		m := schemas.Message{
			Role: rapid.SampledFrom([]schemas.Role{
				schemas.RoleSystem, schemas.RoleDeveloper, schemas.RoleUser, schemas.RoleAssistant, schemas.RoleTool,
			}).Draw(t, "role"),
			Content: rapid.String().Draw(t, "content"),
			Name:    rapid.StringN(0, 20, -1).Draw(t, "name"),
		}
		if m.Role == schemas.RoleTool {
			m.ToolCallID = rapid.String().Draw(t, "tool_call_id")
		}
		if m.Role == schemas.RoleAssistant {
			m.Reasoning = rapid.String().Draw(t, "reasoning")
			m.ToolCalls = some(rapid.Custom(func(t *rapid.T) schemas.ToolCall {
				return schemas.ToolCall{
					ID: name().Draw(t, "id"), Name: name().Draw(t, "name"), Arguments: string(raw().Draw(t, "arguments")),
				}
			}), 2).Draw(t, "tool_calls")
		}
		return m
	})
}

func job() *rapid.Generator[schemas.Job] {
	return rapid.Custom(func(t *rapid.T) schemas.Job {
		j := schemas.Job{
			Version:          schemas.Version,
			Kind:             rapid.SampledFrom([]schemas.JobKind{"", schemas.KindChat, schemas.KindCompletion}).Draw(t, "kind"),
			Model:            name().Draw(t, "model"),
			Temperature:      optional(rapid.Float64Range(0, 2)).Draw(t, "temperature"),
			TopP:             optional(rapid.Float64Range(0, 1)).Draw(t, "top_p"),
			TopK:             optional(rapid.IntRange(0, 1000)).Draw(t, "top_k"),
			MinP:             optional(rapid.Float64Range(0, 1)).Draw(t, "min_p"),
			Seed:             optional(rapid.Int64()).Draw(t, "seed"),
			MaxTokens:        optional(rapid.IntRange(10, 1<<31-1)).Draw(t, "max_tokens"),
			Stop:             some(rapid.StringN(1, 20, -1), 4).Draw(t, "stop"),
			StopTokens:       tokens(3).Draw(t, "stop_token_ids"),
			TypicalP:         optional(rapid.Float64Range(0, 1)).Draw(t, "typical_p"),
			RepeatPenalty:    optional(rapid.Float64Range(0.1, 10)).Draw(t, "repeat_penalty"),
			RepeatLastN:      optional(rapid.IntRange(-1, 1000)).Draw(t, "repeat_last_n"),
			PresencePenalty:  optional(rapid.Float64Range(-2, 2)).Draw(t, "presence_penalty"),
			FrequencyPenalty: optional(rapid.Float64Range(-2, 2)).Draw(t, "frequency_penalty"),
			MinTokens:        optional(rapid.IntRange(0, 10)).Draw(t, "min_tokens"),
			IgnoreEOS:        rapid.Bool().Draw(t, "ignore_eos"),
			Logprobs:         rapid.Bool().Draw(t, "logprobs"),
			DeadlineMS:       rapid.Int64Range(0, schemas.MaxDeadlineMS).Draw(t, "deadline_ms"),
			Agent:            rapid.StringN(0, 20, -1).Draw(t, "agent"),
		}
		if bias := rapid.MapOfN(name(), rapid.Float64Range(-100, 100), 0, 3).Draw(t, "logit_bias"); len(bias) > 0 {
			j.LogitBias = bias
		}
		if j.Logprobs {
			j.TopLogprobs = rapid.IntRange(0, 20).Draw(t, "top_logprobs")
		}
		if j.Kind == schemas.KindCompletion {
			completion(t, &j)
		} else {
			chat(t, &j)
		}
		constrain(t, &j)
		return j
	})
}

func completion(t *rapid.T, j *schemas.Job) {
	j.Prompts = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) schemas.Prompt {
		if rapid.Bool().Draw(t, "as tokens") {
			return schemas.Prompt{Tokens: rapid.SliceOfN(rapid.Int32Range(0, 1<<31-1), 1, 5).Draw(t, "tokens")}
		}
		return schemas.Prompt{Text: name().Draw(t, "text")}
	}), 1, 4).Draw(t, "prompts")
	j.N = optional(rapid.IntRange(1, 4)).Draw(t, "n")
	j.Echo = !j.Logprobs && rapid.Bool().Draw(t, "echo")
	j.API = optional(api(schemas.FormatOpenAICompletions)).Draw(t, "api")
}

func chat(t *rapid.T, j *schemas.Job) {
	j.Messages = rapid.SliceOfN(message(), 1, 5).Draw(t, "messages")
	j.N = optional(rapid.IntRange(1, 16)).Draw(t, "n")
	j.Tools = some(rapid.Custom(func(t *rapid.T) schemas.Tool {
		tool := schemas.Tool{
			Name:        rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`).Draw(t, "name"),
			Description: rapid.String().Draw(t, "description"), Strict: rapid.Bool().Draw(t, "strict"),
		}
		if rapid.Bool().Draw(t, "with parameters") {
			tool.Parameters = raw().Draw(t, "parameters")
		}
		return tool
	}), 2).Filter(func(tools []schemas.Tool) bool { return len(tools) < 2 || tools[0].Name != tools[1].Name }).Draw(t, "tools")
	modes := []string{schemas.ToolAuto, schemas.ToolNone}
	if len(j.Tools) > 0 {
		modes = append(modes, schemas.ToolRequired, schemas.ToolFunction)
	}
	j.ToolChoice = optional(rapid.Custom(func(t *rapid.T) schemas.ToolChoice {
		c := schemas.ToolChoice{Mode: rapid.SampledFrom(modes).Draw(t, "mode")}
		if c.Mode == schemas.ToolFunction {
			c.Name = j.Tools[0].Name
		}
		return c
	})).Draw(t, "tool_choice")
	j.ParallelToolCalls = optional(rapid.Bool()).Draw(t, "parallel_tool_calls")
	j.ReasoningEffort = rapid.StringN(0, 10, -1).Draw(t, "reasoning_effort")
	if rapid.Bool().Draw(t, "with variables") {
		j.TemplateVars = map[string]json.RawMessage{"enable_thinking": json.RawMessage("false"), "x": json.RawMessage(`[null,"<"]`)}
	}
	j.API = optional(api(schemas.FormatOpenAIChat)).Draw(t, "api")
}

// constrain says what the answer must keep to, unless a call is enforced.
func constrain(t *rapid.T, j *schemas.Job) {
	if j.ToolChoice != nil && j.ToolChoice.Mode != schemas.ToolAuto && j.ToolChoice.Mode != schemas.ToolNone {
		return
	}
	kinds := []string{"", "grammar", schemas.FormatText, schemas.FormatJSONObject, schemas.FormatJSONSchema}
	switch rapid.SampledFrom(kinds).Draw(t, "format") {
	case "grammar":
		j.Grammar = rapid.String().Draw(t, "grammar")
	case schemas.FormatText:
		j.ResponseFormat = &schemas.ResponseFormat{Type: schemas.FormatText}
	case schemas.FormatJSONObject:
		j.ResponseFormat = &schemas.ResponseFormat{Type: schemas.FormatJSONObject}
	case schemas.FormatJSONSchema:
		j.ResponseFormat = &schemas.ResponseFormat{
			Type: schemas.FormatJSONSchema, Schema: raw().Draw(t, "schema"), Name: rapid.StringN(0, 64, -1).Draw(t, "name"),
		}
	}
}

// output is what a choice said, with the log probabilities of its tokens or without.
func output(t *rapid.T) schemas.Output {
	o := schemas.Output{
		Choice: rapid.IntRange(0, 15).Draw(t, "choice"), Tokens: tokens(5).Draw(t, "tokens"),
		Text: rapid.String().Draw(t, "text"), Reasoning: rapid.String().Draw(t, "reasoning"),
		ToolCalls: some(rapid.Custom(func(t *rapid.T) schemas.ToolCallDelta {
			return schemas.ToolCallDelta{
				Index: rapid.IntRange(0, 3).Draw(t, "index"), ID: rapid.String().Draw(t, "id"),
				Name: rapid.String().Draw(t, "name"), Arguments: rapid.String().Draw(t, "arguments"),
			}
		}), 2).Draw(t, "tool_calls"),
	}
	if !rapid.Bool().Draw(t, "logprobs") {
		return o
	}
	text, value := some(rapid.Byte(), 4), rapid.Float64Range(-9999, 0)
	for range o.Tokens {
		o.Logprobs = append(o.Logprobs, schemas.TokenLogprob{
			Bytes: text.Draw(t, "bytes"), Logprob: value.Draw(t, "logprob"),
			Top: some(rapid.Custom(func(t *rapid.T) schemas.TopLogprob {
				return schemas.TopLogprob{
					Token: rapid.Int32Range(0, 1<<31-1).Draw(t, "token"), Bytes: text.Draw(t, "bytes"), Logprob: value.Draw(t, "logprob"),
				}
			}), 3).Draw(t, "top"),
		})
	}
	return o
}

func finishReason() *rapid.Generator[schemas.FinishReason] {
	return rapid.SampledFrom([]schemas.FinishReason{schemas.FinishStop, schemas.FinishLength, schemas.FinishToolCalls})
}

func usage() *rapid.Generator[schemas.Usage] {
	return rapid.Custom(func(t *rapid.T) schemas.Usage {
		n := rapid.IntRange(0, 1<<31-1)
		return schemas.Usage{PromptTokens: n.Draw(t, "prompt"), CompletionTokens: n.Draw(t, "completion"), CachedTokens: n.Draw(t, "cached")}
	})
}

func event() *rapid.Generator[schemas.Event] {
	return rapid.Custom(func(t *rapid.T) schemas.Event {
		e := schemas.Event{
			Version: schemas.Version,
			Job:     jobID().Draw(t, "job"),
			N:       rapid.Int64Range(1, 1<<62).Draw(t, "n"),
			Type:    rapid.SampledFrom(schemas.EventTypes()).Draw(t, "type"),
			Time:    moment().Draw(t, "time"),
		}
		ms := rapid.Float64Range(0, 1e9)
		switch e.Type {
		case schemas.EventSubmitted:
			e.Submitted = &schemas.Submitted{
				BodyHash: rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "body_hash"), Subject: name().Draw(t, "subject"),
				API: optional(api(schemas.FormatOpenAICompletions)).Draw(t, "api"), Model: name().Draw(t, "model"),
				ReplayOf:    rapid.SampledFrom([]string{"", "a-job"}).Draw(t, "replay_of"),
				DeadlineMS:  rapid.Int64Range(0, 1<<53).Draw(t, "deadline"),
				RequestHash: rapid.StringMatching(`([0-9a-f]{64})?`).Draw(t, "request_hash"),
			}
		case schemas.EventStarted:
			e.Started = &schemas.Started{
				Attempt: rapid.IntRange(1, 9).Draw(t, "attempt"), Worker: name().Draw(t, "worker"), Incarnation: name().Draw(t, "incarnation"),
				Fingerprint: name().Draw(t, "fingerprint"), Seed: rapid.Int64().Draw(t, "seed"),
				PromptTokens: rapid.IntRange(0, 1<<31-1).Draw(t, "prompt"), Alone: rapid.Bool().Draw(t, "alone"),
			}
		case schemas.EventDelta:
			e.Delta = &schemas.Delta{Output: output(t)}
			if rapid.Bool().Draw(t, "ends") {
				e.Delta.FinishReason = finishReason().Draw(t, "finish_reason")
			}
		case schemas.EventRequeued:
			e.Requeued = &schemas.Requeued{
				Worker: name().Draw(t, "worker"), Incarnation: name().Draw(t, "incarnation"), Reason: name().Draw(t, "reason"),
				Alone: rapid.Bool().Draw(t, "alone"),
			}
		case schemas.EventDone:
			e.Done = &schemas.Done{
				Output:       output(t),
				FinishReason: finishReason().Draw(t, "finish_reason"),
				Usage:        usage().Draw(t, "usage"),
				Timings:      schemas.Timings{QueuedMS: ms.Draw(t, "queued"), PrefillMS: ms.Draw(t, "prefill"), DecodeMS: ms.Draw(t, "decode")},
			}
		case schemas.EventFailed:
			e.Failed = &schemas.Failed{
				Code: rapid.SampledFrom(schemas.Codes()).Draw(t, "code"), Message: name().Draw(t, "message"),
				Param: rapid.String().Draw(t, "param"), Usage: optional(usage()).Draw(t, "usage"),
			}
		case schemas.EventCancelled:
			e.Cancelled = &schemas.Cancelled{Reason: name().Draw(t, "reason"), Usage: optional(usage()).Draw(t, "usage")}
		case schemas.EventExpired:
			e.Expired = &schemas.Expired{
				DeadlineMS: rapid.Int64Range(0, 1<<53).Draw(t, "deadline"), Started: rapid.Bool().Draw(t, "started"),
				Usage: optional(usage()).Draw(t, "usage"),
			}
		}
		return e
	})
}

func worker() *rapid.Generator[schemas.WorkerStatus] {
	return rapid.Custom(func(t *rapid.T) schemas.WorkerStatus {
		n := rapid.IntRange(0, 1<<31-1)
		return schemas.WorkerStatus{
			Version: schemas.WorkerVersion, ID: name().Draw(t, "id"), Incarnation: name().Draw(t, "incarnation"),
			Host: rapid.String().Draw(t, "host"), Release: rapid.String().Draw(t, "release"), Model: name().Draw(t, "model"),
			Fingerprint: name().Draw(t, "fingerprint"), Backend: rapid.SampledFrom([]string{"metal", "cpu", "sim"}).Draw(t, "backend"),
			Architecture: rapid.String().Draw(t, "architecture"), Quantisation: rapid.String().Draw(t, "quantisation"),
			Context: n.Draw(t, "context"), ContextTrained: n.Draw(t, "trained"), ContextReason: rapid.String().Draw(t, "reason"),
			Cells: n.Draw(t, "cells"), CellsFree: n.Draw(t, "free"), Capacity: n.Draw(t, "capacity"), Running: n.Draw(t, "running"),
			Draining: rapid.Bool().Draw(t, "draining"), Paused: rapid.Bool().Draw(t, "paused"),
			MetricsAddr: rapid.String().Draw(t, "metrics"), StartedAt: moment().Draw(t, "started"), UpdatedAt: moment().Draw(t, "updated"),
		}
	})
}

func inputRef() *rapid.Generator[schemas.InputRef] {
	return rapid.Custom(func(t *rapid.T) schemas.InputRef {
		return schemas.InputRef{
			SHA256: rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "sha256"), Size: rapid.Int64Range(1, 1<<53).Draw(t, "size"),
		}
	})
}

func input() *rapid.Generator[schemas.Input] {
	return rapid.Custom(func(t *rapid.T) schemas.Input {
		return schemas.Input{
			Version: schemas.InputVersion, Input: inputRef().Draw(t, "input"), Model: name().Draw(t, "model"),
			DeadlineMS: rapid.Int64Range(0, schemas.MaxDeadlineMS).Draw(t, "deadline_ms"), Agent: rapid.StringN(0, 20, -1).Draw(t, "agent"),
		}
	})
}

func exit() *rapid.Generator[schemas.Exit] {
	return rapid.Custom(func(t *rapid.T) schemas.Exit {
		return schemas.Exit{
			Status: name().Draw(t, "status"), Code: rapid.IntRange(-1, 255).Draw(t, "code"), Hung: rapid.Bool().Draw(t, "hung"),
			Failure: rapid.String().Draw(t, "failure"), Time: moment().Draw(t, "time"),
		}
	})
}

func parked() *rapid.Generator[schemas.Parked] {
	return rapid.Custom(func(t *rapid.T) schemas.Parked {
		p := schemas.Parked{
			Version: schemas.Version, Job: jobID().Draw(t, "job"), Owner: name().Draw(t, "owner"), Model: name().Draw(t, "model"),
			Class: rapid.SampledFrom(schemas.Classes()).Draw(t, "class"), Subject: name().Draw(t, "subject"),
			RequestID: rapid.String().Draw(t, "request_id"), StoredAt: moment().Draw(t, "stored"), ParkedAt: moment().Draw(t, "parked"),
			ParkedBy: name().Draw(t, "by"), Code: rapid.SampledFrom(schemas.Codes()).Draw(t, "code"), Message: name().Draw(t, "message"),
			Tokens: rapid.IntRange(0, 1<<31-1).Draw(t, "tokens"), LastTokens: tokens(3).Draw(t, "last_tokens"),
			LastText: rapid.String().Draw(t, "last_text"), Log: some(rapid.String(), 3).Draw(t, "log"),
		}
		p.Attempts = some(rapid.Custom(func(t *rapid.T) schemas.Attempt {
			return schemas.Attempt{
				Worker: name().Draw(t, "worker"), Incarnation: name().Draw(t, "incarnation"), Began: moment().Draw(t, "began"),
				Started: rapid.Bool().Draw(t, "started"), Alone: rapid.Bool().Draw(t, "alone"),
				Tokens: rapid.IntRange(0, 1<<31-1).Draw(t, "tokens"), Counted: rapid.Bool().Draw(t, "counted"),
				End: rapid.SampledFrom([]schemas.AttemptEnd{
					schemas.AttemptDied, schemas.AttemptGaveBack, schemas.AttemptLost,
				}).Draw(t, "end"),
				Reason: rapid.String().Draw(t, "reason"), Exit: optional(exit()).Draw(t, "exit"),
			}
		}), 3).Draw(t, "attempts")
		if rapid.Bool().Draw(t, "large") {
			ref := inputRef().Draw(t, "input")
			p.Input = &ref
		} else {
			p.Body = name().Draw(t, "body")
		}
		return p
	})
}
