package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/semantic-worker/semantic/schemas"
)

const (
	// roomAgain is how many bytes of a disk that was full must be free for the
	// server to go on: enough for a while, and for the restart itself.
	roomAgain = 64 << 20
	// diskPause is between two looks at a full disk.
	diskPause = time.Second
)

// noSpace is what the system says of a full disk, in the server's log.
var noSpace = syscall.ENOSPC.Error()

// DiskFull reports whether a write failed because the disk of the store was
// full. Nothing is stored here then, and publishers get no answer, until there is
// room; a cluster goes on without this member.
func (s *Server) DiskFull() bool { return s.full.Load() }

// mend starts the server again once a disk that was full has room. A stream that
// could not be written takes nothing more before that: the server keeps the
// error of the first write that failed.
func (s *Server) mend(ctx context.Context) {
	defer close(s.mended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.log.noSpace:
		}
		s.full.Store(true)
		s.log.log.ErrorContext(ctx, "the disk of the queue's store is full: nothing is stored until there is room",
			slog.String(schemas.LogDir, s.options.StoreDir), slog.Int(schemas.LogNeedsBytes, roomAgain))
		for again := false; !again; again = s.startedAgain(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(diskPause):
			}
		}
		s.full.Store(false)
		s.log.log.WarnContext(ctx, "the disk has room again: the NATS server was started again, the queue goes on")
	}
}

// startedAgain replaces the server if the disk has room. Clients connect again
// by themselves.
func (s *Server) startedAgain(ctx context.Context) bool {
	free, err := s.free(s.options.StoreDir)
	if err != nil || free < roomAgain {
		return false
	}
	options, err := s.options.server()
	if err == nil {
		options.Port = s.port
		old := s.current()
		old.Shutdown()
		old.WaitForShutdown()
		select {
		case <-s.log.noSpace: // of the server that is gone
		default:
		}
		err = s.launch(ctx, options)
	}
	if err != nil && ctx.Err() == nil {
		s.log.log.ErrorContext(ctx, "the NATS server does not start again", slog.Any(schemas.LogError, err))
	}
	return err == nil
}

// launch makes a server and runs it in place of the one before.
func (s *Server) launch(ctx context.Context, options *server.Options) error {
	ns, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	ns.SetLoggerV2(s.log, false, false, false)
	s.mu.Lock()
	s.nats = ns
	s.mu.Unlock()
	return run(ctx, ns, s.log)
}

// free returns how many bytes may still be written in a folder.
func free(dir string) (int64, error) {
	var f syscall.Statfs_t
	if err := syscall.Statfs(dir, &f); err != nil {
		return 0, fmt.Errorf("embedded NATS: free space of %s: %w", dir, err)
	}
	return int64(f.Bavail) * int64(f.Bsize), nil //nolint:unconvert // the types differ between platforms
}

// sayNoSpace notes a line of the server's log that tells of a full disk.
func (l *serverLog) sayNoSpace(line string) {
	if !strings.Contains(line, noSpace) {
		return
	}
	select {
	case l.noSpace <- struct{}{}:
	default:
	}
}
