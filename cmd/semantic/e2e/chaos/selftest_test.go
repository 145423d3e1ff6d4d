package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// The suite is worth what its checker sees: each way in which a stream or a log can
// be wrong is found, and named as what it is.
func TestCheckerOfStreams(t *testing.T) {
	right := []string{
		`1.0 {"choices":[{"index":0,"delta":{"content":"one"}}]}`,
		`2.0 {"choices":[{"index":0,"delta":{"content":" two"}}]}`,
		`2.1 {"choices":[{"index":0,"delta":{"content":" three"}}]}`,
		`3.0 {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		`3.1 {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":3}}`,
	}
	without := func(i int) []string { return slices.Delete(slices.Clone(right), i, i+1) }
	with := func(i int, chunk string) []string {
		chunks := slices.Clone(right)
		chunks[i] = chunk
		return chunks
	}
	for name, c := range map[string]struct {
		chunks []string
		kind   string
	}{
		"as it should be":        {right, ""},
		"a chunk is lost":        {without(1), wrongLost},
		"the first is lost":      {without(0), wrongText},
		"an event is lost":       {slices.Delete(slices.Clone(right), 1, 3), wrongLost},
		"a chunk comes twice":    {slices.Insert(slices.Clone(right), 1, right[0]), wrongRepeated},
		"an older chunk":         {slices.Insert(slices.Clone(right), 3, right[1]), wrongRepeated},
		"text twice":             {slices.Insert(slices.Clone(right), 1, `1.1 {"choices":[{"index":0,"delta":{"content":"one"}}]}`), wrongText},
		"another text":           {with(1, `2.0 {"choices":[{"index":0,"delta":{"content":" six"}}]}`), wrongText},
		"another choice":         {with(1, `2.0 {"choices":[{"index":1,"delta":{"content":" two"}}]}`), wrongText},
		"another end":            {with(3, `3.0 {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`), wrongText},
		"the end is lost":        {without(3), wrongLost},
		"the usage is lost":      {without(4), wrongLost},
		"another usage":          {with(4, `3.1 {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}`), wrongLost},
		"a chunk of another job": {with(1, `other:2.0 {"choices":[]}`), wrongText},
		"a chunk without an id":  {with(1, ` {"choices":[]}`), wrongText},
		"no JSON":                {with(1, `2.0 {"choices`), wrongText},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswer()
			a.prompt, a.completion = 4, 3
			a.choice(0).text, a.choice(0).finish = "one two three", schemas.FinishStop
			r := newReading(a)
			r.job = "job"
			var stream strings.Builder
			for _, chunk := range c.chunks {
				id, data, _ := strings.Cut(chunk, " ")
				if id != "" && !strings.Contains(id, ":") {
					id = "job:" + id
				}
				if id != "" {
					fmt.Fprintf(&stream, "id: %s\n", id)
				}
				fmt.Fprintf(&stream, "data: %s\n\n", data)
			}
			r.read(linesOf(strings.NewReader(stream.String()+"data: [DONE]\n\n")), func() bool { return false })
			if r.over {
				r.check()
			}
			if r.kind != c.kind {
				t.Errorf("found %q (%s), want %q", r.kind, r.problem, c.kind)
			}
		})
	}
}

func TestCheckerOfLogs(t *testing.T) {
	delta := func(n int64, token int32, text string) storedEvent {
		return storedEvent{event: schemas.Event{Job: "job", N: n, Type: schemas.EventDelta, Delta: &schemas.Delta{
			Output: schemas.Output{Tokens: []int32{token}, Text: text},
		}}}
	}
	end := func(n int64) storedEvent {
		return storedEvent{event: schemas.Event{Job: "job", N: n, Type: schemas.EventDone, Done: &schemas.Done{
			FinishReason: schemas.FinishStop, Usage: schemas.Usage{PromptTokens: 4, CompletionTokens: 2},
		}}}
	}
	cancelled := storedEvent{event: schemas.Event{Job: "job", N: 2, Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{
		Reason: "requested",
	}}}
	failed := storedEvent{event: schemas.Event{Job: "job", N: 2, Type: schemas.EventFailed, Failed: &schemas.Failed{
		Code: schemas.CodeWorkerLost, Message: "died",
	}}}
	began := time.Now()
	evidence := schemas.Parked{Job: "job", Attempts: []schemas.Attempt{
		{Worker: "w", Began: began, Counted: true}, {Worker: "w", Began: began, Counted: true}, {Worker: "w", Began: began, Counted: true},
	}}
	for name, c := range map[string]struct {
		log    []storedEvent
		what   string
		parked schemas.Parked
		kind   string
	}{
		"as it should be":                {log: []storedEvent{delta(1, 7, "one"), delta(2, 8, " two"), end(3)}},
		"a gap":                          {log: []storedEvent{delta(1, 7, "one"), end(3)}, kind: wrongLost},
		"a token is lost":                {log: []storedEvent{delta(1, 7, "one two"), end(2)}, kind: wrongText},
		"a token twice":                  {log: []storedEvent{delta(1, 7, "one"), delta(2, 7, " two"), end(3)}, kind: wrongText},
		"another text":                   {log: []storedEvent{delta(1, 7, "two"), end(2)}, kind: wrongText},
		"no end":                         {log: []storedEvent{delta(1, 7, "one")}, kind: wrongEndless},
		"two ends":                       {log: []storedEvent{delta(1, 7, "one"), delta(2, 8, " two"), end(3), end(4)}, kind: wrongEndless},
		"goes on behind its end":         {log: []storedEvent{delta(1, 7, "one"), end(2), delta(3, 8, " two")}, kind: wrongEndless},
		"junk":                           {log: []storedEvent{{bad: schemas.ErrNewerVersion}}, kind: wrongText},
		"cancelled, and nobody asked":    {log: []storedEvent{delta(1, 7, "one"), cancelled}, kind: wrongLost},
		"cancelled by its client":        {log: []storedEvent{delta(1, 7, "one"), cancelled}, what: doDelete},
		"given up without evidence":      {log: []storedEvent{delta(1, 7, "one"), failed}, kind: wrongText},
		"given up, and nobody was alive": {log: []storedEvent{delta(1, 7, "one"), failed}, parked: evidence},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fleet{book: newBook(), ledger: newLedger(), names: map[string]string{"w": "worker-0"}}
			if c.parked.Job != "" {
				f.book.fault(faultKillWorker, "worker-0")()
			}
			s := &shape{kind: "greedy", right: newAnswer()}
			s.right.prompt, s.right.completion = 4, 2
			*s.right.choice(0) = said{text: "one two", finish: schemas.FinishStop, tokens: []int32{7, 8}}
			what := c.what
			if what == "" {
				what = doStream
			}
			f.ledger.put("job", entry{shape: s, what: what, owner: "local"})
			f.checkLog(t.Context(), "job", &jobLog{owner: "local", events: c.log}, []*shape{s}, map[string]schemas.Parked{"job": c.parked})
			found := ""
			for kind := range f.book.wrong {
				found = kind
			}
			if found != c.kind || len(f.book.wrong) > 1 {
				t.Errorf("found %v, want %q: %v", f.book.wrong, c.kind, f.book.failures)
			}
		})
	}
}
