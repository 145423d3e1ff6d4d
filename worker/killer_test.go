package worker_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// killer is a backend that takes its process with it, as far as a test can tell,
// once the answer to a prompt that says "poison" has so many bytes.
type killer struct {
	engine.Backend
	after  int
	strike func()
	over   chan struct{} // closed at the test's end
	tokens map[engine.SeqID][]engine.Token
}

func (k *killer) Step(rows []engine.Row) error {
	for _, row := range rows {
		k.tokens[row.Seq] = append(k.tokens[row.Seq][:row.Pos], row.Token)
		var text []byte
		for _, token := range k.tokens[row.Seq] {
			text = k.Vocabulary().AppendPiece(text, token, true)
		}
		begin := bytes.LastIndex(text, []byte(assistant))
		if begin >= 0 && bytes.Contains(text, []byte("poison")) && len(text)-begin-len(assistant) >= k.after {
			k.strike()
			<-k.over
		}
	}
	return k.Backend.Step(rows)
}

func (k *killer) Remove(seq engine.SeqID, from int32) error {
	k.tokens[seq] = k.tokens[seq][:min(len(k.tokens[seq]), int(from))]
	return k.Backend.Remove(seq, from)
}

func (k *killer) Share(dst, src engine.SeqID, n int32) error {
	k.tokens[dst] = slices.Clone(k.tokens[src][:n])
	return k.Backend.Share(dst, src, n)
}

// restless starts a worker, and another in its place whenever it dies, until the
// queue is empty. The first one makes its steps only once it has crowd requests, so
// that all of them are in its hands, and strikes only once the log of the one that
// kills has a token, where there will be any. Returns how many died.
func (h *house) restless(after, crowd int, poison queue.Ticket) (deaths int) {
	h.t.Helper()
	over := make(chan struct{})
	release := sync.OnceFunc(func() { close(over) })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		wire, struck := newProxy(h.t, h.srv.ClientURL()), make(chan struct{})
		k := &killer{
			after: after, over: over, tokens: make(map[engine.SeqID][]engine.Token),
			strike: sync.OnceFunc(func() { wire.cut(); close(struck) }),
		}
		changes := []func(*setup){wire.between, func(s *setup) {
			s.backend = func(b engine.Backend) engine.Backend { k.Backend = b; return k }
			s.config.DrainTimeout, s.config.FlushTimeout = time.Millisecond, 100*time.Millisecond
		}}
		var g *gate
		if deaths == 0 {
			g = newGate(h.t)
			changes = append(changes, gated(g))
		}
		w := h.start(changes...)
		h.t.Cleanup(release) // before the worker is joined
		if g != nil {
			eventually(h.t, "all are in the engine", func() bool { return len(w.engine.Snapshot().Requests) == crowd })
			if early := after / 8; early > 0 {
				follower := h.follow(poison)
				g.until(h.t, "it generates", func() bool {
					return slices.ContainsFunc(w.engine.Snapshot().Requests, func(r engine.RequestState) bool {
						return strings.HasPrefix(r.ID, poison.JobID) && r.Generated > 0
					})
				})
				h.until(follower, 1)
			}
			g.open()
		}
		for died := false; !died; {
			select {
			case <-struck:
				deaths++
				died = true
			case <-tick.C:
				if depth, err := h.queue.Depth(h.t.Context()); err == nil && len(depth) > 0 && !slices.ContainsFunc(depth, busy) {
					return deaths
				}
			case <-late:
				h.t.Fatalf("%d workers died, and there is no end", deaths)
			}
		}
	}
}

func busy(d queue.Depth) bool { return d.Queued+d.Running > 0 }

// One job kills every worker that computes it. Its neighbours get their answers,
// and it is given up after few deaths, with the evidence.
func TestKillerAmongInnocents(t *testing.T) {
	t.Parallel()
	for _, after := range []int{0, 1, 60} {
		t.Run(strconv.Itoa(after), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, forgetful)
			const innocents = 5
			var jobs []schemas.Job
			var tickets []queue.Ticket
			for i := range innocents + 1 {
				text := fmt.Sprintf("innocent %d words=%d", i, 60+i)
				if i == innocents/2 {
					text = "poison words=40"
				}
				jobs = append(jobs, prompt(text))
				tickets = append(tickets, h.submit(jobs[i]))
			}
			deaths := h.restless(after, len(jobs), tickets[innocents/2])
			most := 5
			if after > 1 {
				most = 30 // a death after which the log has grown is no proof: queue.Guilt
			}
			if deaths < 3 || deaths > most {
				t.Errorf("%d workers died", deaths)
			}
			dead, err := h.queue.DeadJobs(t.Context(), "")
			requireNoError(t, err)
			if len(dead) != 1 || dead[0].JobID != tickets[innocents/2].JobID {
				t.Errorf("dead jobs: %+v", dead)
			}
			for i, ticket := range tickets {
				r := h.result(ticket)
				text, _ := reference(t, jobs[i])
				if i != innocents/2 {
					if r.done(); r.text() != text {
						t.Errorf("%d: %q, want %q", i, r.text(), text)
					}
					continue
				}
				failed := r.failed(schemas.CodeWorkerLost)
				if !strings.Contains(failed.Message, "semantic dead show "+ticket.JobID) || !strings.HasPrefix(text, r.text()) {
					t.Errorf("%q after %q", failed.Message, r.text())
				}
				checkEvidence(t, dead[0].Parked, r, deaths)
			}
		})
	}
}

// checkEvidence wants what a log says of a killer.
func checkEvidence(t *testing.T, p schemas.Parked, r record, deaths int) {
	t.Helper()
	died, alone := 0, 0
	for _, a := range p.Attempts {
		if a.End == schemas.AttemptDied {
			died++
		}
		if a.Alone && a.Counted {
			alone++
		}
	}
	// A death before the first start leaves no trace.
	if died != deaths && died != deaths-1 || alone < 1 || p.Tokens != len(r.tokens()) || !strings.HasSuffix(r.text(), p.LastText) ||
		!slices.Equal(p.LastTokens, r.tokens()[max(0, len(r.tokens())-schemas.MaxLastTokens):]) || p.Message != r.last().Failed.Message {
		t.Errorf("evidence %+v of %d deaths", p, deaths)
	}
	if job, err := schemas.DecodeJob([]byte(p.Body)); err != nil || job.Messages[0].Content != "poison words=40" {
		t.Errorf("body %q: %v", p.Body, err)
	}
	if len(p.Log) == 0 || !strings.Contains(p.Log[len(p.Log)-1], `"type":`) {
		t.Errorf("log %q", p.Log)
	}
}

// abandon leaves a job as a worker does that died on it.
func (h *house) abandon(ticket queue.Ticket) {
	h.t.Helper()
	m := h.mortal("gone")
	d := m.claim()
	if d.JobID != ticket.JobID {
		h.t.Fatalf("claimed %s, want %s", d.JobID, ticket.JobID)
	}
	m.start(d, 1, 1)
	m.die(d)
}

// Nothing begins beside a suspect before it came forward.
func TestSuspectRunsAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	jobs := []schemas.Job{prompt("suspect words=20"), prompt("after words=10")}
	suspect := h.submit(jobs[0])
	h.abandon(suspect)
	g := newGate(t)
	w := h.start(gated(g))
	isolated := func() bool { return w.metric("semantic_worker_isolated_total") >= 1 }
	eventually(t, "the suspect is in the engine, alone", func() bool { return isolated() && len(w.engine.Snapshot().Requests) == 1 })
	after := h.submit(jobs[1])
	g.open()
	checkAlone(t, h, suspect, after, jobs...)
	h.emptied()
}

// mark publishes a job whose log says that a worker has it of which nobody ever
// heard: a suspect.
func (h *house) mark(job schemas.Job, class schemas.Class) queue.Ticket {
	h.t.Helper()
	_, js := h.dial()
	ticket := queue.Ticket{JobID: queue.NewJobID(), Owner: queue.OwnerLocal}
	rendered, err := schemas.EncodeEvent(schemas.Event{
		Job: ticket.JobID, N: 1, Type: schemas.EventStarted, Time: time.Now(),
		Started: &schemas.Started{
			Attempt: 1, Worker: "gone", Incarnation: "gone-1", Fingerprint: h.mortal("").fingerprint, Seed: 1,
			PromptTokens: promptTokens(h, job),
		},
	})
	requireNoError(h.t, err)
	_, err = js.Publish(h.t.Context(), queue.EventSubject(ticket.Owner, ticket.JobID), rendered)
	requireNoError(h.t, err)
	body, err := schemas.EncodeJob(job)
	requireNoError(h.t, err)
	_, err = js.PublishMsg(h.t.Context(), &nats.Msg{
		Subject: queue.JobSubject(modelName, class, 0, queue.OwnerLocal), Data: body,
		Header: nats.Header{schemas.HeaderJobID: {ticket.JobID}},
	})
	requireNoError(h.t, err)
	return ticket
}

// promptTokens is how long the job's prompt is.
func promptTokens(h *house, job schemas.Job) int {
	m := h.mortal("")
	text, err := m.template.Render([]chat.Message{{Role: "user", Content: job.Messages[0].Content}})
	requireNoError(h.t, err)
	tokens, err := m.vocabulary.Tokenize(text, true)
	requireNoError(h.t, err)
	return len(tokens)
}

// checkAlone wants the right answers, and of the second one no start before the
// first one, which ran alone, came forward.
func checkAlone(t *testing.T, h *house, suspect, other queue.Ticket, jobs ...schemas.Job) {
	t.Helper()
	a, b := h.result(suspect), h.result(other)
	for i, r := range []record{a, b} {
		text, _ := reference(t, jobs[i])
		if r.done(); r.text() != text {
			t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
		}
	}
	starts := a.started()
	if last := starts[len(starts)-1]; !last.Alone {
		t.Errorf("started %+v, want it alone", last)
	}
	if b.started()[0].Alone {
		t.Error("the other one says that it was alone")
	}
	var forward time.Time
	for _, e := range a.events {
		if forward.IsZero() && (e.Delta != nil || e.Done != nil) {
			forward = e.Time
		}
	}
	for _, e := range b.events {
		if e.Started != nil && e.Time.Before(forward) {
			t.Errorf("the other one began at %v, before the suspect came forward at %v", e.Time, forward)
		}
	}
}

// What runs when a suspect comes keeps its place: it pauses, and goes on at the next
// token.
func TestSuspectMakesOthersWait(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	jobs := []schemas.Job{prompt("suspect words=20"), prompt("long words=200")}
	g := newGate(t)
	w := h.start(gated(g))
	follower := h.follow(h.submit(jobs[1]))
	eventually(t, "it runs", func() bool { return len(w.engine.Snapshot().Requests) == 1 })
	g.step(t, 40)
	begun := h.until(follower, 3)
	suspect := h.mark(jobs[0], schemas.ClassNormal)
	eventually(t, "the suspect is in the engine", func() bool { return len(w.engine.Snapshot().Requests) == 2 })
	g.open()
	for i, r := range []record{h.result(suspect), h.rest(follower, begun)} {
		text, _ := reference(t, jobs[i])
		if r.done(); r.text() != text {
			t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
		}
		starts := r.started()
		if last := starts[len(starts)-1]; last.Alone != (i == 0) || i == 1 && len(starts) != 1 {
			t.Errorf("%d: %d starts, the last %+v", i, len(starts), last)
		}
	}
	h.emptied()
}

// Suspects of every class, among others that are begun and such that wait: one
// after the other is alone, none waits for ever, and all get their answers.
func TestSuspectsOfEveryClass(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var jobs []schemas.Job
	var tickets []queue.Ticket
	for i := range 9 {
		jobs = append(jobs, prompt(fmt.Sprintf("job %d words=%d", i, 30+i)))
		class := schemas.Classes()[2-i%3]
		if i < 6 {
			tickets = append(tickets, h.mark(jobs[i], class))
			continue
		}
		ticket, err := h.queue.Submit(t.Context(), queue.Submission{Job: jobs[i], Class: class})
		requireNoError(t, err)
		tickets = append(tickets, ticket)
	}
	h.start(func(s *setup) { s.sim.DecodeStep = time.Millisecond })
	for i, ticket := range tickets {
		r := h.result(ticket)
		text, _ := reference(t, jobs[i])
		if r.done(); r.text() != text {
			t.Errorf("%d, %s: %q, want %q", i, r.types(), r.text(), text)
		}
	}
	h.emptied()
}
