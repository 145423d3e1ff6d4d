package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/porttest"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// members is how far a broker's port for the other members is above its own.
const members = 2000

// brokers are the processes of one broker or three.
type brokers struct {
	dir string
	// folder and data are a member's, by its name.
	folder, data map[string]string
	process      map[string]*process
	// admin may look at everything.
	admin jetstream.JetStream
	queue *queue.Queue
}

func makeBrokers(t *testing.T, count int, o natsinit.Options) *brokers {
	t.Helper()
	b := &brokers{
		dir: filepath.Join(t.TempDir(), "cluster"), folder: make(map[string]string), data: make(map[string]string),
		process: make(map[string]*process),
	}
	for range count {
		o.Hosts = append(o.Hosts, net.JoinHostPort("127.0.0.1", strconv.Itoa(porttest.Free(t, members))))
	}
	made, err := natsinit.Init(b.dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range made.Brokers {
		name := filepath.Base(folder)
		b.folder[name], b.data[name] = folder, t.TempDir()
	}
	return b
}

func (b *brokers) creds(name string) string { return filepath.Join(b.dir, "creds", name+".creds") }

// serve starts a member and waits until it serves.
func (b *brokers) serve(t *testing.T, name string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	b.process[name] = start(t, (*exec.Cmd).Start, "nats", "serve", "--cluster", b.folder[name], "--data-dir", b.data[name],
		"--ready-file", file, "--log-level", "error")
	if _, err := readReady(file, b.process[name].exited); err != nil {
		t.Fatal(err)
	}
}

// connect waits for the cluster and makes the streams.
func (b *brokers) connect(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		q, err := queue.Open(ctx, queue.Options{CredsFile: b.creds("gateway"), Name: "test", Config: queue.DefaultConfig()})
		if err == nil {
			if err = q.Ensure(ctx); err == nil {
				b.queue = q
				break
			}
			_ = q.Close(ctx)
		}
		if !errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil {
			t.Fatalf("the cluster does not come up: %v", err)
		}
	}
	t.Cleanup(func() { _ = b.queue.Close(context.Background()) })
	user, err := queue.ReadCreds(b.creds("admin"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(strings.Join(user.Servers, ","), nats.UserCredentials(b.creds("admin")),
		nats.RootCAs(filepath.Join(b.dir, "ca.pem")), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if b.admin, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
}

// leader is the member that leads a stream, once all its replicas are there.
func (b *brokers) leader(t *testing.T, stream string) string {
	t.Helper()
	late := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(late) {
		s, err := b.admin.Stream(t.Context(), stream)
		if err == nil {
			c := s.CachedInfo().Cluster
			whole := c != nil && c.Leader != "" && len(c.Replicas) == 2
			for _, r := range c.Replicas {
				whole = whole && r.Current && !r.Offline
			}
			if whole {
				return c.Leader
			}
		}
		<-tick.C
	}
	t.Fatalf("the replicas of %s do not come together", stream)
	return ""
}

// whole starts `semantic serve` on a member's folder.
func (b *brokers) whole(t *testing.T, name string) (p *process, isReady func() ready) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	p = start(t, (*exec.Cmd).Start, "serve", "--backend", "sim", "--port", "0", "--cluster", b.folder[name],
		"--data-dir", b.data[name], "--ready-file", file, "--log-level", "warn")
	b.process[name] = p
	return p, func() ready {
		t.Helper()
		info, err := readReady(file, p.exited)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
}

// TestServeCluster: three `semantic serve` form a cluster, whichever is first.
// With one killed the others answer; with two, everybody is told why nothing
// goes.
func TestServeCluster(t *testing.T) {
	t.Parallel() // it mostly waits for elections
	b := makeBrokers(t, 3, natsinit.Options{})
	names := slices.Sorted(maps.Keys(b.folder))
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	first, firstReady := b.whole(t, names[0])
	first.stderr.wait(t, 0, "Waiting for the other members of the cluster: queue: broker unavailable: no quorum: 1 of 3 members reachable")
	_, secondReady := b.whole(t, names[1])
	_, thirdReady := b.whole(t, names[2])
	urls := []string{firstReady().HTTP, secondReady().HTTP, thirdReady().HTTP}
	for i, url := range urls {
		if a := ask(ctx, url, "words=3 hello", nil); a.err != nil {
			t.Fatalf("member %d: %v", i, a.err)
		}
	}
	b.connect(t)
	eventually(t, func() string {
		workers, err := b.queue.Workers(ctx)
		if err != nil || len(workers) != 3 || workers[0].ID != names[0] {
			return fmt.Sprintf("workers %+v, %v", workers, err)
		}
		return ""
	})
	for _, stream := range []string{"EVENTS", "JOBS_NORMAL", "KV_workers"} {
		b.leader(t, stream) // has three replicas
	}
	kill := func(name string) {
		t.Helper()
		if err := b.process[name].command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-b.process[name].exited
	}
	kill(names[2])
	if a := ask(ctx, urls[0], "words=3 hello", nil); a.err != nil {
		t.Fatalf("one of three is killed: %v", a.err)
	}
	eventually(t, func() string { // a new leader may not be chosen yet
		if status, text := readiness(t, urls[0]); status != http.StatusOK {
			return fmt.Sprintf("one of three is killed: %d: %s", status, text)
		}
		return ""
	})
	kill(names[1])
	// A leader needs a while to notice that it is alone, and answers questions until
	// then. Readiness does not wait for that.
	killed, poll := time.Now(), time.NewTicker(100*time.Millisecond)
	defer poll.Stop()
	for {
		status, text := readiness(t, urls[0])
		if status != http.StatusOK {
			t.Logf("not ready %v after the second was killed: %s", time.Since(killed), text)
			if !strings.Contains(text, `"code":"queue_unavailable"`) {
				t.Errorf("without a quorum: %d: %s", status, text)
			}
			break
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("without a quorum: %d: %s", status, text)
		}
	}
	for {
		lone := exec.CommandContext(ctx, "semantic", "nats", "migrate", "--nats-creds", b.creds("admin"))
		lone.Env = environment(t)
		text, err := lone.CombinedOutput()
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			if exit.ExitCode() != 1 || !strings.Contains(string(text), "no quorum: 1 of 3 members reachable") ||
				!strings.Contains(string(text), "two must be awake") {
				t.Errorf("without a quorum: %s, %v", text, err)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	response, err := http.Post(urls[0]+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"sim","messages":[{"role":"user","content":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("without a quorum: %s: %s, %v", response.Status, text, err)
	}
}

// answer is one stream, read to its end.
type answer struct {
	job, text string
	// pause is the longest time between two chunks.
	pause time.Duration
	err   error
}

// ask reads an answer; began is called at its first chunk. A gateway that
// refuses because the queue is away is asked again, as it says.
func ask(ctx context.Context, url, prompt string, began func()) (a answer) {
	body := fmt.Sprintf(`{"model":"sim","stream":true,"temperature":0,"messages":[{"role":"user","content":%q}]}`, prompt)
	var response *http.Response
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			return answer{err: err}
		}
		request.Header.Set("Content-Type", "application/json")
		response, err = (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			return answer{err: err}
		}
		if response.StatusCode == http.StatusOK {
			break
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
			return answer{err: fmt.Errorf("%s: %s", response.Status, text)}
		}
	}
	defer func() { _ = response.Body.Close() }()
	a.job = response.Header.Get("X-Semantic-Job")
	last, done := time.Now(), false
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			done = true
			break
		}
		var chunk struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
			Error json.RawMessage `json:"error"`
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil || chunk.Error != nil {
			a.err = fmt.Errorf("chunk %s: %w", data, errors.Join(err, errors.New("an error")))
			return a
		}
		for _, c := range chunk.Choices {
			a.text += c.Delta.Content
		}
		if a.text != "" && began != nil {
			began()
			began = nil
			last = time.Now()
		}
		a.pause = max(a.pause, time.Since(last))
		last = time.Now()
	}
	if !done {
		a.err = fmt.Errorf("the stream ended early: %w", errors.Join(lines.Err(), io.ErrUnexpectedEOF))
	}
	return a
}

// moveIn has a job wait in a `semantic serve`, stops that, and moves its store
// into the cluster with the commands for it.
func (b *brokers) moveIn(t *testing.T) (job string) {
	t.Helper()
	dir, saved := t.TempDir(), filepath.Join(t.TempDir(), "saved")
	p, info := simServer(t, (*exec.Cmd).Start, "--data-dir", dir, "--model", "other")
	q, err := queue.Open(t.Context(), queue.Options{URL: info.NATS, Name: "test", Config: queue.DefaultConfig()})
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := q.Submit(t.Context(), queue.Submission{Job: schemas.Job{
		Version: schemas.Version, Model: "sim", Messages: []schemas.Message{{Role: schemas.RoleUser, Content: "words=3 moved"}},
	}})
	if err := errors.Join(err, q.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, args := range [][]string{
		{"nats", "backup", saved, "--stopped", "--data-dir", dir},
		{"nats", "restore", saved, "--nats-creds", b.creds("admin")},
	} {
		command := exec.CommandContext(t.Context(), "semantic", args...)
		command.Env = environment(t)
		if text, err := command.CombinedOutput(); err != nil || !strings.Contains(string(text), "JOBS_NORMAL               1 messages") {
			t.Fatalf("%v: %s, %v", args, text, err)
		}
	}
	return ticket.JobID
}

// TestClusterLeaderKilled: three brokers, each a process. The one that leads
// the logs, and then the one that leads the jobs, is killed under running
// streams; more requests come while there is no leader. Every answer is whole,
// every job has one end; so has the one that waited in a server alone, whose
// store was moved here before.
func TestClusterLeaderKilled(t *testing.T) {
	t.Parallel() // it mostly waits for elections
	const streams, words, late = 6, 300, 3
	b := makeBrokers(t, 3, natsinit.Options{Workers: []string{"w1", "w2"}})
	for name := range b.folder {
		b.serve(t, name)
	}
	b.connect(t)
	moved := b.moveIn(t)
	for _, w := range []string{"w1", "w2"} {
		start(t, (*exec.Cmd).Start, "worker", "--backend", "sim", "--model", "sim", "--sim-step", "5ms", "--parallel", "16",
			"--nats-creds", b.creds("worker-"+w), "--data-dir", t.TempDir(), "--log-level", "error")
	}
	file := filepath.Join(t.TempDir(), "ready.json")
	gateway := start(t, (*exec.Cmd).Start, "gateway", "--port", "0", "--nats-creds", b.creds("gateway"), "--ready-file", file,
		"--log-level", "error")
	info, err := readReady(file, gateway.exited)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	b.awaitModel(ctx, t, "sim")
	if a := ask(ctx, info.HTTP, "words=1 hello", nil); a.err != nil {
		t.Fatal(a.err)
	}

	b.oneEnd(ctx, t, moved)

	prompt := func(i int) string { return fmt.Sprintf("words=%d of story %d", words, i) }
	// round asks for n answers at once; from is the first one's number.
	round := func(from, n int, began func()) []answer {
		answers := make([]answer, n)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = ask(ctx, info.HTTP, prompt(from+i), began) })
		}
		all.Wait()
		return answers
	}
	right := round(0, streams+late, nil)
	for i, a := range right {
		if a.err != nil {
			t.Fatalf("without faults: stream %d: %v", i, a.err)
		}
	}
	for _, stream := range []string{"EVENTS", "JOBS_NORMAL"} {
		victim := b.leader(t, stream)
		beginning := make(chan struct{}, streams+late)
		began := func() { beginning <- struct{}{} }
		answered := make(chan []answer, 1)
		go func() { answered <- round(0, streams, began) }()
		for range streams {
			select {
			case <-beginning:
			case <-ctx.Done():
				t.Fatal("the streams do not begin")
			}
		}
		if err := b.process[victim].command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		answers := round(streams, late, nil)
		answers = append(<-answered, answers...)
		longest := time.Duration(0)
		for i, a := range answers {
			longest = max(longest, a.pause)
			if a.err != nil || a.text != right[i].text {
				t.Errorf("leader of %s killed: stream %d: %v: %d bytes, want %d", stream, i, a.err, len(a.text), len(right[i].text))
			}
			b.oneEnd(ctx, t, a.job)
		}
		t.Logf("leader of %s killed under %d streams: longest pause %v", stream, streams, longest.Round(time.Millisecond))
		b.serve(t, victim)
	}
}

// awaitModel waits until a worker has announced a model.
func (b *brokers) awaitModel(ctx context.Context, t *testing.T, model string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		models, err := b.queue.Models(ctx)
		if err == nil && slices.Contains(models, model) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no worker announces %s: %v", model, err)
		}
	}
}

// oneEnd checks a job's log: numbered without a gap, one end, and that last.
func (b *brokers) oneEnd(ctx context.Context, t *testing.T, job string) {
	t.Helper()
	// Its client may have read the end before another job has come to its own.
	follower, err := b.queue.Follow(ctx, "", job, 0)
	if err != nil {
		t.Errorf("log of %q: %v", job, err)
		return
	}
	defer follower.Close()
	for err == nil {
		_, err = follower.Next(ctx)
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("log of %q: %v", job, err)
	}
	log, err := b.queue.Log(ctx, "", job)
	if err != nil || len(log) == 0 {
		t.Errorf("log of %q: %d events, %v", job, len(log), err)
		return
	}
	for i, e := range log {
		if e.N != int64(i+1) || e.Type.Terminal() != (i == len(log)-1) {
			t.Errorf("log of %s: event %d of %d is number %d, %s", job, i+1, len(log), e.N, e.Type)
		}
	}
	if end := log[len(log)-1].Type; end != schemas.EventDone {
		t.Errorf("log of %s ends with %s", job, end)
	}
}
