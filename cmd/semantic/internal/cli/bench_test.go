package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// benchReport is what tests read of a report.
type benchReport struct {
	Interrupted bool `json:"interrupted"`
	Target      struct {
		By, Model string
		Workers   []struct {
			Backend  string
			Capacity int
		}
	} `json:"target"`
	All struct {
		Requests, OK     int
		Errors           map[string]int
		CompletionTokens int                                   `json:"completion_tokens"`
		Tokens           float64                               `json:"tokens_per_second"`
		FirstToken       *struct{ P50 float64 }                `json:"time_to_first_token_ms"`
		InterToken       *struct{ P50 float64 }                `json:"inter_token_ms"`
		QueueWait        *struct{ P50 float64 }                `json:"queue_wait_ms"`
		Late             *struct{ P50 float64 }                `json:"late_ms"`
		Classes          map[string]struct{ Requests, OK int } `json:"classes"`
	} `json:"all"`
	Rounds []struct{ Requests int } `json:"rounds"`
}

func readBench(t *testing.T, name string) benchReport {
	t.Helper()
	var r benchReport
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Both loops, through the gateway and straight to the queue: everything that was
// asked is answered, with the tokens that were asked for and every figure; what is
// written can be compared and summed up.
func TestBench(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "2ms", "--parallel", "4")
	dir := t.TempDir()
	prompts := filepath.Join(dir, "p.jsonl")
	if err := os.WriteFile(prompts, []byte(`{"prompt": "words=7 hi", "max_tokens": 7}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Without a warm-up the first request counts, and is waited for, however slow the
	// machine is; and in a second and a half more come of an open loop than one class.
	short := []string{"--duration", "400ms", "--warmup", "0s", "--max-tokens", "8"}
	rate := 0.0
	for i, c := range []struct {
		args   []string
		by     string
		late   bool
		rounds int
	}{
		{[]string{"--url", info.HTTP, "--concurrency", "2", "--rounds", "2"}, "http", false, 2},
		{[]string{"--url", info.HTTP, "--scenario", "mixed-classes", "--rate", "40", "--duration", "1500ms"}, "http", true, 1},
		{[]string{"--url", info.HTTP, "--scenario", "agents", "--concurrency", "3"}, "http", false, 1},
		{[]string{"--url", info.HTTP + "/v1/", "--prompts", prompts}, "http", false, 1},
		{[]string{"--nats", info.NATS, "--scenario", "burst", "--rate", "40", "--duration", "1500ms"}, "nats", true, 1},
		{[]string{"--nats", info.NATS, "--concurrency", "2", "--class", "batch"}, "nats", false, 1},
	} {
		name := filepath.Join(dir, strconv.Itoa(i))
		code, stdout, stderr := run(t, slices.Concat([]string{"bench", "--out", name}, short, c.args)...)
		if code != 0 || !strings.Contains(stdout, "time to first token") || !strings.Contains(stderr, "round 1 of ") {
			t.Fatalf("%v: exit code %d:\n%s%s", c.args, code, stdout, stderr)
		}
		r := readBench(t, name+".json")
		if all := r.All; all.Requests == 0 || all.OK != all.Requests || all.CompletionTokens < 4*all.OK || all.CompletionTokens > 8*all.OK ||
			all.FirstToken == nil || all.InterToken == nil || all.QueueWait == nil || (all.Late != nil) != c.late {
			t.Errorf("%v: %+v", c.args, all)
		}
		rate += r.All.Tokens // of those that came in time: perhaps none
		if r.Target.By != c.by || r.Target.Model != "sim" || len(r.Target.Workers) != 1 || r.Target.Workers[0].Capacity != 4 ||
			len(r.Rounds) != c.rounds {
			t.Errorf("%v: %+v, %d rounds", c.args, r.Target, len(r.Rounds))
		}
		for _, ending := range []string{".md", ".svg", ".requests.jsonl"} {
			if s, err := os.Stat(name + ending); err != nil || s.Size() == 0 {
				t.Errorf("%s%s: %v", name, ending, err)
			}
		}
	}
	if rate <= 0 {
		t.Error("no load has tokens a second")
	}
	if classes := readBench(t, filepath.Join(dir, "1.json")).All.Classes; len(classes) != 3 {
		t.Errorf("classes: %+v", classes)
	}
	first := filepath.Join(dir, "0.json")
	code, stdout, stderr := run(t, "bench", "compare", first, first)
	if code != 0 || !strings.Contains(stdout, "cannot tell (2 and 2 rounds; it takes 4 each)") {
		t.Errorf("compare: exit code %d:\n%s%s", code, stdout, stderr)
	}
	code, _, stderr = run(t, "bench", "compare", first, filepath.Join(dir, "1.json"))
	if code != 2 || !strings.Contains(stderr, "the two loads differ: scenario chat and mixed-classes") {
		t.Errorf("compare: exit code %d: %s", code, stderr)
	}
	page, thresholds := filepath.Join(dir, "page"), filepath.Join(dir, "t.json")
	code, stdout, stderr = run(t, "bench", "summary", first, "--out", page, "--thresholds", thresholds,
		"--inter-token", "1m", "--less-decode", "1m")
	text, _ := os.ReadFile(thresholds)
	if code != 0 || !strings.Contains(stdout, "Fit for production up to 2 users") || !strings.Contains(string(text), `"users": 2`) {
		t.Errorf("summary: exit code %d:\n%s%s%s", code, stdout, stderr, text)
	}
	if text, err := os.ReadFile(page + ".md"); err != nil || !strings.Contains(string(text), "page.svg") {
		t.Errorf("summary: %v\n%s", err, text)
	}
}

// The page of the baseline, its picture and the thresholds of alarms are what
// `bench summary` makes of the loads that are kept beside them: no figure is copied
// by hand.
func TestBaselineIsCurrent(t *testing.T) {
	const root = "../../../.."
	loads, err := filepath.Glob(root + "/docs/performance/baseline/users-*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(loads) == 0 {
		t.Log("there is no baseline yet: `make baseline` makes it")
		return
	}
	dir := t.TempDir()
	made := exec.CommandContext(t.Context(), "bash", root+"/deploy/scripts/baseline.sh", "page")
	made.Env = append(environment(t), "SEMANTIC=semantic", "BASELINE_PAGE="+dir+"/baseline", "BASELINE_THRESHOLDS="+dir+"/thresholds.json")
	if output, err := made.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for made, kept := range map[string]string{
		"baseline.md": "/docs/performance/baseline.md", "baseline.svg": "/docs/performance/baseline.svg",
		"thresholds.json": "/deploy/prometheus/thresholds.json",
	} {
		want, err := os.ReadFile(filepath.Join(dir, made))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(root + kept); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current (%v): `deploy/scripts/baseline.sh page` makes it anew", kept, err)
		}
	}
}

// Ctrl-C ends a load with what there is; on a terminal one line shows the progress.
func TestBenchInterrupt(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "2ms")
	for _, over := range []struct {
		args     []string
		terminal bool
	}{{[]string{"--url", info.HTTP}, false}, {[]string{"--nats", info.NATS}, true}} {
		name := filepath.Join(t.TempDir(), "out")
		var screen *os.File
		p := start(t, func(c *exec.Cmd) error {
			if over.terminal {
				c.Stderr = nil // the terminal takes it, too
			}
			tty, err := pty.Start(c)
			screen = tty
			return err
		}, append([]string{
			"bench", "--out", name, "--concurrency", "2", "--duration", "10m", "--warmup", "0s", "--max-tokens", "4",
		}, over.args...)...)
		shown := collect(t, screen)
		if over.terminal {
			at := shown.wait(t, 0, "\r\x1b[Kround 1 of 1, measuring")
			shown.wait(t, at, " tokens/s, first token p50 ")
		} else {
			at := p.stderr.wait(t, 0, "round 1 of 1, measuring")
			p.stderr.wait(t, at, ", first token p50 ")
		}
		if err := p.command.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if code := p.code(t); code != 130 {
			t.Errorf("exit code %d", code)
		}
		shown.end(t)
		if !strings.Contains(shown.text.String(), "Stopped before it was done.") {
			t.Errorf("%s", shown.text.String())
		}
		if r := readBench(t, name+".json"); !r.Interrupted || r.All.OK == 0 || r.All.OK != r.All.Requests {
			t.Errorf("%+v", r)
		}
	}
}

// What is wrong is named; nobody there is said at once, and nothing answered is a
// failure.
func TestBenchErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--rate 1 --concurrency 2", 2, "--rate and --concurrency exclude each other"},
		{"--rate 0", 2, "--rate: 0 is not more than 0"},
		{"--rate -1", 2, "--rate: -1 is not more than 0"},
		{"--rate x", 2, "--rate: want a number"},
		{"--rate 99999", 2, "--rate: 99999 a second makes more than"},
		{"--concurrency 0", 2, "--concurrency: 0 is not between 1 and 10000"},
		{"--scenario talk", 2, `--scenario: "talk" is not chat`},
		{"--scenario file", 2, `--scenario: "file" needs --prompts`},
		{"--scenario chat --prompts " + bad, 2, "--prompts and --scenario exclude"},
		{"--prompts " + bad, 2, "--prompts: line 1: want either prompt or messages"},
		{"--prompts " + bad + ".none", 2, "--prompts: open "},
		{"--arrivals burst", 2, "--arrivals: has no meaning without --rate"},
		{"--words 9", 2, "--words: has no meaning with --scenario chat"},
		{"--duration 0s", 2, "--duration: 0s is not between"},
		{"--class vip", 2, `--class: "vip" is not interactive`},
		{"--out " + filepath.Join(dir, "none", "x"), 2, "--out: there is no folder"},
		{"--url http://127.0.0.1:1 --nats nats://127.0.0.1:1", 2, "--url and --nats exclude"},
		{"what", 2, "unknown command"},
		{"--url http://127.0.0.1:1", 1, "--url names another gateway"},
		{"--nats nats://127.0.0.1:1", 1, "--nats names another one"},
		{"compare a", 2, "accepts between 2 and 3 arg(s)"},
		{"compare " + bad + " " + bad, 2, "is no report of a load"},
		{"summary " + bad, 2, "is no report of a load"},
		{"summary", 2, "requires at least 1 arg(s)"},
	} {
		code, _, stderr := run(t, append([]string{"bench"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d: %swant %d: %s", c.args, code, stderr, c.code, c.want)
		}
	}
	_, info := simServer(t, (*exec.Cmd).Start)
	long := filepath.Join(dir, "long.jsonl")
	if err := os.WriteFile(long, fmt.Appendf(nil, "{\"prompt\": %q}\n", strings.Repeat("word ", 20000)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run(t, "bench", "--url", info.HTTP, "--prompts", long, "--duration", "300ms", "--warmup", "0s")
	if code != 1 || !strings.Contains(stdout, " context_length_exceeded") || !strings.Contains(stderr, "no request was answered") {
		t.Errorf("exit code %d:\n%s%s", code, stdout, stderr)
	}
}
