package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
	"github.com/gofrs/flock"

	"github.com/semantic-worker/semantic/schemas"
)

// The retention policy on this machine (docs/logging.md). A line is kept for at
// least logDays: its archive counts from its rotation.
const (
	logMegabytes = 100
	logDays      = 7
	// logMidnight is when a day's file is archived, local time.
	logMidnight = "00:00"
	// logRetry is how long a file that took no line is left alone.
	logRetry = time.Second
)

// ErrLogFileInUse is wrapped by the error of [OpenLogFile] for a file that
// another process writes.
var ErrLogFileInUse = errors.New("another process writes it; each process needs a file of its own")

// LogFile is a file of log lines that is archived at midnight and at 100 MiB,
// whichever comes first; archives are compressed and kept for 7 days. While the
// file takes no line, because the disk is full or for any other reason, the lines
// go to another writer, which is told so once, and once it has passed.
//
// Safe for concurrent use. Writes never fail, and never split a line.
type LogFile struct {
	path     string
	lock     *flock.Flock
	fallback io.Writer
	// notices are lines of this file's own.
	notices LogOptions

	mu   sync.Mutex // guards the rest
	file io.WriteCloser
	// torn is whether the file ends in the middle of a line.
	torn bool
	// failing is whether the last line went to fallback; aside counts those that
	// have; retry is when the file is tried again.
	failing bool
	aside   int
	retry   time.Time
}

// OpenLogFile opens the file, or makes it, readable for its owner only; one that
// is there keeps its permissions, and so do its archives. The lines that are
// written to it are of a logger made with o. An error tells nothing was opened.
// The caller closes it.
func OpenLogFile(path string, fallback io.Writer, o LogOptions) (*LogFile, error) {
	path, info, err := touch(path)
	if err != nil {
		return nil, err
	}
	lock := flock.New(path + ".lock")
	if free, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("log file %s: %w", path, err)
	} else if !free {
		return nil, fmt.Errorf("log file %s: %w", path, ErrLogFileInUse)
	}
	rotating := &timberjack.Logger{
		Filename: path, MaxSize: logMegabytes, MaxAge: logDays, Compression: "gzip",
		LocalTime: true, RotateAt: []string{logMidnight}, FileMode: info.Mode().Perm(),
	}
	// The day may have ended while nobody was here to see it.
	if info.Size() > 0 && day(info.ModTime()) != day(time.Now()) {
		if err := rotating.RotateWithReason("time"); err != nil {
			return nil, errors.Join(fmt.Errorf("log file %s: %w", path, err), rotating.Close(), lock.Unlock())
		}
	}
	return &LogFile{path: path, lock: lock, fallback: fallback, notices: o, file: rotating}, nil
}

// touch makes the file if it is not there, and returns its true path.
func touch(path string) (string, os.FileInfo, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return "", nil, fmt.Errorf("log file: %w", err)
	}
	// Rotation renames the file, not a link to it.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("log file %s: not a regular file", path) // which opening could block on
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("log file: %w", err)
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return "", nil, fmt.Errorf("log file: %w", err)
	}
	return path, info, nil
}

func day(t time.Time) string { return t.Local().Format(time.DateOnly) }

// Write takes whole lines. It returns no error: what the file does not take goes
// to the other writer.
func (f *LogFile) Write(lines []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing && time.Now().Before(f.retry) {
		f.set(lines)
		return len(lines), nil
	}
	if err := f.put(lines); err != nil {
		f.fail(err)
		f.set(lines)
		return len(lines), nil
	}
	if f.failing {
		f.recovered()
	}
	return len(lines), nil
}

// put writes lines to the file.
func (f *LogFile) put(lines []byte) error {
	whole := lines
	if f.torn {
		whole = append([]byte{'\n'}, lines...)
	}
	n, err := f.file.Write(whole)
	if n > 0 {
		f.torn = n < len(whole) && whole[n-1] != '\n'
	}
	return err //nolint:wrapcheck // fail says what it is about
}

// set puts lines aside.
func (f *LogFile) set(lines []byte) {
	f.aside += bytes.Count(lines, []byte{'\n'})
	_, _ = f.fallback.Write(lines) // nobody is left to tell
}

// fail notes that the file took no line.
func (f *LogFile) fail(err error) {
	f.retry = time.Now().Add(logRetry)
	if f.failing {
		return
	}
	f.failing, f.aside = true, 0
	f.notice(f.fallback).Error("the log file takes no lines: they go here until it does",
		slog.String(schemas.LogFile, f.path), slog.Any(schemas.LogError, err))
}

// recovered notes that it does again.
func (f *LogFile) recovered() {
	f.failing = false
	const message = "the log file takes lines again; others went to the error output"
	for _, w := range []io.Writer{f.fallback, writerFunc(func(line []byte) (int, error) { return len(line), f.put(line) })} {
		f.notice(w).Warn(message, slog.String(schemas.LogFile, f.path), slog.Int(schemas.LogLines, f.aside))
	}
}

func (f *LogFile) notice(w io.Writer) *slog.Logger {
	o := f.notices
	o.Level = slog.LevelInfo
	return NewLogger(w, o)
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

// Close closes the file and waits until its archives are compressed. Lines that
// are written all the same are not lost.
func (f *LogFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(f.file.Close(), f.lock.Unlock()); err != nil {
		return fmt.Errorf("log file %s: %w", f.path, err)
	}
	return nil
}
