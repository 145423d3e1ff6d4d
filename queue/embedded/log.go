package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// serverLog gives the server's log lines to slog. The server's notices are
// details here, so they go out as debug. A fatal line is kept for Start,
// a full disk for mend.
type serverLog struct {
	log     *slog.Logger
	fatal   chan string
	noSpace chan struct{}
}

func (l *serverLog) write(level slog.Level, format string, args []any) {
	line := fmt.Sprintf(format, args...)
	if level >= slog.LevelWarn {
		l.sayNoSpace(line)
	}
	l.log.Log(context.Background(), level, line, slog.String(schemas.LogComponent, "nats-server"))
}

// Noticef implements server.Logger.
func (l *serverLog) Noticef(format string, args ...any) { l.write(slog.LevelDebug, format, args) }

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, args ...any) { l.write(slog.LevelWarn, format, args) }

// Errorf implements server.Logger. What a client did wrong (a wrong token, a
// message that is too large) is not this server's error, so it is a warning; nor
// is a member of the cluster that sleeps.
func (l *serverLog) Errorf(format string, args ...any) {
	level := slog.LevelError
	if strings.Contains(format, ofClient) || strings.HasPrefix(format, ofRoute) {
		level = slog.LevelWarn
	}
	l.write(level, format, args)
}

// ofClient is in the head of the server's lines about one client's connection.
const ofClient = " - cid:"

// ofRoute begins its lines about a member that cannot be reached.
const ofRoute = "Error trying to connect to route"

// Debugf and Tracef implement server.Logger. The server calls them only with
// debugging switched on in its options, which it never is here.
func (*serverLog) Debugf(string, ...any) {}

// Tracef is Debugf's sibling.
func (*serverLog) Tracef(string, ...any) {}

// Fatalf implements server.Logger. The server expects it not to return; it is
// Start that ends the server.
func (l *serverLog) Fatalf(format string, args ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, args...):
	default:
	}
}
