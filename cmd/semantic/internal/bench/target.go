package bench

import (
	"context"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Target is what is under load.
type Target interface {
	// Ask asks, calls piece with every piece of output at the moment when it arrives,
	// on the caller's goroutine, and returns how it ended. When ctx ends it returns
	// soon, and what was asked is given up. It is called from many goroutines.
	Ask(ctx context.Context, r Request, piece func(Piece)) Result
}

// Piece is output that arrived together.
type Piece struct {
	// Tokens is how many tokens it is, as the server says; 0 where it does not.
	Tokens int
	Text   string
}

// Result is how a request ended.
type Result struct {
	// Code is empty where it was answered in full, else why it was not: a code of
	// the contract, or one of those below.
	Code string
	// Job is what the server calls it; may be empty.
	Job string
	// RetryAfter is when to come back, where the server said so.
	RetryAfter time.Duration
	// Usage and Timings are what the server says of it; nil where it does not.
	Usage   *schemas.Usage
	Timings *schemas.Timings
}

// Codes of a [Result] that no server says.
const (
	// CodeTimeout: it took longer than the timeout, and was cut.
	CodeTimeout = "timeout"
	// CodeNotSent: as many others were under way as this program can hold.
	CodeNotSent = "not_sent"
	// CodeUnreachable: there was no connection.
	CodeUnreachable = "unreachable"
	// CodeBroken: the connection ended in mid-answer.
	CodeBroken = "stream_broken"
	// CodeUnreadable: what was answered is not what the contract says.
	CodeUnreadable = "unreadable"
)
