package natsinit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// act is something that a user tries. Who may do it: g gateway, w worker,
// o observer, p publisher (alice).
type act struct {
	subject string
	may     string
}

// publishes are written from what the roles are for, not from the table that
// the credentials are made of.
func publishes(worker string) []act {
	const id = "job1"
	acts := []act{
		// jobs
		{"semantic.jobs.sim.normal.00.alice", "gp"},
		{"semantic.jobs.sim.normal.00.bob", "g"},
		{"semantic.jobs.sim.normal.00.local", "g"},
		{"semantic.jobs.sim.normal.00", ""},
		// logs and feeds
		{"semantic.events.alice." + id, "gw"},
		{"semantic.events.bob." + id, "gw"},
		{"semantic.reply.alice." + id, ""},
		{"semantic.reply.bob." + id, ""},
		{"semantic.readers.alice." + id, "g"},
		{"semantic.arrivals.alice." + id, "g"},
		{"semantic.wake.sim.normal.00.alice", "w"},
		{"semantic.dead.sim.alice." + id, "w"},
		{"semantic.dead.sim." + id, ""},
		{"_INBOX.alice.x", "gw"},
		{"_INBOX.bob.x", "gw"},
		{"_PRIVATE.somebody.x", ""},
		// workers
		{"semantic.control." + worker, "g"},
		{"semantic.report." + worker, "go"},
		{"semantic.answer.t1", "w"},
		{"$KV.workers." + worker, "w"},
		{"$KV.workers." + worker + "-1", "w"},
		{"$KV.workers.studio", ""},
		{"$KV.workers." + worker + "x", ""},
		{"$KV.agents.a", "w"},
		{"$KV.models.m", "gw"},
		{"$KV.leases.l", "g"},
		{"$KV.keys.k", "g"},
		{"$KV.secrets.s", "g"},
		{"$O.inputs.C.x", "g"},
		{"$O.inputs.M.x", "g"},
		{"$O.dead.C.x", "w"},
		{"$O.dead.M.x", "w"},
		{"$KV.exits." + worker + ".i", "g"},
		// claims
		{"$JS.API.CONSUMER.CREATE.JOBS_NORMAL.c.semantic.jobs.sim.normal.00.*", "w"},
		{"$JS.API.CONSUMER.CREATE.JOBS_NORMAL", ""},
		{"$JS.API.CONSUMER.DURABLE.CREATE.JOBS_NORMAL.c", ""},
		{"$JS.API.CONSUMER.MSG.NEXT.JOBS_NORMAL.c", "w"},
		{"$JS.ACK.JOBS_NORMAL.c.1.1.1.1.0", "w"},
		{"$JS.API.CONSUMER.DELETE.JOBS_NORMAL.c", ""},
		{"$JS.API.CONSUMER.PAUSE.JOBS_NORMAL.c", ""},
		{"$JS.API.CONSUMER.LIST.JOBS_NORMAL", "go"},
		{"$JS.API.CONSUMER.INFO.JOBS_NORMAL.c", "wo"},
		// consumers of what is not claimed would let their maker publish anywhere
		{"$JS.API.CONSUMER.CREATE.EVENTS", ""},
		{"$JS.API.CONSUMER.CREATE.EVENTS.c", ""},
		{"$JS.API.CONSUMER.CREATE.EVENTS.c.semantic.events.bob.>", ""},
		{"$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.c", ""},
		{"$JS.API.CONSUMER.MSG.NEXT.EVENTS.c", ""},
		{"$JS.API.CONSUMER.CREATE.DEAD.c.>", ""},
		{"$JS.API.CONSUMER.CREATE.KV_workers.c.$KV.workers.>", "gw"},
		{"$JS.API.CONSUMER.CREATE.KV_keys.c.$KV.keys.>", "g"},
		{"$JS.API.CONSUMER.CREATE.OBJ_inputs.c.>", ""},
		// reading
		{"$JS.API.INFO", "gwo"},
		{"$JS.API.STREAM.INFO.EVENTS", "gwo"},
		{"$JS.API.STREAM.INFO.JOBS_BATCH", "gwo"},
		{"$JS.API.STREAM.INFO.KV_keys", "g"},
		{"$JS.API.STREAM.MSG.GET.EVENTS", "gwo"},
		{"$JS.API.STREAM.MSG.GET.KV_keys", "g"},
		{"$JS.API.STREAM.MSG.GET.KV_secrets", "g"},
		{"$JS.API.DIRECT.GET.EVENTS", "gwo"},
		{"$JS.API.DIRECT.GET.EVENTS.semantic.events.alice." + id, "gwop"},
		{"$JS.API.DIRECT.GET.EVENTS.semantic.events.bob." + id, "gwo"},
		{"$JS.API.DIRECT.GET.KV_keys.$KV.keys.k", "g"},
		{"$JS.API.DIRECT.GET.KV_secrets.$KV.secrets.s", "g"},
		{"$JS.API.DIRECT.GET.DEAD.semantic.dead.sim.alice." + id, "gwo"},
		{"$JS.API.STREAM.NAMES", ""},
		{"$JS.API.STREAM.LIST", ""},
		{"$SYS.REQ.SERVER.PING", ""},
		// looking after the streams
		{"$JS.API.STREAM.CREATE.EVENTS", "g"},
		{"$JS.API.STREAM.UPDATE.EVENTS", "g"},
		{"$JS.API.STREAM.CREATE.OTHER", ""},
		{"$JS.API.STREAM.PURGE.EVENTS", "g"},
		{"$JS.API.STREAM.PURGE.OBJ_dead", "g"},
		{"$JS.API.STREAM.PURGE.JOBS_NORMAL", ""},
		{"$JS.API.STREAM.PURGE.KV_keys", ""},
		{"$JS.API.STREAM.MSG.DELETE.JOBS_NORMAL", "g"},
		{"$JS.API.STREAM.MSG.DELETE.EVENTS", ""},
		{"$JS.API.STREAM.MSG.DELETE.DEAD", "g"},
		{"$JS.API.STREAM.DELETE.EVENTS", ""},
		{"$JS.API.STREAM.DELETE.JOBS_NORMAL", ""},
		{"$JS.API.STREAM.SNAPSHOT.EVENTS", ""},
		{"$JS.API.STREAM.RESTORE.EVENTS", ""},
		{"$JS.API.STREAM.PEER.REMOVE.EVENTS", ""},
		{"$JS.API.STREAM.LEADER.STEPDOWN.EVENTS", ""},
		{"$JS.API.META.LEADER.STEPDOWN", ""},
		{"$JS.API.ACCOUNT.PURGE.x", ""},
	}
	return acts
}

func subscriptions(worker string) []act {
	return []act{
		{"semantic.reply.alice.*", "gop"},
		{"semantic.reply.bob.*", "go"},
		{"semantic.reply.*.*", "go"},
		{"semantic.readers.alice.*", "g"},
		{"semantic.arrivals.alice.*", "g"},
		{"semantic.events.>", ""},
		{"semantic.jobs.>", ""},
		{"semantic.wake.sim.>", "w"},
		{"semantic.control." + worker, "w"},
		{"semantic.control.studio", ""},
		{"semantic.control.>", ""},
		{"semantic.report." + worker, "w"},
		{"semantic.report.studio", ""},
		{"semantic.answer.t1", "go"},
		{"_INBOX.alice.>", "p"},
		{"_PRIVATE.somebody.>", ""},
		{"_PRIVATE.>", ""},
		{"$JS.>", ""},
		{"$JS.ACK.>", ""},
		{"$KV.>", ""},
		{"$KV.keys.>", ""},
		{"$SYS.>", ""},
		{">", ""},
	}
}

// TestRights: every act of every role is allowed or refused as it must be, by
// the server, whatever client it comes from.
func TestRights(t *testing.T) {
	c := start(t, natsinit.Options{Publishers: []string{"alice", "bob"}, Workers: []string{"studio"}})
	if err := c.open(t, "gateway").Ensure(within(t)); err != nil {
		t.Fatal(err)
	}
	for _, user := range []struct{ name, letter string }{
		{"observer", "o"}, {"publisher-alice", "p"}, {"worker", "w"}, {"gateway", "g"},
	} {
		t.Run(user.name, func(t *testing.T) {
			nc, violations := c.plain(t, user.name)
			for _, a := range publishes(machine) {
				if err := nc.Publish(a.subject, nil); err != nil {
					t.Fatal(err)
				}
			}
			for _, a := range subscriptions(machine) {
				if _, err := nc.SubscribeSync(a.subject); err != nil {
					t.Fatal(err)
				}
			}
			no := refused(t, nc, violations)
			check := func(kind string, a act) {
				got := false
				for text := range no {
					got = got || strings.Contains(text, kind+` to "`+a.subject+`"`)
				}
				if may := strings.Contains(a.may, user.letter); got == may {
					t.Errorf("%s to %s: refused is %t", kind, a.subject, got)
				}
			}
			for _, a := range publishes(machine) {
				check("Publish", a)
			}
			for _, a := range subscriptions(machine) {
				check("Subscription", a)
			}
		})
	}
	t.Run("admin", func(t *testing.T) {
		nc, _ := c.plain(t, "admin")
		if names := js(t, nc).StreamNames(within(t)); len(<-names.Name()) == 0 || names.Err() != nil {
			t.Errorf("lists the streams: %v", names.Err())
		}
	})
	t.Run("nobody", func(t *testing.T) {
		ca := nats.RootCAs(c.made.Brokers[0] + "/ca.pem")
		if nc, err := nats.Connect(c.made.Servers[0], ca, nats.Timeout(patience)); !errors.Is(err, nats.ErrAuthorization) {
			nc.Close()
			t.Errorf("without credentials: %v", err)
		}
		if nc, err := nats.Connect(strings.Replace(c.made.Servers[0], "tls:", "nats:", 1), nats.UserCredentials(c.creds("admin"))); err == nil {
			nc.Close()
			t.Error("without TLS, or with a certificate that nobody vouches for")
		}
	})
}

// TestReplySubjects: the server stores its answer to a publisher under the
// reply subject that the publisher names, and checks no right to that. Where all
// users share an account, anybody could so write into the log of another's job.
func TestReplySubjects(t *testing.T) {
	c := start(t, natsinit.Options{Publishers: []string{"alice", "bob"}})
	gateway := c.open(t, "gateway")
	if err := gateway.Ensure(within(t)); err != nil {
		t.Fatal(err)
	}
	admin, _ := c.plain(t, "admin")
	body, err := schemas.EncodeJob(job("x"))
	if err != nil {
		t.Fatal(err)
	}
	publisher, _ := c.plain(t, "publisher-alice")
	observer, _ := c.plain(t, "observer")
	for _, attack := range []struct {
		nc       *nats.Conn
		subject  string
		reply    string
		data     []byte
		answered bool
	}{
		{publisher, queue.JobSubject(model, schemas.ClassNormal, 0, "alice"), "semantic.events.bob.victim", body, true},
		{publisher, queue.JobSubject(model, schemas.ClassNormal, 0, "alice"), "semantic.events.alice.own", body, true},
		{publisher, queue.JobSubject(model, schemas.ClassNormal, 0, "alice"), "semantic.jobs.sim.normal.00.bob", body, true},
		{publisher, "$JS.API.DIRECT.GET.EVENTS.semantic.events.alice.x", "semantic.events.bob.victim", nil, true},
		{observer, "$JS.API.INFO", "semantic.events.bob.victim", nil, true},
		{observer, "$JS.API.STREAM.INFO.EVENTS", "semantic.events.bob.victim", nil, true},
		{observer, "$JS.API.DIRECT.GET.EVENTS", "semantic.events.bob.victim", []byte(`{"seq":1}`), true},
	} {
		if err := attack.nc.PublishRequest(attack.subject, attack.reply, attack.data); err != nil {
			t.Fatal(err)
		}
	}
	// The answers have been sent when one that was asked for later is there.
	for _, nc := range []*nats.Conn{publisher, observer} {
		if err := nc.FlushWithContext(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := publisher.RequestWithContext(within(t), queue.JobSubject(model, schemas.ClassNormal, 0, "alice"), body); err != nil {
		t.Fatal(err)
	}
	if _, err := observer.RequestWithContext(within(t), "$JS.API.STREAM.INFO.EVENTS", nil); err != nil {
		t.Fatal(err)
	}
	state := func(name string) uint64 {
		t.Helper()
		s, err := js(t, admin).Stream(within(t), name)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.Msgs
	}
	if n := state("EVENTS"); n != 0 {
		t.Errorf("EVENTS holds %d messages, want none", n)
	}
	if n := state("JOBS_NORMAL"); n != 4 { // three attacks that are jobs, and the last
		t.Errorf("JOBS_NORMAL holds %d messages", n)
	}
	// The same from within the account does what is feared: the attack is real.
	inside, _ := c.plain(t, "gateway")
	subject := queue.JobSubject(model, schemas.ClassNormal, 0, "local")
	if err := inside.PublishRequest(subject, "semantic.events.bob.victim", body); err != nil {
		t.Fatal(err)
	}
	if _, err := inside.RequestWithContext(within(t), subject, body); err != nil {
		t.Fatal(err)
	}
	// The server stores its own answer when it comes to it.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx, n := within(t), state("EVENTS"); n != 1; n = state("EVENTS") {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("EVENTS holds %d messages after an attack from within, want 1", n)
		}
	}
}

// TestOthersReplies: one publisher hears nothing of another's jobs, and its
// messages under another's subjects reach nobody.
func TestOthersReplies(t *testing.T) {
	c := start(t, natsinit.Options{Publishers: []string{"alice", "bob"}})
	gateway := c.open(t, "gateway")
	if err := gateway.Ensure(within(t)); err != nil {
		t.Fatal(err)
	}
	alice, _ := c.plain(t, "publisher-alice")
	bob, _ := c.plain(t, "publisher-bob")
	own, err := alice.SubscribeSync("semantic.reply.alice.*")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan *nats.Msg, 64)
	for _, subject := range []string{"semantic.reply.alice.*", "semantic.reply.>", "_INBOX.alice.>", "_INBOX.>", "semantic.events.>"} {
		if _, err := bob.ChanSubscribe(subject, heard); err != nil {
			t.Fatal(err)
		}
	}
	for _, nc := range []*nats.Conn{alice, bob} {
		if err := nc.FlushWithContext(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	ticket, err := gateway.Submit(within(t), queue.Submission{Owner: "alice", Job: job("secret")})
	if err != nil {
		t.Fatal(err)
	}
	// Bob's forged end of alice's job, before the true one.
	for _, subject := range []string{queue.ReplySubject("alice", ticket.JobID), queue.EventSubject("alice", ticket.JobID), "_INBOX.alice.x"} {
		if err := bob.Publish(subject, []byte("forged")); err != nil {
			t.Fatal(err)
		}
	}
	if err := bob.FlushWithContext(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Cancel(within(t), "alice", ticket.JobID, "requested"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []schemas.EventType{schemas.EventSubmitted, schemas.EventCancelled} {
		m, err := own.NextMsgWithContext(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if e, err := schemas.DecodeEvent(m.Data); err != nil || e.Type != want {
			t.Errorf("alice hears %s, want %s", m.Data, want)
		}
	}
	if err := bob.FlushWithContext(within(t)); err != nil {
		t.Fatal(err)
	}
	for len(heard) > 0 {
		if m := <-heard; string(m.Data) != "forged" { // its own, in its own account
			t.Errorf("bob hears %s: %s", m.Subject, m.Data)
		}
	}
	if log, err := gateway.Log(within(t), "alice", ticket.JobID); err != nil || len(log) != 2 {
		t.Errorf("the log: %v, %v", log, err)
	}
}

// TestForbiddenIsTold: a role that tries what it may not gets a typed error, at
// once.
func TestForbiddenIsTold(t *testing.T) {
	c := start(t, natsinit.Options{Publishers: []string{"alice"}})
	worker := c.open(t, "worker", silent)
	if err := worker.Ensure(within(t)); !errors.Is(err, queue.ErrNoTopology) || !errors.Is(err, queue.ErrForbidden) {
		t.Errorf("worker without streams: %v", err)
	}
	if err := c.open(t, "gateway").Ensure(within(t)); err != nil {
		t.Fatal(err)
	}
	var forbidden *queue.ForbiddenError
	if _, err := worker.Register(within(t), status("studio")); !errors.As(err, &forbidden) || forbidden.Subject != "$KV.workers.studio" {
		t.Errorf("worker under another's name: %v", err)
	}
	if _, err := worker.Submit(within(t), queue.Submission{Job: job("x")}); !errors.Is(err, queue.ErrForbidden) {
		t.Errorf("worker submits: %v", err)
	}
	if _, err := c.open(t, "observer", silent).Submit(within(t), queue.Submission{Job: job("x")}); !errors.Is(err, queue.ErrForbidden) {
		t.Errorf("observer submits: %v", err)
	}
	claimer, err := c.open(t, "gateway", silent).NewClaimer(within(t), queue.ClaimOptions{Model: model, WorkerID: "w", Incarnation: "i"})
	if err == nil {
		defer claimer.Close()
		if _, err := c.open(t, "gateway").Submit(within(t), queue.Submission{Job: job("x")}); err != nil {
			t.Fatal(err)
		}
		if d, err := claimer.Next(within(t)); !errors.Is(err, queue.ErrForbidden) {
			t.Errorf("gateway claims %v: %v", d, err)
		}
	}
	_, err = queue.Open(within(t), queue.Options{CredsFile: c.creds("publisher-alice"), Config: queue.DefaultConfig()})
	if !errors.Is(err, queue.ErrJetStreamUnavailable) {
		t.Errorf("a publisher opens the queue: %v", err)
	}
}
