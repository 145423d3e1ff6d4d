package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	simulation "github.com/semantic-worker/semantic/cmd/semantic/e2e/simulated"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// nextRelease builds the release after this one: this very tree with a schema
// version that is one higher, and a job that has one more field.
func nextRelease(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, replaced := t.TempDir(), map[string]string{}
	for name, change := range map[string][2]string{
		"doc.go": {fmt.Sprintf("const Version = %d", schemas.Version), fmt.Sprintf("const Version = %d", schemas.Version+1)},
		"job.go": {"\t// API is set by gateways only.\n", "\tNovelty string `json:\"novelty,omitempty\"`\n\t// API is set by gateways only.\n"},
	} {
		file := filepath.Join(root, "schemas", name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), change[0]) != 1 {
			t.Fatalf("%s has not exactly one %q", name, change[0])
		}
		replaced[file] = filepath.Join(dir, name)
		if err := os.WriteFile(replaced[file], []byte(strings.Replace(string(text), change[0], change[1], 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	file, next := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "semantic")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", file, "-o", next, "github.com/semantic-worker/semantic/cmd/semantic")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the next release: %v\n%s", err, out)
	}
	return next
}

// upgrade is a broker, and what is published to it and comes back, without the
// schemas of any release.
type upgrade struct {
	t      *testing.T
	broker *queuetest.Server
	js     jetstream.JetStream
	model  *simulation.Model // says what is right
}

// upgraded is what the log of a job says.
type upgraded struct {
	text, end string
	ends      int
	versions  map[int]bool
	attempts  int
}

// start starts a worker of one of the releases, with a time for each token, and
// returns its id and process.
func (u *upgrade) start(program, name, step string) (string, *exec.Cmd) {
	u.t.Helper()
	ready := filepath.Join(u.t.TempDir(), "ready.json")
	command := exec.Command(program, "worker", "--backend", "sim", "--model", "sim", "--sim-step", step, "--parallel", "4", "--ctx", "32768",
		"--nats", u.broker.ClientURL(), "--data-dir", u.t.TempDir(), "--ready-file", ready, "--drain-timeout", "0s", "--log-format", "json")
	log := newLineLog()
	command.Env, command.Stderr = newPlace(u.t).environment(), log
	if err := command.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		private.check(u.t, log.String())
		if u.t.Failed() {
			u.t.Logf("log of %s:\n%s", name, log.tail(4000))
		}
	})
	var info struct {
		Worker string `json:"worker"`
	}
	u.until(name+" is ready", func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(text, &info) == nil
	})
	return info.Worker, command
}

// until waits for what nothing signals.
func (u *upgrade) until(what string, condition func() bool) {
	u.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-late:
			u.t.Fatalf("never: %s", what)
		}
	}
}

// prompt is what the i-th job of a batch asks, where a large i is a long job.
func prompt(i int) string {
	if i < 1000 {
		return fmt.Sprintf("job %d words=%d", i, 40+i)
	}
	return fmt.Sprintf("job %d words=%d", i, i)
}

// publish stores a batch of jobs of each version, mixed, and returns their ids. The
// first is of so many words, if not of 0: who has begun with it is still at it when
// he is made to leave, also where this test is held up.
func (u *upgrade) publish(batch string, prompts, long int) (old, next []string) {
	u.t.Helper()
	var list []int
	if long > 0 {
		list = append(list, long)
	}
	for i := range prompts {
		list = append(list, i)
	}
	for _, i := range list {
		for _, version := range []int{schemas.Version, schemas.Version + 1} {
			id, novelty := fmt.Sprintf("%s-%d-v%d", batch, i, version), ""
			if version > schemas.Version {
				novelty, next = `"novelty":"new",`, append(next, id)
			} else {
				old = append(old, id)
			}
			body := fmt.Sprintf(`{"v":%d,%s"model":"sim","temperature":0,"deadline_ms":%d,"messages":[{"role":"user","content":%q}]}`,
				version, novelty, patience.Milliseconds(), prompt(i))
			if _, err := u.js.PublishMsg(u.t.Context(), &nats.Msg{
				Subject: queue.JobSubject("sim", schemas.ClassNormal, i%queue.Flows, queue.OwnerLocal), Data: []byte(body),
				Header: nats.Header{schemas.HeaderJobID: {id}},
			}); err != nil {
				u.t.Fatal(err)
			}
		}
	}
	return old, next
}

// log reads the log of a job as JSON.
func (u *upgrade) log(id string) upgraded {
	u.t.Helper()
	stream, err := u.js.Stream(u.t.Context(), "EVENTS")
	if err != nil {
		u.t.Fatal(err)
	}
	job := upgraded{versions: map[int]bool{}}
	subject := queue.EventSubject(queue.OwnerLocal, id)
	for next := uint64(1); ; {
		m, err := stream.GetMsg(u.t.Context(), next, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return job
		}
		if err != nil {
			u.t.Fatal(err)
		}
		next = m.Sequence + 1
		var e struct {
			V     int    `json:"v"`
			Type  string `json:"type"`
			Delta struct {
				Text string `json:"text"`
			} `json:"delta"`
			Done struct {
				Text string `json:"text"`
			} `json:"done"`
		}
		if err := json.Unmarshal(m.Data, &e); err != nil {
			u.t.Fatalf("%s: %v: %s", id, err, m.Data)
		}
		job.versions[e.V] = true
		job.text += e.Delta.Text + e.Done.Text
		switch e.Type {
		case "started":
			job.attempts++
		case "done", "failed", "cancelled", "expired":
			job.ends, job.end = job.ends+1, e.Type
		}
	}
}

// ended reports whether the last entry of a job's log is an end.
func (u *upgrade) ended(id string) bool {
	u.t.Helper()
	stream, err := u.js.Stream(u.t.Context(), "EVENTS")
	if err != nil {
		u.t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(u.t.Context(), queue.EventSubject(queue.OwnerLocal, id))
	if err != nil {
		return false
	}
	var e struct {
		Type schemas.EventType `json:"type"`
	}
	return json.Unmarshal(m.Data, &e) == nil && e.Type.Terminal()
}

// done waits for the ends of jobs and checks them: one each, and the right text. It
// returns how many have events of both releases: of old jobs, these are those that
// moved.
func (u *upgrade) done(ids []string) (mixed int) {
	u.t.Helper()
	for _, id := range ids {
		u.until(id+" ends", func() bool { return u.ended(id) })
		job := u.log(id)
		i, err := strconv.Atoi(strings.Split(id, "-")[1])
		if err != nil {
			u.t.Fatal(err)
		}
		want, err := u.model.Text(prompt(i))
		if err != nil {
			u.t.Fatal(err)
		}
		if job.end != "done" || job.ends != 1 || job.text != want || want == "" {
			u.t.Errorf("%s: %d ends, %s after %d attempts: %q, want %q", id, job.ends, job.end, job.attempts, job.text, want)
		}
		if len(job.versions) > 1 {
			mixed++
		}
	}
	return mixed
}

// begun waits until a worker has given the first words of a job, a long one.
func (u *upgrade) begun(id string) {
	u.t.Helper()
	u.until(id+" has begun", func() bool { return u.log(id).text != "" })
}

// TestRollingUpgrade replaces the workers of a release by those of the next, whose
// schemas are newer, under a load of jobs of both: what the old ones cannot read
// they hand back, what they have begun goes on with the new ones, and every job
// ends once, with the text that it would have had. The next release is a real
// program, this tree with a higher schema version and one more field.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	began := time.Now()
	next := nextRelease(t)
	built := time.Since(began)
	u := &upgrade{t: t, broker: queuetest.Start(t)}
	var err error
	if u.model, err = simulation.New(); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(u.broker.ClientURL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if u.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		t.Fatal(err)
	}
	const prompts = 12

	// Old workers alone: jobs of their version end, newer ones wait unharmed.
	first, _ := u.start(binary, "the first old worker", "5ms")
	oldJobs, newJobs := u.publish("a", prompts, 0)
	u.done(oldJobs)
	for _, id := range newJobs {
		if job := u.log(id); job.ends > 0 || job.attempts > 0 {
			t.Errorf("%s, which is newer than every worker: %+v", id, job)
		}
	}

	// A new one joins; an old one is drained in the midst of its jobs, by the new
	// release's command. What it had begun goes on.
	more, moreNew := u.publish("b", prompts, 3000)
	u.begun(more[0])
	second, _ := u.start(next, "the first new worker", "1ms")
	out := drained(t, next, first, u.broker.ClientURL())
	mixed := u.done(more)
	u.done(moreNew)
	u.done(newJobs)
	if mixed == 0 {
		t.Errorf("no job moved from the old release to the new one: %s", out)
	}

	// An old worker comes back beside the new one, which is stopped with SIGTERM: the
	// streams that it has begun are not for the old one. A new one takes them.
	more, moreNew = u.publish("c", prompts, 9000)
	u.begun(moreNew[0])
	_, old := u.start(binary, "the second old worker", "1ms")
	u.until("the old release sees the new worker", func() bool {
		listed, err := exec.CommandContext(t.Context(), binary, "ps", "--json", "--nats", u.broker.ClientURL()).Output()
		return err == nil && strings.Contains(string(listed), second)
	})
	_, third := u.start(next, "the second new worker", "0s")
	if err := old.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	drained(t, binary, second, u.broker.ClientURL())
	u.done(moreNew)
	u.done(more)
	if err := third.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d jobs that the old release began were ended by the new one; %s in all, %s of it building", mixed,
		time.Since(began).Round(time.Second/10), built.Round(time.Second/10))
}
