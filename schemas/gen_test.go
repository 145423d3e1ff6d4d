package schemas_test

import (
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

func api() *rapid.Generator[schemas.API] {
	return rapid.Custom(func(t *rapid.T) schemas.API {
		return schemas.API{
			Format:          schemas.FormatOpenAIChat,
			Stream:          rapid.Bool().Draw(t, "stream"),
			IncludeUsage:    rapid.Bool().Draw(t, "include_usage"),
			ContinuousUsage: rapid.Bool().Draw(t, "continuous_usage"),
		}
	})
}

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
		return m
	})
}

func job() *rapid.Generator[schemas.Job] {
	return rapid.Custom(func(t *rapid.T) schemas.Job {
		return schemas.Job{
			Version:     schemas.Version,
			Kind:        rapid.SampledFrom([]schemas.JobKind{"", schemas.KindChat}).Draw(t, "kind"),
			Model:       name().Draw(t, "model"),
			Messages:    rapid.SliceOfN(message(), 1, 5).Draw(t, "messages"),
			Temperature: optional(rapid.Float64Range(0, 2)).Draw(t, "temperature"),
			TopP:        optional(rapid.Float64Range(0, 1)).Draw(t, "top_p"),
			TopK:        optional(rapid.IntRange(0, 1000)).Draw(t, "top_k"),
			MinP:        optional(rapid.Float64Range(0, 1)).Draw(t, "min_p"),
			Seed:        optional(rapid.Int64()).Draw(t, "seed"),
			MaxTokens:   optional(rapid.IntRange(1, 1<<31-1)).Draw(t, "max_tokens"),
			Stop:        some(rapid.StringN(1, 20, -1), 4).Draw(t, "stop"),
			DeadlineMS:  rapid.Int64Range(0, schemas.MaxDeadlineMS).Draw(t, "deadline_ms"),
			Agent:       rapid.StringN(0, 20, -1).Draw(t, "agent"),
			API:         optional(api()).Draw(t, "api"),
		}
	})
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
		tokens := some(rapid.Int32Range(0, 1<<31-1), 5)
		ms := rapid.Float64Range(0, 1e9)
		switch e.Type {
		case schemas.EventSubmitted:
			e.Submitted = &schemas.Submitted{
				BodyHash: rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "body_hash"), Subject: name().Draw(t, "subject"),
				API: optional(api()).Draw(t, "api"), Model: name().Draw(t, "model"),
			}
		case schemas.EventStarted:
			e.Started = &schemas.Started{
				Attempt: rapid.IntRange(1, 9).Draw(t, "attempt"), Worker: name().Draw(t, "worker"), Incarnation: name().Draw(t, "incarnation"),
				Fingerprint: name().Draw(t, "fingerprint"), Seed: rapid.Int64().Draw(t, "seed"),
				PromptTokens: rapid.IntRange(0, 1<<31-1).Draw(t, "prompt"),
			}
		case schemas.EventDelta:
			e.Delta = &schemas.Delta{Output: schemas.Output{Tokens: tokens.Draw(t, "tokens"), Text: rapid.String().Draw(t, "text")}}
		case schemas.EventRequeued:
			e.Requeued = &schemas.Requeued{
				Worker: name().Draw(t, "worker"), Incarnation: name().Draw(t, "incarnation"), Reason: name().Draw(t, "reason"),
			}
		case schemas.EventDone:
			e.Done = &schemas.Done{
				Output:       schemas.Output{Tokens: tokens.Draw(t, "tokens"), Text: rapid.String().Draw(t, "text")},
				FinishReason: rapid.SampledFrom([]schemas.FinishReason{schemas.FinishStop, schemas.FinishLength}).Draw(t, "finish_reason"),
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
			Version: schemas.Version, ID: name().Draw(t, "id"), Incarnation: name().Draw(t, "incarnation"),
			Host: rapid.String().Draw(t, "host"), Release: rapid.String().Draw(t, "release"), Model: name().Draw(t, "model"),
			Fingerprint: name().Draw(t, "fingerprint"), Backend: rapid.SampledFrom([]string{"metal", "cpu", "sim"}).Draw(t, "backend"),
			Architecture: rapid.String().Draw(t, "architecture"), Quantisation: rapid.String().Draw(t, "quantisation"),
			Context: n.Draw(t, "context"), ContextTrained: n.Draw(t, "trained"), ContextReason: rapid.String().Draw(t, "reason"),
			Cells: n.Draw(t, "cells"), CellsFree: n.Draw(t, "free"), Capacity: n.Draw(t, "capacity"), Running: n.Draw(t, "running"),
			Draining: rapid.Bool().Draw(t, "draining"), StartedAt: moment().Draw(t, "started"), UpdatedAt: moment().Draw(t, "updated"),
		}
	})
}
