package queue

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/semantic-worker/semantic/schemas"
)

// Bounds of what a dead job's evidence quotes, in bytes.
const (
	lastTextBytes = 1024
	logBytes      = 64 << 10
)

// Evidence is what is known of the workers that tried a job.
type Evidence struct {
	// Attempts are the claims that left a trace in the job's log, oldest first, at
	// most the last schemas.MaxAttempts.
	Attempts []schemas.Attempt

	log jobLog
}

// Evidence reads the job's log as it is now, and how the processes of those that
// died ended, where their supervisors reported it. What cannot be read counts as
// not reported.
func (d *Delivery) Evidence(ctx context.Context) Evidence {
	e := Evidence{log: d.log}
	e.log.Entries = slices.Clip(e.log.Entries)
	if err := d.q.readLog(ctx, d.Owner, d.JobID, &e.log); err != nil {
		e.log = d.log
	}
	e.Attempts = attemptsOf(e.log.events(), d.isDead)
	e.Attempts = e.Attempts[max(0, len(e.Attempts)-schemas.MaxAttempts):]
	for i := range e.Attempts {
		if a := &e.Attempts[i]; a.End == schemas.AttemptDied {
			if exit, ok := d.q.exitOf(ctx, a.Worker, a.Incarnation); ok {
				a.Exit = &exit
			}
		}
	}
	return e
}

// isDead reports whether another incarnation than the claimer's is known to have
// ended.
func (d *Delivery) isDead(worker, incarnation string) bool {
	return incarnation != d.o.Incarnation && d.q.registry.dead(worker, incarnation)
}

// attemptsOf tells a log as claims, one after the other.
func attemptsOf(log []schemas.Event, dead func(worker, incarnation string) bool) []schemas.Attempt {
	var list []schemas.Attempt
	open := false // the last of list has not given the job back
	begin := func(worker, incarnation string, at time.Time, started, alone bool) {
		if last := len(list) - 1; open && list[last].Incarnation == incarnation && !list[last].Started {
			list[last].Started, list[last].Alone = started, alone
			return
		}
		list = append(list, schemas.Attempt{
			Worker: worker, Incarnation: incarnation, Began: at, Started: started, Alone: alone, End: schemas.AttemptLost,
		})
		open = true
	}
	for _, e := range log {
		switch r := e.Requeued; {
		case e.Started != nil:
			begin(e.Started.Worker, e.Started.Incarnation, e.Time, true, e.Started.Alone)
		case e.Delta != nil && len(list) > 0:
			list[len(list)-1].Tokens += len(e.Delta.Tokens)
		case r != nil && r.Reason == schemas.ReasonPreparing:
			begin(r.Worker, r.Incarnation, e.Time, false, r.Alone)
		case r != nil && open && list[len(list)-1].Incarnation == r.Incarnation:
			list[len(list)-1].End, list[len(list)-1].Reason, open = schemas.AttemptGaveBack, r.Reason, false
		}
	}
	still := handsOf(log).still
	seen := make(map[incarnation]bool)
	for i := len(list) - 1; i >= 0; i-- {
		a := &list[i]
		who := incarnation{a.Worker, a.Incarnation}
		// An incarnation dies once: with its last claim.
		if !seen[who] && a.End != schemas.AttemptGaveBack && dead(a.Worker, a.Incarnation) {
			a.End = schemas.AttemptDied
			_, a.Counted = still[who]
		}
		seen[who] = true
	}
	return list
}

// quote puts the end of the log into a dead job's evidence.
func (l jobLog) quote(p *schemas.Parked) {
	var text strings.Builder
	for _, e := range l.events() {
		if e.Delta == nil {
			continue
		}
		p.Tokens += len(e.Delta.Tokens)
		p.LastTokens = append(p.LastTokens, e.Delta.Tokens...)
		p.LastTokens = p.LastTokens[max(0, len(p.LastTokens)-schemas.MaxLastTokens):]
		text.WriteString(e.Delta.Text)
	}
	p.LastText = tail(text.String(), lastTextBytes)
	room := logBytes
	first := len(l.Entries)
	var lines []string
	for first > 0 && len(lines) < schemas.MaxParkedLog {
		data, err := schemas.EncodeEvent(l.Entries[first-1].Event)
		if err != nil || len(data) > room {
			break
		}
		room -= len(data)
		first--
		lines = append(lines, string(data))
	}
	for i := len(lines) - 1; i >= 0; i-- {
		p.Log = append(p.Log, lines[i])
	}
}

// tail is the end of text, whole characters only.
func tail(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}
