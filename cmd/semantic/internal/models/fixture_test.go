package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/home"
	"github.com/semantic-worker/semantic/deploy"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) != "" {
		os.Exit(helper())
	}
	goleak.VerifyTestMain(m)
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// newStore is a store that waits for nothing between attempts.
func newStore(t *testing.T) *Store {
	t.Helper()
	return storeIn(t, t.TempDir())
}

func storeIn(t *testing.T, dir string) *Store {
	t.Helper()
	s := Open(dir)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s.transport = transport
	s.retry = func(ctx context.Context, _ int) error { return ctx.Err() }
	return s
}

func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// whole fails the test unless the store has the model, with this content.
func whole(t *testing.T, s *Store, name string, data ...[]byte) Model {
	t.Helper()
	m, err := s.Resolve(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Files) != len(data) {
		t.Fatalf("%d files, want %d", len(m.Files), len(data))
	}
	for i, want := range data {
		got, err := os.ReadFile(m.Files[i].Path)
		if err != nil || sum(got) != sum(want) || m.Files[i].SHA256 != sum(want) {
			t.Errorf("file %d: %d bytes, %v", i, len(got), err)
		}
	}
	s.tidy(t)
	return m
}

// nothing fails the test if the store holds any model or anything half done.
func nothing(t *testing.T, s *Store) {
	t.Helper()
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("the store holds %+v, %v", list, err)
	}
	s.tidy(t)
	if left := s.left(t, ".partial"); left != nil {
		t.Errorf("left in .partial: %v", left)
	}
}

func (s *Store) tidy(t *testing.T) {
	t.Helper()
	if left := s.left(t, ".staging"); left != nil {
		t.Errorf("left in .staging: %v", left)
	}
}

// left are the files in one of the store's working folders.
func (s *Store) left(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.dir, dir), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// server serves files by path, with Range and ETag, and faults.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]*served
	// requests are "METHOD path range if-range authorization" of all requests.
	requests []string
}

// served is one file and how it is served.
type served struct {
	data []byte
	etag string
	// cut ends the connection after so many bytes of each of the next answers.
	cut []int
	// noRange ignores Range; chunked hides the length; noValidator sends
	// neither ETag nor Last-Modified.
	noRange, chunked, noValidator bool
	// status refuses with this status; until is how often, 0 for ever.
	status, until int
	// token is wanted, if set.
	token string
	// redirect leads elsewhere, with these headers.
	redirect string
	header   http.Header
	// started, if set, is closed, and stall waited for, after the first bytes.
	started chan struct{}
	stall   chan struct{}
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{files: map[string]*served{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) add(path string, data []byte) *served {
	f := &served{data: data, etag: `"` + sum(data)[:8] + `"`, header: http.Header{}}
	s.change(func() { s.files[path] = f })
	return f
}

// change changes what is served while another process may ask for it.
func (s *server) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, strings.TrimRight(fmt.Sprintf("%s %s %s %s", r.URL.Path, r.Header.Get("Range"),
		r.Header.Get("If-Range"), r.Header.Get("Authorization")), " "))
	f := s.files[r.URL.RequestURI()]
	if f == nil {
		f = s.files[r.URL.Path]
	}
	if f == nil {
		s.mu.Unlock()
		http.NotFound(w, r)
		return
	}
	cut := -1
	if len(f.cut) > 0 {
		cut, f.cut = f.cut[0], f.cut[1:]
	}
	// A copy: the test may change the file while this request still ends.
	now := *f
	if f.until > 0 {
		if f.until--; f.until == 0 {
			f.status = 0
		}
	}
	f = &now
	s.mu.Unlock()
	for k, v := range f.header {
		w.Header()[k] = v
	}
	switch {
	case f.token != "" && r.Header.Get("Authorization") != "Bearer "+f.token:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case f.status != 0:
		w.WriteHeader(f.status)
		return
	case f.redirect != "":
		http.Redirect(w, r, f.redirect, http.StatusFound)
		return
	}
	if !f.noValidator {
		w.Header().Set("ETag", f.etag)
	}
	if f.noRange {
		r.Header.Del("Range")
	}
	if f.chunked {
		w.WriteHeader(http.StatusOK) // no length
		w.(http.Flusher).Flush()
	}
	out := &cutter{ResponseWriter: w, left: cut, f: f}
	if f.chunked {
		_, _ = out.Write(f.data)
	} else {
		http.ServeContent(out, r, "", time.Time{}, strings.NewReader(string(f.data)))
	}
}

// cutter ends the connection after so many bytes; -1 never.
type cutter struct {
	http.ResponseWriter
	left int
	f    *served
}

func (c *cutter) Write(p []byte) (int, error) {
	if stall := c.f.stall; stall != nil {
		n, _ := c.ResponseWriter.Write(p[:len(p)/2])
		c.ResponseWriter.(http.Flusher).Flush()
		if c.f.started != nil {
			close(c.f.started)
		}
		<-stall
		return n, errors.New("stalled")
	}
	if c.left >= 0 && len(p) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := c.ResponseWriter.Write(p)
	if c.left >= 0 {
		c.left -= n
	}
	return n, err
}

// log are the requests so far; asked since the last call.
func (s *server) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.requests
	s.requests = nil
	return l
}

// elsewhere is the server's address under another name.
func (s *server) elsewhere() string {
	u, _ := url.Parse(s.URL)
	return "http://localhost:" + u.Port()
}

// helperVariable makes the test binary pull a URL into a home: "limit" with
// files of a limited size, as on a full disk, or "plain".
const helperVariable = "MODELS_TEST_HELPER"

func defaultModel(m deploy.Model) func() (deploy.Model, error) {
	return func() (deploy.Model, error) { return m, nil }
}

func TestOpen(t *testing.T) {
	s := Open("/h")
	if s.dir != home.ModelsDir("/h") {
		t.Error(s.dir)
	}
	if name, err := s.Default(); err != nil || name != "smollm2-135m-instruct" {
		t.Errorf("%q, %v", name, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := backoff(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
