package stress

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Clients that read a byte a second, that stop reading, that reset the connection in
// the middle, that leave before there is an answer, or that never end their request:
// who reads as one should is answered as ever, each of the bad ones' jobs ends, and
// nothing of them is left in the processes.
func TestSlowAndVanishingClients(t *testing.T) {
	parallel(t)
	const name = "slow and vanishing clients"
	each := sized(12, 8)
	s := serve(t, "--parallel", "64", "--sim-step", sized("10ms", "1ms"), "--ctx", "65536")
	s.warm()
	before := s.rest()

	bad := &badClients{server: s, jobs: map[string]string{}}
	kinds := map[string]func(*rawClient, context.Context) error{
		"a byte a second": (*rawClient).trickle, "stops reading": (*rawClient).stall, kindReset: (*rawClient).reset,
		kindLeave: (*rawClient).leave, "half a request": (*rawClient).half,
	}
	ctx, over := context.WithCancel(t.Context())
	defer over()
	n := 0
	for kind, behave := range kinds {
		for range each {
			n++
			bad.start(ctx, n, kind, behave)
		}
	}
	bad.begun.Wait()
	slowest := 0.0
	var mu sync.Mutex
	var good sync.WaitGroup
	for i := range sized(60, 400) {
		good.Go(func() {
			r, err := s.send(t.Context(), s.wanted(1000+i, "good-"))
			if err == nil {
				err = s.finish(r)
			}
			if err != nil {
				t.Errorf("a client that reads: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, float64(r.pause.Milliseconds()))
		})
	}
	good.Wait()
	if full > 0 {
		bad.dropped() // by the gateway itself, for what they do not read
	}
	during := s.usage()
	over()
	bad.running.Wait()
	s.quiet()
	for job, token := range bad.jobs {
		if status := s.status(job, token); !status.Ended() {
			t.Errorf("job %s of a client that is gone is %s", job, status)
		}
	}
	allowed := atRest
	allowed.memory.beside = sized(allowed.memory.beside, 256<<20) // of answers that nobody reads, in full
	after := s.settle(before, allowed)
	measured.number(name, "bad clients", float64(n), "clients")
	measured.number(name, "longest pause of a good client's stream", slowest, "ms")
	measured.number(name, "jobs of bad clients that ended", float64(len(bad.jobs)), "jobs")
	left, _ := s.metrics().sum("semantic_cancellations_total", "cause", "client_left")
	measured.number(name, "of them cancelled for that", left, "jobs")
	if left == 0 {
		t.Error("no job was cancelled because its client left")
	}
	atRest.tell(name+", during", before, during)
	atRest.tell(name+", at rest", before, after)
}

func (s *server) wanted(i int, agent string) ask {
	return ask{prompt: tell(i, 40), agent: agent + strconv.Itoa(i), class: schemas.Classes()[i%3]}
}

// status is what a job became of.
func (s *server) status(job, token string) queue.JobStatus {
	s.t.Helper()
	code, text, err := s.get("/v1/jobs/"+job, http.Header{"X-Semantic-Owner-Token": {token}})
	var view struct {
		Status queue.JobStatus `json:"status"`
	}
	if err == nil {
		err = json.Unmarshal(text, &view)
	}
	if err != nil || code != http.StatusOK {
		s.t.Errorf("job %s: %d, %v: %s", job, code, err, text)
	}
	return view.Status
}

// Kinds of clients whose jobs are cancelled because they left.
const (
	kindReset = "resets in the middle"
	kindLeave = "leaves at once"
)

// badClients are connections without a client library.
type badClients struct {
	*server
	running, begun sync.WaitGroup

	mu   sync.Mutex
	jobs map[string]string // with their owner tokens
}

// rawClient is one of them.
type rawClient struct {
	conn   *net.TCPConn
	lines  *bufio.Reader
	begun  func()
	body   string
	header string
	job    func(job, token string)
}

// start lets one behave until ctx ends.
func (b *badClients) start(ctx context.Context, n int, kind string, behave func(*rawClient, context.Context) error) {
	b.t.Helper()
	leaves := kind == kindReset || kind == kindLeave
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.HTTP, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	tcp := conn.(*net.TCPConn)
	_ = tcp.SetReadBuffer(4 << 10)
	// So much that no buffer of the system holds it; and that a client who leaves,
	// however late, leaves before the end.
	words := 30_000
	if full == 0 && !leaves {
		words = 400
	}
	a := ask{prompt: tell(n, words), agent: fmt.Sprint("bad-", n), class: schemas.Classes()[n%3]}
	body := string(a.body())
	c := &rawClient{conn: tcp, lines: bufio.NewReaderSize(tcp, 16), body: body}
	c.header = fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"+
		"X-Semantic-Agent: %s\r\nX-Semantic-Class: %s\r\nContent-Length: %d\r\n\r\n", a.agent, a.class, len(body))
	b.begun.Add(1)
	c.begun = sync.OnceFunc(b.begun.Done)
	c.job = func(job, token string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.jobs[job] = token
	}
	b.running.Go(func() {
		defer c.begun()
		defer func() { _ = tcp.Close() }()
		if err := behave(c, ctx); err != nil {
			b.t.Errorf("a client that is bad (%s): %v", kind, err)
		}
	})
}

// dropped waits until the gateway has ended the connections of those who stopped
// reading.
func (b *badClients) dropped() {
	b.t.Helper()
	b.wait("the gateway drops clients that do not read", func() bool {
		active, _ := b.metrics().sum("semantic_requests_active", "api", "chat_completions")
		return active == 0
	})
}

// ask sends the request and reads the answer's head.
func (c *rawClient) ask() error {
	if _, err := io.WriteString(c.conn, c.header+c.body); err != nil {
		return err
	}
	status, err := c.lines.ReadString('\n')
	if err != nil || !strings.Contains(status, " 200 ") {
		return fmt.Errorf("%q: %w", status, err)
	}
	job, token := "", ""
	for {
		line, err := c.lines.ReadString('\n')
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "X-Semantic-Job":
			job = value
		case "X-Semantic-Owner-Token":
			token = value
		case "":
			c.job(job, token)
			c.begun()
			return nil
		}
	}
}

// trickle reads a byte a second.
func (c *rawClient) trickle(ctx context.Context) error {
	if err := c.ask(); err != nil {
		return err
	}
	for pause(ctx, time.Second) {
		if _, err := c.lines.ReadByte(); err != nil {
			return nil //nolint:nilerr // the gateway gave it up, as it may
		}
	}
	return nil
}

// stall reads nothing behind the head.
func (c *rawClient) stall(ctx context.Context) error {
	if err := c.ask(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// reset breaks the connection off.
func (c *rawClient) reset(context.Context) error {
	if err := c.ask(); err != nil {
		return err
	}
	for range 5 {
		if _, err := c.lines.ReadString('\n'); err != nil {
			return err
		}
	}
	return c.conn.SetLinger(0)
}

// leave is gone before the answer's head.
func (c *rawClient) leave(context.Context) error {
	if _, err := io.WriteString(c.conn, c.header+c.body); err != nil {
		return err
	}
	return c.conn.SetLinger(0)
}

// half sends half of the body, and no more.
func (c *rawClient) half(ctx context.Context) error {
	if _, err := io.WriteString(c.conn, c.header+c.body[:len(c.body)/2]); err != nil {
		return err
	}
	c.begun()
	<-ctx.Done()
	return nil
}
