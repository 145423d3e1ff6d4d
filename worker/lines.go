package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// measured is what the engine did for a claim, all choices together.
type measured struct {
	// admission is until the first row of any choice was computed, prefill until
	// the first new token, decode until the last one.
	admission, prefill, decode   time.Duration
	choices, cached, preemptions int
}

// measure reads what the timelines of the choices say. They need not have ended.
func (r *run) measure(choices []*choice) {
	var submitted, row, first, last time.Time
	cachedOf := make(map[int]int)
	for _, c := range choices {
		if c.seq == nil {
			continue
		}
		line := c.seq.Timeline()
		submitted, row, first = earlier(submitted, line.Submitted), earlier(row, line.FirstRow), earlier(first, line.FirstToken)
		if line.LastToken.After(last) {
			last = line.LastToken
		}
		if before, ok := cachedOf[c.prompt]; !ok || line.Cached < before {
			cachedOf[c.prompt] = line.Cached // as usage counts it: of the choice that computed most
		}
		r.measured.choices++
		r.measured.preemptions += line.Preemptions
	}
	for _, cached := range cachedOf {
		r.measured.cached += cached
	}
	r.measured.admission, r.measured.prefill, r.measured.decode = between(submitted, row), between(row, first), between(first, last)
}

// earlier is the earlier one of those that there are.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// between is a stretch of time, or 0 if it has not ended.
func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return max(to.Sub(from), 0)
}

// sayClaimed is the first line of a claim.
func (r *run) sayClaimed() {
	r.log.Info("claimed", schemas.LogEvent, schemas.LogEventJobClaimed, schemas.LogOwner, r.delivery.Owner,
		schemas.LogAttempts, r.history.attempts, schemas.LogReplayed, r.history.tokens)
}

// sayStarted is the line of an attempt's start.
func (r *run) sayStarted(ctx context.Context, attempt, promptTokens, choices int) {
	attrs := []slog.Attr{
		slog.String(schemas.LogEvent, schemas.LogEventJobStarted), slog.Int(schemas.LogAttempt, attempt),
		slog.Int(schemas.LogPromptTokens, promptTokens), slog.Int(schemas.LogChoices, choices),
		slog.Int(schemas.LogReplayed, r.history.tokens),
	}
	if r.w.content {
		attrs = append(attrs, slog.String(schemas.LogPrompt, promptOf(r.job)))
	}
	r.log.LogAttrs(ctx, slog.LevelInfo, "started", attrs...)
}

// sayEnd is the canonical line of a claim: who, what, sizes, timings and outcome in
// one place.
func (r *run) sayEnd(ctx context.Context, result outcome) {
	d, m := r.delivery, r.measured
	attrs := []slog.Attr{
		slog.String(schemas.LogEvent, schemas.LogEventJobEnd), slog.String(schemas.LogOutcome, string(result)),
		slog.String(schemas.LogOwner, d.Owner), slog.String(schemas.LogAgent, r.named), slog.Int(schemas.LogFlow, d.Flow),
		slog.String(schemas.LogFinish, string(r.finish)), slog.String(schemas.LogCode, string(r.code)),
		slog.Int(schemas.LogAttempt, r.attempt()), slog.Uint64(schemas.LogDeliveries, d.Deliveries),
		slog.Int(schemas.LogChoices, m.choices), slog.Int(schemas.LogPromptTokens, r.usage.PromptTokens),
		slog.Int(schemas.LogCachedTokens, m.cached), slog.Int(schemas.LogCompletionTokens, r.usage.CompletionTokens),
		slog.Int(schemas.LogReplayed, r.history.tokens), slog.Int(schemas.LogPreemptions, m.preemptions),
		slog.Duration(schemas.LogQueued, fine(d.BrokerTime(d.ClaimedAt).Sub(d.WaitsSince()))),
		slog.Duration(schemas.LogAdmission, fine(m.admission)), slog.Duration(schemas.LogPrefill, fine(m.prefill)),
		slog.Duration(schemas.LogDecode, fine(m.decode)), slog.Duration(schemas.LogTTFT, fine(r.firstToken)),
		slog.Duration(schemas.LogDuration, fine(time.Since(r.claimed))),
	}
	attrs = slices.DeleteFunc(attrs, unsaid)
	if r.w.content && len(r.answers) > 0 {
		attrs = append(attrs, slog.Any(schemas.LogAnswer, r.answered()))
	}
	r.log.LogAttrs(ctx, slog.LevelInfo, "claim ended", attrs...)
}

// fine is as much of a duration as a line tells.
func fine(d time.Duration) time.Duration { return max(d.Round(10*time.Microsecond), 0) }

// unsaid are attributes that say nothing: there was none of it.
func unsaid(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindString:
		return a.Value.String() == ""
	case slog.KindInt64:
		return a.Value.Int64() == 0 && a.Key != schemas.LogFlow
	case slog.KindDuration:
		return a.Value.Duration() == 0
	default:
		return false
	}
}

// mostContent bounds each text of a user in a line, in bytes.
const mostContent = 32 << 10

// promptOf is what a job asks, for --log-content.
func promptOf(job schemas.Job) string {
	var asked any = job.Messages
	if job.Kind == schemas.KindCompletion {
		asked = job.Prompts
	}
	text, err := json.Marshal(asked)
	if err != nil {
		return err.Error()
	}
	return clipped(string(text))
}

// keepAnswer keeps what goes into the log of a job, for --log-content.
func (r *run) keepAnswer(out schemas.Output) {
	if !r.w.content {
		return
	}
	for len(r.answers) <= out.Choice {
		r.answers = append(r.answers, new(strings.Builder))
	}
	said := r.answers[out.Choice]
	if said.Len() > mostContent {
		return
	}
	said.WriteString(out.Reasoning)
	said.WriteString(out.Text)
	for _, call := range out.ToolCalls {
		said.WriteString(call.Name)
		said.WriteString(call.Arguments)
	}
}

// answered are the texts of the choices.
func (r *run) answered() []string {
	texts := make([]string, len(r.answers))
	for i, said := range r.answers {
		texts[i] = clipped(said.String())
	}
	return texts
}

func clipped(text string) string {
	if len(text) <= mostContent {
		return text
	}
	return strings.ToValidUTF8(text[:mostContent], "") + fmt.Sprintf("… (%d bytes more)", len(text)-mostContent)
}
