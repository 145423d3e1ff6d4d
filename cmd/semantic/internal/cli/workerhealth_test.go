package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// holdVariable names a file; while it is there, the model of a worker is not loaded.
const holdVariable = "CLI_TEST_HOLD"

// health is the answer of a health route.
type health struct {
	Status  string
	Checks  []check
	Reasons []struct{ Code, Message string }
	code    int
	retry   string
}

type check struct {
	Name             string
	OK               bool
	Value, Threshold any
}

// because is the codes of what is in the way.
func (h health) because() string {
	var codes []string
	for _, r := range h.Reasons {
		codes = append(codes, r.Code)
	}
	return strings.Join(codes, " ")
}

func askHealth(t *testing.T, url, route string) (h health) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/health/"+route, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	h.code, h.retry = response.StatusCode, response.Header.Get("Retry-After")
	ok := h.code == http.StatusOK && h.Status == "ok" && h.because() == ""
	not := h.code == http.StatusServiceUnavailable && h.Status == "unavailable" && h.because() != ""
	if err != nil || !ok && !not {
		t.Fatalf("%s: %s, %v: %s", route, response.Status, err, body)
	}
	return h
}

// awaitHealth asks until the reasons are those given; none means ready.
func awaitHealth(t *testing.T, url, route, because string) health {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		h := askHealth(t, url, route)
		if h.because() == because {
			return h
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s is never %q, but %+v", route, because, h)
		}
	}
}

// A worker says over HTTP what state it is in, from before its model is there to the
// end of its drain, and why.
func TestWorkerHealth(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	hold := filepath.Join(t.TempDir(), "hold")
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, func(c *exec.Cmd) error {
		c.Env = append(c.Env, holdVariable+"="+hold)
		return c.Start()
	}, "worker", "--nats", srv.ClientURL(), "--backend", "sim", "--sim-step", "20ms", "--data-dir", t.TempDir(), "--log-format", "json",
		"--metrics-addr", "127.0.0.1:0", "--ready-pool-threshold", "1e-9", "--drain-timeout", "60s")
	from := p.stderr.wait(t, 0, `"url":"`)
	to := p.stderr.wait(t, from, `/metrics"`)
	p.stderr.mu.Lock()
	url := strings.TrimSuffix(p.stderr.text.String()[from:to], `/metrics"`)
	p.stderr.mu.Unlock()

	awaitHealth(t, url, "live", "")
	awaitHealth(t, url, "startup", "model_loading")
	if h := awaitHealth(t, url, "ready", "model_loading"); h.retry != "" {
		t.Errorf("loading: Retry-After %q", h.retry) // nobody knows when
	}
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	awaitHealth(t, url, "startup", "")
	awaitHealth(t, url, "ready", "")

	ticket, err := q.Submit(t.Context(), queue.Submission{Job: schemas.Job{
		Version: schemas.Version, Model: "sim", Messages: []schemas.Message{{Role: schemas.RoleUser, Content: "words=100000 please"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	full := awaitHealth(t, url, "ready", "pool_full")
	i := slices.IndexFunc(full.Checks, func(c check) bool { return c.Name == "pool_utilization_ratio" })
	if i < 0 || full.Checks[i].OK || full.Checks[i].Threshold != 1e-9 || full.Checks[i].Value.(float64) <= 1e-9 {
		t.Errorf("%+v", full)
	}

	srv.Stop()
	awaitHealth(t, url, "ready", "queue_unavailable pool_full")
	awaitHealth(t, url, "startup", "")
	srv.Resume(t)
	awaitHealth(t, url, "ready", "pool_full")

	// This test's own connection may come back later than the worker's, which has a
	// second to answer.
	var id string
	eventually(t, func() string {
		workers, err := q.Workers(t.Context())
		if err != nil || len(workers) != 1 {
			return fmt.Sprintf("%v, %v", workers, err)
		}
		id = workers[0].ID
		if _, err := q.Pause(t.Context(), id); err != nil {
			return err.Error()
		}
		return ""
	})
	if h := awaitHealth(t, url, "ready", "paused pool_full"); h.retry != "" {
		t.Errorf("paused: Retry-After %q", h.retry) // nobody knows when
	}
	eventually(t, func() string {
		if _, err := q.Resume(t.Context(), id); err != nil {
			return err.Error()
		}
		return ""
	})
	awaitHealth(t, url, "ready", "pool_full")

	page := metricsPage(t, url)
	if !strings.Contains(page, "\nsemantic_agents_active{") || strings.Contains(page, "semantic_request_queue_depth") {
		t.Errorf("the worker's page:\n%s", page)
	}

	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if h := awaitHealth(t, url, "ready", "shutting_down pool_full"); h.retry != "2" {
		t.Errorf("draining: Retry-After %q", h.retry)
	}
	awaitHealth(t, url, "live", "")
	awaitHealth(t, url, "startup", "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := q.Cancel(ctx, "", ticket.JobID, "requested"); err != nil {
		t.Error(err)
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
