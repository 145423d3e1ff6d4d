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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// administer asks the admin interface of a data directory for a path, with its key.
func administer(t *testing.T, url, dataDir, path string, into any) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dataDir, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	get(t, url+path, strings.TrimSpace(string(key)), into)
}

func get(t *testing.T, url, key string, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s, %v", url, answer.Status, text, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// TestTargets: Prometheus finds a worker that serves its metrics, where it serves
// them, beside a server whose own worker is on the gateway's page; and nothing of it
// once it is gone. The key is the same after a restart.
func TestTargets(t *testing.T) {
	data, file := t.TempDir(), filepath.Join(t.TempDir(), "ready.json")
	serve := func() (*process, ready) {
		_ = os.Remove(file)
		p := start(t, (*exec.Cmd).Start, "serve", "--backend", "sim", "--model", "sim", "--port", "0", "--nats-port", "0", "--data-dir", data,
			"--admin-addr", "127.0.0.1:0", "--ready-file", file)
		info, err := readReady(file, p.exited)
		if err != nil {
			t.Fatal(err)
		}
		return p, info
	}
	p, info := serve()
	beside := filepath.Join(t.TempDir(), "ready.json")
	w := start(t, (*exec.Cmd).Start, "worker", "--backend", "sim", "--model", "sim", "--nats", info.NATS, "--data-dir", t.TempDir(),
		"--metrics-addr", "127.0.0.1:0", "--ready-file", beside)
	if _, err := readReady(beside, w.exited); err != nil {
		t.Fatal(err)
	}
	type target struct {
		Targets []string
		Labels  map[string]string
	}
	// The gateway watches the registry: it hears of a worker, and of its end, soon.
	var targets []target
	eventually(t, func() string {
		targets = nil
		administer(t, info.Admin, data, "/admin/v1/targets", &targets)
		if len(targets) != 1 || len(targets[0].Targets) != 1 || targets[0].Labels["worker"] == "" {
			return fmt.Sprintf("targets %+v", targets)
		}
		return ""
	})
	get(t, "http://"+targets[0].Targets[0]+"/metrics", "", nil)
	if err := w.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := w.code(t); code != 0 {
		t.Errorf("the worker ends with %d", code)
	}
	eventually(t, func() string {
		targets = nil
		if administer(t, info.Admin, data, "/admin/v1/targets", &targets); len(targets) != 0 {
			return fmt.Sprintf("targets after its end %+v", targets)
		}
		return ""
	})
	before, err := os.ReadFile(filepath.Join(data, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.stderr.end(t)
	// It left its address behind, which nobody believes.
	if _, err := os.Stat(filepath.Join(data, "admin.url")); err != nil {
		t.Errorf("a killed server: %v", err)
	}
	if _, errs, code := semantic(t, "log-level", "get", "--data-dir", data); code != 1 || !strings.Contains(errs, "no admin interface") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	_, info = serve()
	after, err := os.ReadFile(filepath.Join(data, "admin.key"))
	if err != nil || string(after) != string(before) {
		t.Errorf("another key after a restart, or %v", err)
	}
	eventually(t, func() string { // the worker has a second to answer
		if out, errs, code := semantic(t, "log-level", "get", "--data-dir", data); code != 0 || !strings.Contains(out, "gateway") {
			return fmt.Sprintf("exit code %d: %s%s", code, out, errs)
		}
		return ""
	})
	administer(t, info.Admin, data, "/admin/v1/workers", nil)
}

// batchSizes is what the page of a server has counted: steps, and the sequences in
// them.
func batchSizes(t *testing.T, url string) (steps, sequences float64) {
	t.Helper()
	for line := range strings.Lines(pageWith(t, url, childMetrics)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, _ := strconv.ParseFloat(value, 64)
		switch {
		case strings.HasPrefix(name, "semantic_batch_size_count"):
			steps += number
		case strings.HasPrefix(name, "semantic_batch_size_sum"):
			sequences += number
		}
	}
	return steps, sequences
}

// TestWindowOfAServer: what the admin interface sets changes the measured batch size
// of the process that runs, and ends with it.
func TestWindowOfAServer(t *testing.T) {
	const places = 3
	data := t.TempDir()
	p, info := simServer(t, (*exec.Cmd).Start, "--parallel", strconv.Itoa(places), "--data-dir", data, "--log-level", "debug",
		"--ack-wait", "1m")
	pid, at := p.workerPID(t, 0)
	// round asks so many at once and returns the mean batch size.
	round := func(many int) float64 {
		t.Helper()
		steps, sequences := batchSizes(t, info.HTTP)
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() { // no two begin alike: they would share what was computed
				body := `{"model":"sim","max_tokens":5,"messages":[{"role":"user","content":"` + strconv.Itoa(i) + ` words=9 please"}]}`
				answer, err := http.Post(info.HTTP+"/v1/chat/completions", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				_ = answer.Body.Close()
			})
		}
		all.Wait()
		now, sum := batchSizes(t, info.HTTP)
		return (sum - sequences) / (now - steps)
	}
	if mean := round(1); mean != 1 {
		t.Errorf("alone: %v", mean)
	}
	eventually(t, func() string { // the worker has a second to answer
		if out, errs, code := semantic(t, "batch-window", "set", "1m", "--nats", info.NATS); code != 0 {
			return fmt.Sprintf("exit code %d: %s%s", code, out, errs)
		}
		return ""
	})
	// What the prompts have in common, one of them computes first.
	if mean := round(places); mean <= places-1 {
		t.Errorf("within the window: %v sequences in a step, want nearly %d", mean, places)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.stderr.wait(t, at, `"msg":"worker is back"`)
	var windows struct {
		Data []struct {
			WindowMS *float64 `json:"window_ms"`
		}
	}
	eventually(t, func() string { // it is no answer that the worker took more than a second
		windows.Data = nil
		administer(t, info.Admin, data, "/admin/v1/batch-window", &windows)
		if len(windows.Data) != 1 || windows.Data[0].WindowMS == nil {
			return fmt.Sprintf("after a restart %+v", windows)
		}
		return ""
	})
	if window := *windows.Data[0].WindowMS; window != 0 {
		t.Errorf("after a restart %v ms", window)
	}
	if mean := round(1); mean != 1 {
		t.Errorf("alone again: %v", mean)
	}
}
