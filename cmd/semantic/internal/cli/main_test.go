package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/cli"
)

// patience bounds every wait; none ends by it when all is well.
const patience = 60 * time.Second

// leakChecked runs the tests and then looks for goroutines left behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	err := goleak.Find()
	for late := time.Now().Add(patience); code == 0 && err != nil && time.Now().Before(late); { // it looks for half a second
		err = goleak.Find()
	}
	if err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestMain makes this binary also the program `semantic`, under which scripts
// and tests start it: see main.go.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"semantic": func() {
		signals := make(chan os.Signal, 3)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
		os.Exit(cli.Run(context.Background(), os.Args[1:], cli.Options{
			In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Environ: os.Environ,
			Signals: signals, Backend: faulty, Release: "v0.0.0-test",
		}))
	}})
}

// The stories of testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SEMANTIC_HOME", env.WorkDir+"/home")
			env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/config")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":  expectCode,
			"until": execUntil,
			"ready": waitReady,
			"term":  sendTerm,
		},
	})
}

// expectCode runs a program that must end with the exit code: code N PROGRAM ARGS.
func expectCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want, _ := strconv.Atoi(args[0]); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// execUntil runs a program until it ends well and prints what fits a pattern: until
// PATTERN PROGRAM ARGS; with ! until it fails, and says what fits. A worker has a
// second to answer a question, a broker two, and on a busy machine they may need more.
func execUntil(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] until pattern program args")
	}
	output := "stdout"
	if neg {
		output = "stderr"
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for late := time.Now().Add(patience); ; {
		err := ts.Exec(args[1], args[2:]...)
		if (err != nil) == neg && pattern.MatchString(ts.ReadFile(output)) {
			return
		}
		if time.Now().After(late) {
			ts.Fatalf("never printed %s: %v", args[0], err)
		}
	}
}

// waitReady waits for the ready file of `semantic serve` and sets the variables
// URL, NATS and PID as far as the file has them: ready FILE.
func waitReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready file")
	}
	info, err := readReady(ts.MkAbs(args[0]), nil)
	ts.Check(err)
	for name, value := range map[string]string{"URL": info.HTTP, "NATS": info.NATS, "PID": strconv.Itoa(info.PID)} {
		if value != "" {
			ts.Setenv(name, value)
		}
	}
	ts.Defer(func() { _ = syscall.Kill(info.PID, syscall.SIGKILL) })
}

// sendTerm sends SIGTERM: term PID.
func sendTerm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: term pid")
	}
	pid, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGTERM))
}

type ready struct {
	HTTP  string `json:"http"`
	Admin string `json:"admin"`
	NATS  string `json:"nats"`
	PID   int    `json:"pid"`
}

// readReady waits for the file; gone ends the wait early.
func readReady(path string, gone <-chan struct{}) (ready, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		if text, err := os.ReadFile(path); err == nil {
			var info ready
			return info, json.Unmarshal(text, &info)
		}
		select {
		case <-tick.C:
		case <-gone:
			return ready{}, errors.New("the server ended before it was ready")
		case <-late:
			return ready{}, fmt.Errorf("%s does not appear", path)
		}
	}
}

// eventually asks until there is no problem any more.
func eventually(t *testing.T, ask func() (problem string)) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for problem := ask(); problem != ""; problem = ask() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal(problem)
		}
	}
}

// executable writes a script that is run soon. No process is started meanwhile: until
// it has become another program it would hold the file open for writing, and whoever
// runs the script then is told that it is busy.
func executable(t *testing.T, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte(text), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
}

// environment is this process's without what would configure semantic.
func environment(t *testing.T) []string {
	t.Helper()
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "SEMANTIC_") || strings.HasPrefix(kv, "XDG_CONFIG_HOME=")
	})
	return append(env, "SEMANTIC_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
}
