// Command semantic is a message-queue driven inference worker: see
// `semantic --help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/cli"
)

// release is set by the linker (make build); empty otherwise.
var release string

func main() {
	// Capacity for a first signal, a second one, and a spare: Notify drops what
	// does not fit.
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup stays nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	// A pipe whose reader went away is an error of the write, like any other: a
	// command cancels what it asked for, a server goes on without its log.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(cli.Run(context.Background(), os.Args[1:], cli.Options{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ,
		Signals: signals, Exit: os.Exit, Release: release,
	}))
}
