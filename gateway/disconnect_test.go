package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// held is a worker whose jobs begin to answer, and end when they are let go or
// cancelled.
type held struct {
	started   chan string
	goOn      chan struct{}
	cancelled chan string
}

func (b *bench) hold() held {
	h := held{started: make(chan string, 16), goOn: make(chan struct{}), cancelled: make(chan string, 16)}
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		j.delta("half ")
		h.started <- j.d.JobID
		select {
		case <-h.goOn:
		case <-ctx.Done():
			h.cancelled <- j.d.JobID
			return
		}
		j.delta("whole")
		j.done()
	})
	return h
}

// readInBackground reads a job's stream until it is left.
func (b *bench) readInBackground(job string) (leave func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := b.request(ctx, "GET", "/v1/jobs/"+job+"/events", "", headerOwnerToken, b.token(job))
	resp, err := b.http.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	// It reads, once there is something to read.
	_, _ = newSSEReader(b.t, resp.Body).next()
	b.t.Cleanup(cancel)
	return cancel
}

func resumeGrace(d time.Duration) func(*benchOptions) {
	return func(o *benchOptions) { o.Config.ResumeGrace = d }
}

// Whoever leaves while somebody else reads cancels nothing, at whichever gateway;
// the last one does.
func TestTheLastReaderCancels(t *testing.T) {
	b := startBench(t)
	two := startBeside(t, b.srv)
	h := b.hold()
	leave := b.inBackground(chatBody("", true), headerRequestID, "first")
	job := <-h.started
	again, elsewhere := b.readInBackground(job), two.readInBackground(job)

	again()
	b.logged("reader", "/v1/jobs/"+job+"/events")
	leave()
	b.endLine(t, "first")
	select {
	case <-h.cancelled:
		t.Fatal("cancelled while somebody reads it")
	default:
	}
	if s := b.view(job); s.Status.Ended() {
		t.Fatalf("the job has ended: %+v", s)
	}
	elsewhere()
	if got := <-h.cancelled; got != job {
		t.Errorf("cancelled %s", got)
	}
	b.wantEnd(job, schemas.EventCancelled)
}

// logged waits until a request for the path has ended.
func (b *bench) logged(what, path string) {
	b.t.Helper()
	eventually(b.t, what+" is logged", func() bool {
		for _, line := range b.logs.lines(b.t) {
			if line[schemas.LogEvent] == schemas.LogEventRequestEnd && line[schemas.LogPath] == path {
				return true
			}
		}
		return false
	})
}

func TestDurableOutlivesItsClient(t *testing.T) {
	b := startBench(t)
	h := b.hold()
	for _, stream := range []bool{true, false} {
		leave := b.inBackground(chatBody("", stream), headerDurable, "true", headerRequestID, "gone")
		job := <-h.started
		leave()
		b.endLine(t, "gone")
		read := b.readInBackground(job)
		read()
		h.goOn <- struct{}{}
		b.wantEnd(job, schemas.EventDone)
		if got := text(t, newSSEReader(t, b.events(job, b.token(job), "").Body).rest()); got != "half whole" {
			t.Errorf("text %q", got)
		}
	}
}

// A resumable job's client has its time to come back; then it is cancelled.
func TestResumableIsCancelledAfterItsGrace(t *testing.T) {
	b := startBench(t, resumeGrace(50*time.Millisecond))
	h := b.hold()
	leave := b.inBackground(chatBody("", true), headerResumable, "true")
	job := <-h.started
	leave()
	if got := <-h.cancelled; got != job {
		t.Errorf("cancelled %s", got)
	}
	b.wantEnd(job, schemas.EventCancelled)
	b.g.Drain(b.context())
}

// A client that came back answers for its job from then on, wherever that was: the
// grace that it was waited for is over, and when it leaves there is a new one.
func TestResumableClientComesBack(t *testing.T) {
	b := startBench(t, resumeGrace(time.Hour))
	two := startBeside(t, b.srv, resumeGrace(50*time.Millisecond))
	h := b.hold()
	leave := b.inBackground(chatBody("", true), headerResumable, "true", headerRequestID, "first")
	job := <-h.started
	leave()
	b.endLine(t, "first")
	read := two.readInBackground(job)
	b.g.graces.Wait()
	select {
	case <-h.cancelled:
		t.Fatal("cancelled while somebody reads it")
	default:
	}
	read()
	<-h.cancelled
	b.wantEnd(job, schemas.EventCancelled)
	two.g.Drain(two.context())
}

// A gateway that stops gives nobody up: neither the clients that it waits for nor
// those that leave then.
func TestStoppingGatewayEndsGracesOnly(t *testing.T) {
	b := startBench(t, resumeGrace(time.Hour))
	two := startBeside(t, b.srv)
	h := b.hold()
	leave := b.inBackground(chatBody("", true), headerResumable, "true", headerRequestID, "first")
	job := <-h.started
	leave()
	b.endLine(t, "first")
	b.g.Drain(b.context())
	h.goOn <- struct{}{}
	b.wantEnd(job, schemas.EventDone)
	if got := text(t, newSSEReader(t, two.events(job, two.token(job), "").Body).rest()); got != "half whole" {
		t.Errorf("text %q", got)
	}
}

func TestDisconnectHeaders(t *testing.T) {
	b := startBench(t)
	b.work(echo)
	for _, c := range []struct {
		headers []string
		param   string
	}{
		{[]string{headerDurable, "1"}, headerDurable},
		{[]string{headerDurable, ""}, headerDurable},
		{[]string{headerResumable, "yes"}, headerResumable},
		{[]string{headerResumable, "30"}, headerResumable},
		{[]string{headerDurable, "true", headerResumable, "true"}, headerResumable},
	} {
		got := wantError(t, b.post(chatBody("x", true), c.headers...), schemas.CodeInvalidRequest)
		if got.Param == nil || *got.Param != c.param || !strings.Contains(got.Message, c.param) {
			t.Errorf("%v: %+v", c.headers, got)
		}
	}
	for want, headers := range map[schemas.OnDisconnect][]string{
		schemas.DisconnectCancel: {headerDurable, "false", headerResumable, "False"},
		schemas.DisconnectGrace:  {headerDurable, "false", headerResumable, "true"},
		schemas.DisconnectKeep:   {headerDurable, "True"},
	} {
		job := b.post(chatBody("x", false), headers...).Header.Get(headerJob)
		if v := b.view(job); v.OnDisconnect != want {
			t.Errorf("%v: %s, want %s", headers, v.OnDisconnect, want)
		}
	}
}
