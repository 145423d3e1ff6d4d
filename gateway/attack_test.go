package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// dial opens a plain connection to the gateway and writes to it.
func (b *bench) dial(text string) *net.TCPConn {
	b.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(b.context(), "tcp", b.http.Listener.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		b.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// rawPost is a chat request as it goes over the wire.
func rawPost(body string, extra ...string) string {
	return fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", len(body), strings.Join(extra, ""), body)
}

func status(t *testing.T, conn net.Conn) reply {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return reply{resp}
}

// The job of a client that left is cancelled, at whatever point it left.
func TestDisconnectFreesTheJob(t *testing.T) {
	t.Run("in mid-stream", func(t *testing.T) {
		b := startBench(t)
		started, ended := make(chan string, 1), make(chan struct{})
		b.work(func(ctx context.Context, j *claimed) {
			defer close(ended)
			j.start()
			j.delta("half")
			started <- j.d.JobID
			<-ctx.Done()
		})
		leave := b.inBackground(chatBody("", true), headerRequestID, "left-1")
		id := <-started
		leave()
		<-ended
		b.wantEnd(id, schemas.EventCancelled)
		if line := b.endLine(t, "left-1"); line[schemas.LogStatus] != float64(statusClientClosedRequest) {
			t.Errorf("logged status %v", line[schemas.LogStatus])
		}
		b.wantMetric(t, `semantic_request_total{api="chat_completions",class="normal",code="cancelled",model="m",status="499"} 1`)
	})
	t.Run("not streamed", func(t *testing.T) {
		b := startBench(t)
		started := make(chan string, 1)
		b.work(func(ctx context.Context, j *claimed) {
			j.start()
			started <- j.d.JobID
			<-ctx.Done()
		})
		leave := b.inBackground(chatBody("", false))
		id := <-started
		leave()
		b.wantEnd(id, schemas.EventCancelled)
	})
	t.Run("waiting", func(t *testing.T) {
		b := startBench(t, expectM)
		leave := b.inBackground(chatBody("", true))
		eventually(t, "the job is stored", func() bool { return b.stored() == 1 })
		leave()
		eventually(t, "the job is gone", func() bool { return b.stored() == 0 })
	})
	t.Run("half-closed", func(t *testing.T) {
		// A client that closes its sending side is gone: HTTP/1.1 gives no other
		// way to notice one that left. In case it still reads, it is told.
		for _, stream := range []bool{false, true} {
			b := startBench(t, expectM)
			conn := b.dial(rawPost(chatBody("", stream)))
			eventually(t, "the job is stored", func() bool { return b.stored() == 1 })
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			wantError(t, status(t, conn), schemas.CodeCancelled)
			eventually(t, "the job is gone", func() bool { return b.stored() == 0 })
		}
	})
	t.Run("half-closed in mid-stream", func(t *testing.T) {
		b := startBench(t, expectM, func(o *benchOptions) { o.Config.StatusHold = 0 })
		conn := b.dial(rawPost(chatBody("", true)))
		resp := status(t, conn)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		events := newSSEReader(t, resp.Body).rest()
		if len(events) != 1 || !strings.Contains(events[0].data, `"cancelled"`) {
			t.Errorf("got %+v, want one error event", events)
		}
	})
}

func (b *bench) wantEnd(job string, end schemas.EventType) {
	b.t.Helper()
	eventually(b.t, "job "+job+" ends "+string(end), func() bool {
		log, err := b.q.Log(b.context(), ownerLocal, job)
		return err == nil && log[len(log)-1].Type == end
	})
}

// A client that stops reading fills its own connection, counts as gone after
// the write timeout, and delays nobody meanwhile.
func TestSlowReaderHurtsItselfOnly(t *testing.T) {
	longer(t, time.Second, func(timeout time.Duration) error {
		b := startBench(t, func(o *benchOptions) { o.Config.WriteTimeout = timeout })
		flood := make(chan string, 1)
		b.work(func(ctx context.Context, j *claimed) {
			if j.job.Messages[0].Content != "flood" {
				echo(ctx, j)
				return
			}
			j.start()
			flood <- j.d.JobID
			// More than any connection holds, and not more than the broker does.
			piece := strings.Repeat("x", 64<<10)
			for i := 0; i < 1000 && ctx.Err() == nil; i++ {
				j.delta(piece)
			}
			<-ctx.Done()
		})
		b.post(chatBody("flood", true)) // and never reads
		id := <-flood

		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() {
				want := fmt.Sprintf("hello %d", i)
				data, err := io.ReadAll(b.post(chatBody(want, true)).Body)
				if errs[i] = err; err != nil {
					return
				}
				if got := text(t, newSSEReader(t, bytes.NewReader(data)).rest()); got != want {
					errs[i] = fmt.Errorf("got %q, want %q", got, want)
				}
			})
		}
		wg.Wait()
		b.wantEnd(id, schemas.EventCancelled)
		return errors.Join(errs...)
	})
}

func TestGarbageBodies(t *testing.T) {
	b := startBench(t, expectM)
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(r.UintN(256))
	}
	good := chatBody("hello", false)
	for name, body := range map[string]string{
		"empty object": "{}",
		"null":         "null",
		"array":        "[]",
		"number":       "1e999",
		"noise":        string(noise),
		"zeros":        strings.Repeat("\x00", 100),
		"deep":         strings.Repeat("[", 100_000),
		"deep object":  strings.Repeat(`{"a":`, 50_000),
		"two":          good + good,
		"cut":          good[:len(good)/2],
		"bad utf-8":    strings.Replace(good, "hello", "\xff\xfe", 1),
		"duplicate":    strings.Replace(good, "{", `{"model":"m",`, 1),
		"no messages":  `{"model":"m","messages":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			resp := b.post(body)
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("status %d", resp.StatusCode)
			}
			if n := b.stored(); n != 0 {
				t.Errorf("%d jobs stored", n)
			}
		})
	}
	// No body at all.
	resp := b.do(http.MethodPost, "/v1/chat/completions", "", "Content-Type", "application/json")
	wantError(t, resp, schemas.CodeInvalidRequest)
}

func TestContentTypes(t *testing.T) {
	b := startBench(t, expectM)
	for _, headers := range [][]string{
		{"Content-Type", ""},
		{"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", "text/plain; application/json"},
		{"Content-Type", "application/json; charset=utf-16"},
		{"Content-Encoding", "gzip"},
		{"Content-Encoding", "identity, gzip"},
	} {
		wantError(t, b.post(chatBody("x", false), headers...), schemas.CodeUnsupportedMediaType)
	}
	// A second line of a header counts, too.
	for _, line := range []string{"Content-Type: text/plain\r\n", "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"} {
		wantError(t, status(t, b.dial(rawPost(chatBody("x", false), line))), schemas.CodeUnsupportedMediaType)
	}
	b.work(echo)
	resp := b.post(chatBody("x", false), "Content-Type", "Application/JSON; charset=UTF-8", "Content-Encoding", "identity")
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// A chunked body has no announced length; the limit holds all the same.
func TestBodyLimitWithoutLength(t *testing.T) {
	b := startBench(t, expectM, func(o *benchOptions) { o.Config.MaxBodyBytes = 1000 })
	r, err := http.NewRequestWithContext(b.context(), http.MethodPost, b.http.URL+"/v1/chat/completions",
		io.MultiReader(strings.NewReader(`{"model":"`), io.LimitReader(endless{}, 16<<10)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := b.http.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	wantError(t, reply{resp}, schemas.CodeRequestTooLarge)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestHugeHeaders(t *testing.T) {
	b := startBench(t, func(o *benchOptions) { o.Config.MaxHeaderBytes = 8 << 10 })
	resp := b.do(http.MethodGet, "/health/live", "", "X-Big", strings.Repeat("x", 16<<10))
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestSlowHeadersAndBodies(t *testing.T) {
	t.Run("headers", func(t *testing.T) {
		b := startBench(t, func(o *benchOptions) { o.Config.HeaderTimeout = 100 * time.Millisecond })
		conn := b.dial("POST /v1/chat/completions HTTP/1.1\r\nHost: lo")
		// Where the server had not read what came late, it ends in a reset.
		if n, err := io.Copy(io.Discard, conn); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d: %v", n, err)
		}
	})
	b := startBench(t, expectM, func(o *benchOptions) { o.Config.BodyTimeout = 100 * time.Millisecond })
	t.Run("body", func(t *testing.T) {
		whole := rawPost(chatBody("x", false))
		conn := b.dial(whole[:len(whole)-5])
		wantError(t, status(t, conn), schemas.CodeInvalidRequest)
	})
	t.Run("body of a refused request", func(t *testing.T) {
		// Refused before its body is read: the connection must not wait for the
		// rest of it for ever.
		whole := strings.Replace(rawPost(chatBody("x", false)), "/json", "/xml", 1)
		conn := b.dial(whole[:len(whole)-5])
		wantError(t, status(t, conn), schemas.CodeUnsupportedMediaType)
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection stays open: %v", err)
		}
	})
	t.Run("client leaves in its body", func(t *testing.T) {
		b := startBench(t, expectM) // in which it has the time to leave
		whole := rawPost(chatBody("x", false), "X-Request-Id: left-body\r\n")
		conn := b.dial(whole[:len(whole)-5])
		// Without a farewell (RST): nothing can be said any more.
		if err := conn.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if line := b.endLine(t, "left-body"); line[schemas.LogStatus] != float64(statusClientClosedRequest) {
			t.Errorf("logged %v", line)
		}
	})
}

// A body that is no HTTP is refused as such, and never taken for an empty one.
func TestMalformedBodies(t *testing.T) {
	b := startBench(t, expectM)
	chunked := func(chunks string) string {
		return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n" + chunks
	}
	good := chatBody("x", false)
	whole := rawPost(good)
	for name, text := range map[string]string{
		"no chunk size":     chunked("zz\r\n{}\r\n0\r\n\r\n"),
		"chunk too short":   chunked("2\r\n{}0\r\n\r\n"),
		"chunk size of all": chunked("fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
		"bad trailer":       chunked(fmt.Sprintf("%x\r\n%s\r\n0\r\nno trailer\r\n\r\n", len(good), good)),
		// These end the sending side.
		"ends in a chunk":     chunked("5\r\n{}"),
		"ends before a chunk": chunked(""),
		"ends too soon":       whole[:len(whole)-5],
	} {
		t.Run(name, func(t *testing.T) {
			conn := b.dial(text)
			if strings.HasPrefix(name, "ends") {
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			got := wantError(t, status(t, conn), schemas.CodeInvalidRequest)
			if !strings.Contains(got.Message, "request body") {
				t.Errorf("message %q", got.Message)
			}
			if n := b.stored(); n != 0 {
				t.Errorf("%d jobs stored", n)
			}
		})
	}
}

// Drain does not wait for a body that trickles in.
func TestDrainCutsASlowBody(t *testing.T) {
	b := startBench(t, expectM)
	whole := rawPost(chatBody("x", false))
	conn := b.dial(whole[:len(whole)-5])
	b.wantMetric(t, `semantic_requests_active{api="chat_completions"} 1`)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	b.g.Drain(over)
	wantError(t, status(t, conn), schemas.CodeServerRestarting)
}

// A connection serves request after request; the deadlines of one do not reach
// into the next.
func TestConnectionIsKept(t *testing.T) {
	longer(t, 100*time.Millisecond, func(timeout time.Duration) error {
		b := startBench(t, func(o *benchOptions) { o.Config.BodyTimeout, o.Config.WriteTimeout = timeout, timeout })
		b.work(func(ctx context.Context, j *claimed) {
			wait := time.NewTimer(timeout * 3 / 2) // longer than both
			defer wait.Stop()
			<-wait.C
			echo(ctx, j)
		})
		conn := b.dial("")
		reader := bufio.NewReader(conn)
		for i := range 3 {
			if _, err := io.WriteString(conn, rawPost(chatBody("again", i%2 == 0))); err != nil {
				return err
			}
			resp, err := http.ReadResponse(reader, nil)
			if err != nil {
				return err
			}
			data, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(data, []byte("again")) {
				return fmt.Errorf("request %d: %d %s: %w", i, resp.StatusCode, data, err)
			}
		}
		return nil
	})
}
