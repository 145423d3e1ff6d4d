package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/gateway"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// BenchmarkOpenStreams is how many tokens a second pass the queue and the
// gateway to as many streams, one event for each token, and what an open stream
// costs in memory. The clients are a process of their own on the same cores; the
// tokens come from nowhere.
func BenchmarkOpenStreams(b *testing.B) {
	for _, streams := range []int{64, 1000, 10000} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) { benchStreams(b, streams) })
	}
}

func benchStreams(b *testing.B, streams int) {
	b.Helper()
	broker := queuetest.Start(b)
	q := queuetest.Open(b, broker, func(o *queue.Options) { o.Config.AckWait = 5 * time.Minute })
	registration, err := q.Register(b.Context(), schemas.WorkerStatus{
		ID: "bench", Incarnation: "bench-1", Host: "bench", Release: "bench", Model: "sim", Fingerprint: "f", Backend: "sim",
		Context: 4096, Cells: 1 << 20, CellsFree: 1 << 20, Capacity: streams, StartedAt: time.Now(), UpdatedAt: time.Now(),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = registration.Close(context.Background()) })
	url := benchGateway(b, broker)
	before := memory()
	readers := startReaders(b, url, streams)
	deliveries := claimStreams(b, q, streams)
	readers.await(b, "open")
	perStream := float64(memory()-before) / float64(streams)

	var tokens int
	var spent time.Duration
	rounds := max(1, 20000/streams)
	for b.Loop() {
		begin := time.Now()
		appendAll(b, deliveries, rounds, benchDelta())
		tokens += rounds * streams
		spent += time.Since(begin)
	}
	begin := time.Now()
	appendAll(b, deliveries, 1, schemas.Event{Type: schemas.EventDone, Done: &schemas.Done{FinishReason: schemas.FinishStop}})
	said := readers.await(b, "read ")
	spent += time.Since(begin) // until the last client has read the last token
	if read, _ := strconv.Atoi(said); read != tokens {
		b.Fatalf("clients read %s tokens of %d", said, tokens)
	}
	b.ReportMetric(float64(tokens)/spent.Seconds(), "tokens/s")
	b.ReportMetric(perStream/1024, "KiB/stream")
	b.ReportMetric(0, "ns/op")
}

func benchDelta() schemas.Event {
	return schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: schemas.Output{Tokens: []int32{7}, Text: " word"}}}
}

// memory is what this process holds, heap and stacks.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func benchGateway(b *testing.B, broker *queuetest.Server) string {
	b.Helper()
	g, err := gateway.New(gateway.Options{Queue: queuetest.Open(b, broker), Config: gateway.DefaultConfig()})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := gateway.NewHTTPServer(g)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	b.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// claimStreams takes every stream's job and says that it has started.
func claimStreams(b *testing.B, q *queue.Queue, streams int) []*queue.Delivery {
	b.Helper()
	c, err := q.NewClaimer(b.Context(), queue.ClaimOptions{Model: "sim", WorkerID: "bench", Incarnation: "bench-1"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	var list []*queue.Delivery
	for range streams {
		d, err := c.Next(ctx)
		if err == nil {
			err = d.Append(ctx, schemas.Event{Type: schemas.EventStarted, Started: &schemas.Started{
				Attempt: 1, Worker: "bench", Incarnation: "bench-1", Fingerprint: "f",
			}})
		}
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// appendAll gives every stream as many events, one after the other, all streams
// at once.
func appendAll(b *testing.B, deliveries []*queue.Delivery, rounds int, e schemas.Event) {
	b.Helper()
	var all sync.WaitGroup
	for _, d := range deliveries {
		all.Go(func() {
			for range rounds {
				if err := d.Append(b.Context(), e); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// readersEnv makes this test binary a process of clients: URL and number.
const readersEnv = "SEMANTIC_TEST_READERS"

// readers are the clients' process.
type readers struct{ lines *bufio.Scanner }

func startReaders(b *testing.B, url string, streams int) *readers {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), readersEnv+"="+url+" "+strconv.Itoa(streams))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &readers{bufio.NewScanner(out)}
}

// await returns what follows a word that the clients say.
func (r *readers) await(b *testing.B, word string) string {
	b.Helper()
	for r.lines.Scan() {
		if rest, ok := strings.CutPrefix(r.lines.Text(), word); ok {
			return rest
		}
		b.Log("clients: ", r.lines.Text())
	}
	b.Fatalf("the clients ended before they said %q", word)
	return ""
}

// readStreams opens streams, says so, reads them to their ends, and says how
// many tokens were in them. It returns the process's exit code.
func readStreams(what string) int {
	url, number, _ := strings.Cut(what, " ")
	streams, _ := strconv.Atoi(number)
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 0}}
	var open sync.WaitGroup
	var all sync.WaitGroup
	counts := make([]int, streams)
	failed := make(chan error, streams)
	gate := make(chan struct{}, 64) // requests on their way at once
	for i := range streams {
		open.Add(1)
		all.Go(func() {
			gate <- struct{}{}
			response, err := openStream(client, url, i)
			<-gate
			open.Done()
			if err != nil {
				failed <- err
				return
			}
			defer func() { _ = response.Body.Close() }()
			lines := bufio.NewReaderSize(response.Body, 1024)
			for {
				line, err := lines.ReadSlice('\n')
				if bytes.Contains(line, []byte(`"delta":{"content":" word"`)) {
					counts[i]++
				}
				if err == io.EOF {
					return
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	open.Wait()
	_, _ = fmt.Fprintln(os.Stdout, "open")
	all.Wait()
	select {
	case err := <-failed:
		_, _ = fmt.Fprintln(os.Stdout, err)
		return 1
	default:
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	_, _ = fmt.Fprintf(os.Stdout, "read %d\n", total)
	return 0
}

func openStream(client *http.Client, url string, i int) (*http.Response, error) {
	body := `{"model":"sim","stream":true,"messages":[{"role":"user","content":"hello"}]}`
	request, err := http.NewRequest(http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Semantic-Class", "batch")
	request.Header.Set("X-Semantic-Agent", strconv.Itoa(i))
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		return nil, fmt.Errorf("status %d: %s", response.StatusCode, said)
	}
	return response, nil
}
