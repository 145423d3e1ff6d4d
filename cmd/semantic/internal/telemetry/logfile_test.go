package telemetry

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/DeRuina/timberjack"

	"github.com/semantic-worker/semantic/schemas"
)

// archives returns the names and the text of a log file's archives, of which
// those that a test leaves are all compressed.
func archives(t *testing.T, path string) (names []string, text string) {
	t.Helper()
	names, err := filepath.Glob(strings.TrimSuffix(path, ".log") + "-*")
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		unzipped, err := gzip.NewReader(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := io.Copy(&all, unzipped); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = f.Close()
	}
	return names, all.String()
}

func open(t *testing.T, path string, fallback io.Writer) *LogFile {
	t.Helper()
	f, err := OpenLogFile(path, fallback, LogOptions{Format: LogJSON})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Many goroutines, and a child's output beside them, write many times what a file
// holds: every line is in the file or in one archive, whole, and once.
func TestRotationUnderLoadLosesNoLine(t *testing.T) {
	const writers, each = 16, 400
	path := filepath.Join(t.TempDir(), "logs", "semantic.log")
	var stderr bytes.Buffer
	f := open(t, path, &stderr)
	f.file.(*timberjack.Logger).MaxSize = 1 // before the first line
	log := NewLogger(f, LogOptions{Format: LogJSON})
	relay := NewRelay(f, log, LogJSON)
	padding := strings.Repeat("x", 600)
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			to := log
			if w%4 == 0 { // as through a pipe: in pieces that are no lines
				var mu sync.Mutex
				to = NewLogger(writerFunc(func(p []byte) (int, error) {
					mu.Lock()
					defer mu.Unlock()
					if w == 0 {
						_, _ = relay.Write(p[:len(p)/2])
						_, _ = relay.Write(p[len(p)/2:])
						return len(p), nil
					}
					return f.Write(p)
				}), LogOptions{Format: LogJSON})
			}
			for i := range each {
				to.Info(padding, schemas.LogWorker, w, schemas.LogSequence, i)
			}
		})
	}
	running.Wait()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	names, text := archives(t, path)
	if len(names) < 3 {
		t.Fatalf("only %d archives", len(names))
	}
	text += read(t, path)
	type line struct {
		Worker   int `json:"worker"`
		Sequence int `json:"sequence"`
	}
	seen := make(map[line]int)
	for l := range strings.Lines(text) {
		var one line
		if err := json.Unmarshal([]byte(l), &one); err != nil {
			t.Fatalf("a broken line: %v: %.100s", err, l)
		}
		seen[one]++
	}
	if len(seen) != writers*each {
		t.Errorf("%d lines of %d", len(seen), writers*each)
	}
	for l, n := range seen {
		if n != 1 {
			t.Errorf("%v is there %d times", l, n)
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("the error output has %s", &stderr)
	}
	for _, name := range append(names, path) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// A file of another day is archived at the next start, and what is older than a
// week goes; nothing else in the folder does.
func TestDaysAndRetention(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "semantic.log")
	ago := func(days int) string {
		at := time.Now().AddDate(0, 0, -days).Format("2006-01-02T15-04-05.000")
		return filepath.Join(dir, "semantic-"+at+"-time.log.gz")
	}
	old, young := ago(8), ago(6)
	other := filepath.Join(dir, "other-2020-01-01T00-00-00.000-time.log.gz")
	for _, name := range []string{old, young, other} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write := func(line string) {
		t.Helper()
		f := open(t, path, io.Discard)
		_, _ = f.Write([]byte(line + "\n"))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write("yesterday's")
	write("yesterday's, after another start")
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := os.Chtimes(path, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{young, other} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an archive of 8 days ago: %v", err)
	}
	_ = os.Remove(young)
	write("today's")
	if got := read(t, path); got != "today's\n" {
		t.Errorf("the file has %q", got)
	}
	if names, text := archives(t, path); len(names) != 1 || text != "yesterday's\nyesterday's, after another start\n" {
		t.Errorf("the archives %q have %q", names, text)
	}
}

// A file has the permissions of the one that was there before.
func TestPermissionsStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "semantic.log")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := os.Chtimes(path, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	f := open(t, path, io.Discard)
	_, _ = f.Write([]byte("new\n"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := archives(t, path)
	for _, name := range append(names, path) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// disk is a file on a disk that may be full.
type disk struct {
	bytes.Buffer
	room int // bytes; negative is unlimited
}

func (d *disk) Write(p []byte) (int, error) {
	if d.room < 0 {
		return d.Buffer.Write(p)
	}
	n := min(d.room, len(p))
	d.room -= n
	_, _ = d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (d *disk) Close() error { return nil }

// lines are the messages of JSON lines; one that is none counts as "torn".
func lines(text string) (messages []string) {
	for l := range strings.Lines(text) {
		var fields map[string]any
		if json.Unmarshal([]byte(l), &fields) != nil {
			messages = append(messages, "torn")
			continue
		}
		messages = append(messages, fields["msg"].(string))
	}
	return messages
}

// While the disk is full lines go to the error output, which is told once; then
// the file goes on, on a line of its own, and says what it misses.
func TestFullDisk(t *testing.T) {
	var stderr bytes.Buffer
	f := open(t, filepath.Join(t.TempDir(), "semantic.log"), &stderr)
	if err := f.file.Close(); err != nil {
		t.Fatal(err)
	}
	d := &disk{room: 100}
	f.file = d
	log := NewLogger(f, LogOptions{Format: LogJSON})
	log.Info("one")
	log.Info("two")
	log.Info("three") // not tried
	f.retry = time.Now()
	log.Info("four") // tried
	d.room = -1
	log.Info("five")
	f.retry = time.Now()
	log.Info("six")
	log.Info("seven")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	const full, again = "the log file takes no lines: they go here until it does",
		"the log file takes lines again; others went to the error output"
	if got, want := lines(stderr.String()), []string{full, "two", "three", "four", "five", again}; !slices.Equal(got, want) {
		t.Errorf("the error output has\n%q, want\n%q", got, want)
	}
	if got, want := lines(d.String()), []string{"one", "torn", "six", again, "seven"}; !slices.Equal(got, want) {
		t.Errorf("the file has\n%q, want\n%q", got, want)
	}
	if !strings.Contains(d.String(), `"lines":4`) || !strings.Contains(stderr.String(), "no space left on device") {
		t.Errorf("not said how many, or why:\n%s%s", d.String(), &stderr)
	}
}

// The folder of the file is gone: as a full disk, and it comes back.
func TestFolderGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(dir, "semantic.log")
	var stderr bytes.Buffer
	f := open(t, path, &stderr)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // no folder can be made
		t.Fatal(err)
	}
	log := NewLogger(f, LogOptions{Format: LogJSON})
	log.Info("one")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	f.retry = time.Now()
	log.Info("two")
	if got := strings.Join(lines(read(t, path)), ", "); !strings.HasPrefix(got, "two, ") {
		t.Errorf("the file has %s", got)
	}
	if !strings.Contains(stderr.String(), `"msg":"one"`) {
		t.Errorf("the error output has %s", &stderr)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOneFileOneProcess(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "semantic.log")
	f := open(t, path, io.Discard)
	link := filepath.Join(dir, "link.log")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		if _, err := OpenLogFile(name, io.Discard, LogOptions{}); !errors.Is(err, ErrLogFileInUse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, link, io.Discard).Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, os.DevNull, filepath.Join(path, "beneath")} {
		if _, err := OpenLogFile(name, io.Discard, LogOptions{}); err == nil {
			t.Errorf("%s is a log file", name)
		}
	}
}

// What a child says is in the file as lines of its format, whatever it says.
func TestRelay(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	r := NewRelay(&out, log, LogJSON)
	for _, piece := range []string{
		`{"msg":"a`, `"}` + "\n" + `{"msg":"b"}` + "\n", "\n \n", "SIGSEGV: segmentation", " violation\r\n", `{"msg":"cut`,
	} {
		_, _ = r.Write([]byte(piece))
	}
	r.Flush()
	r.Flush()
	long := strings.Repeat("y", longestLine+1)
	_, _ = r.Write([]byte(long + "\n"))
	var said []string
	for l := range strings.Lines(out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(l), &fields); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		text, _ := fields[schemas.LogText].(string)
		said = append(said, fields["msg"].(string)+":"+text)
	}
	const words = "the child process said:"
	want := []string{"a:", "b:", words + "SIGSEGV: segmentation violation", words + `{"msg":"cut`, words + long}
	if strings.Join(said, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %.300q", said)
	}
	out.Reset()
	console := NewRelay(&out, log, LogConsole)
	_, _ = console.Write([]byte("10:00 INF x\npanic: y\n"))
	if out.String() != "10:00 INF x\npanic: y\n" {
		t.Errorf("got %q", out.String())
	}
}
