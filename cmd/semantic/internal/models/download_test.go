package models

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf/gguftest"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

func TestPullURL(t *testing.T) {
	for name, change := range map[string]func(*served){
		"plain":         func(*served) {},
		"no range":      func(f *served) { f.noRange = true },
		"unknown size":  func(f *served) { f.chunked = true },
		"cut":           func(f *served) { f.cut = []int{100, 1000, 3} },
		"cut, no range": func(f *served) { f.cut, f.noRange = []int{100, 1000}, true },
		"cut, chunked":  func(f *served) { f.cut, f.chunked = []int{1000}, true },
		"no validator":  func(f *served) { f.cut, f.noValidator = []int{100, 1000, 3}, true },
		"weak":          func(f *served) { f.cut, f.etag = []int{100, 1000, 3}, `W/"x"` },
		"busy":          func(f *served) { f.status, f.until = http.StatusServiceUnavailable, 3 },
		"too many":      func(f *served) { f.status, f.until = http.StatusTooManyRequests, 1 },
		"redirect":      func(f *served) { f.redirect = "/other.gguf" },
	} {
		t.Run(name, func(t *testing.T) {
			s, srv := newStore(t), newServer(t)
			data := gguftest.Model("x")
			srv.add("/other.gguf", data)
			change(srv.add("/dir/a.model.gguf", data))
			m, err := s.Pull(t.Context(), srv.URL+"/dir/a.model.gguf?key=secret", PullOptions{SHA256: strings.ToUpper(sum(data))})
			if err != nil {
				t.Fatal(err)
			}
			if m.Name != "a.model" || !m.Owned || m.Architecture != "llama" || m.Context != 4096 || m.Quantisation != "Q8_0" {
				t.Errorf("%+v", m)
			}
			if strings.Contains(m.Source, "secret") || !strings.HasSuffix(m.Source, "/dir/a.model.gguf") {
				t.Errorf("source %q", m.Source)
			}
			whole(t, s, "a.model", data)
			if left := s.left(t, ".partial"); left != nil {
				t.Errorf("left: %v", left)
			}
			srv.log()
			if _, err := s.Pull(t.Context(), srv.URL+"/dir/a.model.gguf?key=other", PullOptions{}); err != nil {
				t.Error(err)
			}
			if l := srv.log(); l != nil {
				t.Errorf("a model that is there was asked for again: %v", l)
			}
		})
	}
}

// interrupt pulls a model whose connection breaks for good after n bytes.
func interrupt(t *testing.T, s *Store, srv *server, path string, n int) {
	t.Helper()
	srv.files[path].cut = []int{n, 0, 0, 0, 0, 0, 0}
	_, err := s.Pull(t.Context(), srv.URL+path, PullOptions{})
	var interrupted *InterruptedError
	if !errors.As(err, &interrupted) || interrupted.Have != int64(n) || !strings.Contains(interrupted.Hint(), "again") {
		t.Fatalf("error %v", err)
	}
	srv.files[path].cut = nil
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Fatalf("the store holds %+v, %v", list, err)
	}
	if interrupted.Total != int64(len(srv.files[path].data)) || !strings.Contains(err.Error(), fmt.Sprintf("ended at %d B of", n)) {
		t.Errorf("error %v", err)
	}
	srv.log()
}

func TestResume(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	data := gguftest.Model("x")
	f := srv.add("/a.gguf", data)
	interrupt(t, s, srv, "/a.gguf", 700)
	var out strings.Builder
	if _, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{Progress: progress.New(&out, false)}); err != nil {
		t.Fatal(err)
	}
	if l := srv.log(); len(l) != 1 || l[0] != "/a.gguf bytes=700- "+f.etag {
		t.Errorf("requests %q", l)
	}
	if !strings.Contains(out.String(), "Going on with a.gguf") {
		t.Errorf("progress %q", out.String())
	}
	whole(t, s, "a", data)
}

func TestResumeOfAnotherFile(t *testing.T) {
	data, other := gguftest.Model("x"), gguftest.Model("a longer name")
	for name, test := range map[string]struct {
		change func(srv *server)
		want   []string // the ranges that are asked for
	}{
		"changed, with If-Range": {func(srv *server) { srv.add("/a.gguf", other) }, []string{"bytes=700-"}},
		"range not satisfiable": {func(srv *server) {
			f := srv.add("/a.gguf", other)
			f.status, f.until = http.StatusRequestedRangeNotSatisfiable, 1
		}, []string{"bytes=700-", ""}},
		"wrong part": {func(srv *server) {
			f := srv.add("/a.gguf", other)
			f.status, f.until = http.StatusPartialContent, 1
			f.header.Set("Content-Range", "bytes 5-9/10")
		}, []string{"bytes=700-", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s, srv := newStore(t), newServer(t)
			srv.add("/a.gguf", data)
			interrupt(t, s, srv, "/a.gguf", 700)
			test.change(srv)
			if _, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{}); err != nil {
				t.Fatal(err)
			}
			l := srv.log()
			for i, r := range l {
				_, got, _ := strings.Cut(r, " ")
				got, _, _ = strings.Cut(got, " ")
				if i >= len(test.want) || got != test.want[i] {
					t.Errorf("requests %q, want the ranges %q", l, test.want)
				}
			}
			whole(t, s, "a", other)
		})
	}
	t.Run("another address of the same name", func(t *testing.T) {
		s, srv := newStore(t), newServer(t)
		srv.add("/a.gguf", data)
		srv.add("/b/a.gguf", other)
		interrupt(t, s, srv, "/a.gguf", 700)
		if _, err := s.Pull(t.Context(), srv.URL+"/b/a.gguf", PullOptions{}); err != nil {
			t.Fatal(err)
		}
		whole(t, s, "a", other)
	})
}

func TestResumeOfAWholeFile(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	data := gguftest.Model("x")
	// The size was not known, so what is here can be whole: the server says so.
	f := srv.add("/a.gguf", data)
	note := fmt.Sprintf(`{"url":%q,"etag":%q}`, srv.URL+"/a.gguf", f.etag)
	write(t, filepath.Join(s.dir, ".partial", "a", "a.gguf.json"), []byte(note))
	write(t, filepath.Join(s.dir, ".partial", "a", "a.gguf.partial"), data)
	if _, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if l := srv.log(); len(l) != 1 || !strings.HasPrefix(l[0], fmt.Sprintf("/a.gguf bytes=%d-", len(data))) {
		t.Errorf("requests %q", l)
	}
	whole(t, s, "a", data)
}

func TestAltered(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	data := gguftest.Model("x")
	srv.add("/a.gguf", data)
	want := sum([]byte("another file"))
	_, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{SHA256: want})
	var altered *AlteredError
	if !errors.As(err, &altered) || !errors.Is(err, ErrAltered) || !strings.Contains(err.Error(), want) || altered.Hint() == "" {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
	// A partial file that somebody changed, noticed by the hash.
	interrupt(t, s, srv, "/a.gguf", 700)
	changed := append([]byte{}, data[:700]...)
	changed[600] ^= 1
	write(t, filepath.Join(s.dir, ".partial", "a", "a.gguf.partial"), changed)
	if _, err = s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{SHA256: sum(data)}); !errors.Is(err, ErrAltered) {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
	if _, err = s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{SHA256: sum(data)}); err != nil {
		t.Error(err)
	}
	// What is there is not what is wanted now.
	if _, err = s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{SHA256: want}); !errors.Is(err, ErrAltered) {
		t.Errorf("error %v", err)
	}
}

func TestNotAModel(t *testing.T) {
	data := gguftest.Model("x")
	for name, test := range map[string]struct{ data, want string }{
		"a page":     {"<!DOCTYPE html>" + strings.Repeat(" ", 9999), "begins"},
		"truncated":  {string(data[:len(data)-100]), "truncated"},
		"empty":      {"", "truncated"},
		"no model":   {string(gguftest.Part(1, 1)), "names no architecture"},
		"one of two": {string(gguftest.Part(0, 2)), "set of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			s, srv := newStore(t), newServer(t)
			srv.add("/a.gguf", []byte(test.data))
			_, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{})
			var content *ContentError
			if !errors.As(err, &content) || content.Hint() == "" {
				t.Errorf("error %v", err)
			}
			nothing(t, s)
		})
	}
}

func TestStatus(t *testing.T) {
	for status, want := range map[int]string{
		http.StatusUnauthorized: "credentials", http.StatusForbidden: "expire", http.StatusNotFound: "address",
		http.StatusTooManyRequests: "Wait", http.StatusBadGateway: "later", http.StatusGone: "address",
	} {
		s, srv := newStore(t), newServer(t)
		srv.add("/a.gguf", nil).status = status
		_, err := s.Pull(t.Context(), srv.URL+"/a.gguf?key=secret", PullOptions{})
		var refused *HTTPError
		if !errors.As(err, &refused) || refused.Status != status || !strings.Contains(refused.Hint(), want) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v, hint %q, want %q", err, refused.Hint(), want)
		}
		nothing(t, s)
	}
	// Nobody is there at all: said at once, without the address's secrets.
	s := newStore(t)
	s.retry = func(context.Context, int) error { t.Error("tried again"); return nil }
	_, err := s.Pull(t.Context(), "http://user:secret@127.0.0.1:1/a.gguf?key=secret", PullOptions{})
	if !errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
}

func TestStall(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	s.stall = 50 * time.Millisecond
	f := srv.add("/a.gguf", gguftest.Model("x"))
	f.stall = make(chan struct{})
	s.retry = func(context.Context, int) error {
		info, err := os.Stat(filepath.Join(s.dir, ".partial", "a", "a.gguf.partial"))
		if err == nil && info.Size() == 0 { // a busy machine: nothing had come yet
			s.stall *= 4
			return nil
		}
		return errors.New("no more")
	}
	_, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{})
	var interrupted *InterruptedError
	if !errors.As(err, &interrupted) || interrupted.Have == 0 {
		t.Errorf("error %v", err)
	}
	close(f.stall)
}

func TestInterruptedByUser(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	data := gguftest.Model("x")
	f := srv.add("/a.gguf", data)
	f.started, f.stall = make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupt")
	go func() {
		<-f.started
		cancel(cause)
	}()
	_, err := s.Pull(ctx, srv.URL+"/a.gguf", PullOptions{})
	close(f.stall)
	// What had arrived by then is kept; nothing else is.
	if !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("the store holds %+v, %v", list, err)
	}
	f.stall = nil
	if _, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	whole(t, s, "a", data)
}

func TestNoRoomForIt(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	f := srv.add("/a.gguf", gguftest.Model("x"))
	f.status = http.StatusOK
	f.header.Set("Content-Length", "1152921504606846976")
	var space *disk.SpaceError
	if _, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{}); !errors.As(err, &space) {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
}

func TestTwoPulls(t *testing.T) {
	dir, srv := t.TempDir(), newServer(t)
	data := gguftest.Model("x")
	srv.add("/a.gguf", data)
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		s := storeIn(t, dir)
		all.Go(func() { _, errs[i] = s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{}) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if l := srv.log(); len(l) != 1 {
		t.Errorf("fetched %d times", len(l))
	}
	whole(t, storeIn(t, dir), "a", data)
}

// helper pulls what the environment says, in a process of its own.
func helper() int {
	if os.Getenv(helperVariable) == "limit" {
		signal.Ignore(syscall.SIGXFSZ)
		var old unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			return 3
		}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1000, Max: old.Max}); err != nil {
			return 3
		}
		// Coverage, where it is measured, is written at the end.
		defer func() { _ = unix.Setrlimit(unix.RLIMIT_FSIZE, &old) }()
	}
	_, err := Open(os.Getenv("HELPER_HOME")).Pull(context.Background(), os.Getenv("HELPER_URL"), PullOptions{})
	var space *disk.SpaceError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &space):
		return 5
	}
	_, _ = os.Stderr.WriteString(err.Error())
	return 1
}

func helperCommand(t *testing.T, kind, home, url string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), helperVariable+"="+kind, "HELPER_HOME="+home, "HELPER_URL="+url)
	return cmd
}

func TestFullDisk(t *testing.T) {
	dir, srv := t.TempDir(), newServer(t)
	data := gguftest.Model("x")
	srv.add("/a.gguf", data)
	err := helperCommand(t, "limit", dir, srv.URL+"/a.gguf").Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Fatalf("the pull ended with %v, not with the error of a full disk", err)
	}
	s := storeIn(t, dir)
	s.tidy(t)
	srv.log()
	// With room again it goes on.
	if _, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if l := srv.log(); len(l) != 1 || !strings.HasPrefix(l[0], "/a.gguf bytes=1000-") {
		t.Errorf("requests %q", l)
	}
	whole(t, s, "a", data)
}

func TestKilled(t *testing.T) {
	dir, srv := t.TempDir(), newServer(t)
	data := gguftest.Model("x")
	f := srv.add("/a.gguf", data)
	started, stall := make(chan struct{}), make(chan struct{})
	srv.change(func() { f.started, f.stall = started, stall })
	cmd := helperCommand(t, "plain", dir, srv.URL+"/a.gguf")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	close(stall)
	s := storeIn(t, dir)
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("the store holds %+v, %v", list, err)
	}
	srv.change(func() { f.stall = nil })
	if _, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	whole(t, s, "a", data)
}

func TestPullSet(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	one, two := gguftest.Part(0, 2), gguftest.Part(1, 2)
	srv.add("/big-00001-of-00002.gguf", one)
	srv.add("/big-00002-of-00002.gguf", two).cut = []int{500, 0, 0, 0, 0, 0}
	// Any file names the set; what is whole is not fetched again.
	url := srv.URL + "/big-00002-of-00002.gguf"
	if _, err := s.Pull(t.Context(), url, PullOptions{SHA256: sum(one)}); err == nil {
		t.Error("one hash for two files")
	}
	var interrupted *InterruptedError
	if _, err := s.Pull(t.Context(), url, PullOptions{}); !errors.As(err, &interrupted) {
		t.Fatalf("error %v", err)
	}
	srv.files["/big-00002-of-00002.gguf"].cut = nil
	srv.log()
	m, err := s.Pull(t.Context(), url, PullOptions{Name: "big/one:2"})
	if err != nil {
		t.Fatal(err)
	}
	if l := srv.log(); len(l) != 2 {
		t.Errorf("requests %q", l) // another name: from the beginning
	}
	if m.Slug != "big=2Fone=3A2" || m.Parameters != 32*32+32*33 || m.SHA256 == m.Files[0].SHA256 {
		t.Errorf("%+v", m)
	}
	whole(t, s, "big/one:2", one, two)
	if _, err := s.Pull(t.Context(), url, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if l := srv.log(); len(l) != 1 || !strings.Contains(l[0], "bytes=500-") {
		t.Errorf("requests %q", l)
	}
	whole(t, s, "big", one, two)
}
