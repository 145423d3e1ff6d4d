package models

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

// attempts is how often in a row a download may fail without a byte of
// progress.
const attempts = 5

// maxRedirects is how many redirects are followed.
const maxRedirects = 10

// errStalled is the cause when a server sent nothing for too long.
var errStalled = errors.New("the server sends nothing")

// backoff waits before the nth attempt: 1 s, 2 s, 4 s, …, each up to half as
// long again.
func backoff(ctx context.Context, n int) error {
	wait := time.Second << min(n-1, 5)
	t := time.NewTimer(wait + rand.N(wait/2+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // the cause as it is
	case <-t.C:
		return nil
	}
}

// download fetches one file into a folder of partial downloads, where it is
// <name>.partial with <name>.json beside it, which says what it is a part of.
type download struct {
	store  *Store
	part   part
	dir    string
	report *progress.Reporter

	file *os.File
	hash hash.Hash
	have int64 // bytes in file and hash
	note note
	bar  *progress.Bar
}

// note is what <name>.json holds: the part's source and what the server calls
// its content, so that only the rest of the same content is appended.
type note struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// Size is the whole file's in bytes; 0 if the server does not say.
	Size int64 `json:"size,omitempty"`
	// SHA256 is the whole file's, as the server tells it.
	SHA256 string `json:"sha256,omitempty"`
}

// validator is what If-Range takes; empty where the server gave nothing that
// is fit.
func (n note) validator() string {
	if n.ETag != "" && !strings.HasPrefix(n.ETag, "W/") {
		return n.ETag
	}
	if n.ETag == "" {
		return n.LastModified
	}
	return ""
}

func (d *download) partial() string  { return filepath.Join(d.dir, d.part.name+".partial") }
func (d *download) noteFile() string { return filepath.Join(d.dir, d.part.name+".json") }
func (d *download) what() string     { return plain(d.part.url) }

// run downloads what is missing and returns the whole file, verified.
func (d *download) run(ctx context.Context) (File, error) {
	if err := d.open(ctx); err != nil {
		return File{}, err
	}
	defer func() { _ = d.file.Close() }()
	defer func() { d.bar.Stop() }()
	for failed := 0; ; {
		before := d.have
		done, err := d.attempt(ctx)
		if done {
			break
		}
		if d.have > before {
			failed = 0
		}
		failed++
		if !d.again(ctx, err, failed) {
			return File{}, d.end(err)
		}
		d.bar.Stop()
		d.bar = nil
		d.report.Printf("The connection broke at %s (%v); going on", progress.Bytes(d.have), err)
		if err := d.store.retry(ctx, failed); err != nil {
			return File{}, d.end(err)
		}
	}
	if err := d.file.Sync(); err != nil {
		return File{}, fmt.Errorf("download %s: %w", d.what(), disk.Explain(err, d.dir))
	}
	d.bar.Done()
	return d.verify()
}

// again reports whether another attempt may help.
func (d *download) again(ctx context.Context, err error, failed int) bool {
	if ctx.Err() != nil || failed >= attempts {
		return false
	}
	var status *HTTPError
	if errors.As(err, &status) {
		return status.Status >= http.StatusInternalServerError || status.Status == http.StatusTooManyRequests
	}
	var lost *lostError
	return errors.As(err, &lost) && (d.have > 0 || lost.answered)
}

// lostError is a failure of the connection.
type lostError struct {
	err error
	// answered is whether the server had begun to answer.
	answered bool
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// end flushes what is here and says how far it came.
func (d *download) end(err error) error {
	var status *HTTPError
	var altered *AlteredError
	var content *ContentError
	if errors.As(err, &status) || errors.As(err, &altered) || errors.As(err, &content) {
		if d.have == 0 {
			d.forget()
		}
		return err // says all there is to say
	}
	if d.have == 0 {
		d.forget()
		return fmt.Errorf("download %s: %w", d.what(), err)
	}
	if syncErr := d.file.Sync(); syncErr != nil && err == nil {
		err = disk.Explain(syncErr, d.dir)
	}
	return &InterruptedError{File: d.part.name, Have: d.have, Total: d.note.Size, Err: err}
}

// forget removes the partial file.
func (d *download) forget() {
	_ = os.Remove(d.partial())
	_ = os.Remove(d.noteFile())
	_ = os.Remove(d.dir) // unless another file of the set is in it
}

// open opens the partial file and reads what is in it, if it is of the same
// source.
func (d *download) open(ctx context.Context) error {
	f, err := os.OpenFile(d.partial(), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("download %s: %w", d.what(), disk.Explain(err, d.dir))
	}
	d.file, d.hash = f, sha256.New()
	data, err := os.ReadFile(d.noteFile())
	if err != nil || json.Unmarshal(data, &d.note) != nil || d.note.URL != d.what() || !d.mayContinue() {
		return d.restart()
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("download %s: %w", d.what(), err)
	}
	if info.Size() == 0 {
		return nil
	}
	bar := d.report.Start(fmt.Sprintf("Going on with %s: reading what is here", d.part.name), info.Size())
	defer bar.Stop()
	if d.have, err = io.Copy(d.hash, bar.Reader(disk.Reader(ctx, f))); err != nil {
		_ = f.Close()
		return &InterruptedError{File: d.part.name, Have: info.Size(), Total: d.note.Size, Err: err}
	}
	bar.Done()
	return nil
}

// mayContinue reports whether a mix of two contents would be noticed: by the
// server, which compares the validator, or by the hash at the end.
func (d *download) mayContinue() bool {
	return d.note.validator() != "" || d.part.sha256 != "" || d.note.SHA256 != ""
}

// restart forgets what is in the partial file.
func (d *download) restart() error {
	d.have, d.note = 0, note{}
	d.hash.Reset()
	if err := d.file.Truncate(0); err != nil {
		return fmt.Errorf("download %s: %w", d.what(), err)
	}
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("download %s: %w", d.what(), err)
	}
	return nil
}

// attempt makes one request for what is missing. It reports whether the file
// is whole; otherwise why not.
func (d *download) attempt(ctx context.Context) (done bool, err error) {
	if d.note.Size > 0 && d.have == d.note.Size {
		return true, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(d.store.stall, func() { cancel(errStalled) })
	defer stall.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.part.url.String(), nil)
	if err != nil {
		return false, withoutURL(err)
	}
	d.store.prepare(req, d.part.token)
	if d.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
		if v := d.note.validator(); v != "" {
			req.Header.Set("If-Range", v)
		}
	}
	var linked http.Header
	resp, err := d.store.client(&linked).Do(req)
	if err != nil {
		return false, &lostError{err: d.cause(ctx, withoutURL(err))}
	}
	defer func() { _ = resp.Body.Close() }()
	now := d.noteOf(resp, linked)
	if err := d.agree(now); err != nil {
		return false, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if d.have > 0 {
			d.report.Printf("The server sends %s from its beginning", d.part.name)
			if err := d.restart(); err != nil {
				return false, err
			}
		}
		now.Size = max(resp.ContentLength, 0)
	case http.StatusPartialContent:
		start, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || start != d.have || d.note.Size > 0 && total > 0 && total != d.note.Size {
			return false, d.startOver("the server answers with another part than was asked for")
		}
		now.Size = total
	case http.StatusRequestedRangeNotSatisfiable:
		if _, total, ok := contentRange(resp.Header.Get("Content-Range")); ok && total == d.have && d.have > 0 {
			d.note.Size = total
			return true, nil
		}
		return false, d.startOver("what is here is not a part of what the server has")
	default:
		return false, &HTTPError{What: d.what(), Status: resp.StatusCode, HuggingFace: d.part.huggingFace, Token: d.part.token != ""}
	}
	return d.receive(ctx, resp.Body, now, stall)
}

// startOver forgets what is here; the next attempt fetches all of it.
func (d *download) startOver(why string) error {
	had := d.have
	if err := d.restart(); err != nil {
		return err
	}
	_ = os.RemoveAll(d.noteFile())
	return &lostError{err: errors.New(why), answered: had > 0}
}

// noteOf reads what the server says about its content. linked are the headers
// of a redirect, where Hugging Face tells the hash of a file that it keeps
// elsewhere.
func (d *download) noteOf(resp *http.Response, linked http.Header) note {
	n := note{URL: d.what(), ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
	for _, h := range []http.Header{linked, resp.Header} {
		if tag := strings.Trim(h.Get("X-Linked-Etag"), `"`); d.part.huggingFace && hexSHA256.MatchString(tag) {
			n.SHA256 = strings.ToLower(tag)
			break
		}
	}
	return n
}

// agree refuses, before anything is fetched, a file whose hash the server
// tells and which is not the wanted one.
func (d *download) agree(now note) error {
	if d.part.sha256 != "" && now.SHA256 != "" && d.part.sha256 != now.SHA256 {
		return &AlteredError{File: d.what(), Want: "sha256 " + d.part.sha256, Got: now.SHA256}
	}
	return nil
}

// receive appends the body to the partial file.
func (d *download) receive(ctx context.Context, body io.Reader, now note, stall *time.Timer) (bool, error) {
	if d.part.size > 0 && now.Size > 0 && d.part.size != now.Size {
		return false, &AlteredError{File: d.what(), Want: fmt.Sprintf("%d bytes", d.part.size), Got: fmt.Sprintf("%d bytes", now.Size)}
	}
	if now.Size > 0 {
		if err := disk.Room(d.dir, now.Size-d.have); err != nil {
			return false, err
		}
	}
	d.note = now
	data, err := json.Marshal(now)
	if err != nil {
		return false, fmt.Errorf("note: %w", err)
	}
	if err := disk.WriteFile(d.noteFile(), data); err != nil {
		return false, err
	}
	d.bar = d.report.Start("Fetching "+d.part.name, now.Size)
	d.bar.Set(d.have)
	r := bufio.NewReaderSize(body, 256<<10)
	if d.have == 0 {
		if head, _ := r.Peek(len(gguf.Magic)); len(head) == len(gguf.Magic) && string(head) != gguf.Magic {
			return false, &ContentError{
				File: d.what(), Err: gguf.ErrFormat,
				Advice: "The server sent something else, perhaps a page to read: give the address of the file itself.",
			}
		}
	}
	buf := make([]byte, 256<<10)
	for {
		n, readErr := r.Read(buf)
		stall.Reset(d.store.stall)
		wrote, err := d.file.Write(buf[:n])
		d.hash.Write(buf[:wrote])
		d.have += int64(wrote)
		d.bar.Add(int64(wrote))
		if err != nil {
			return false, disk.Explain(err, d.dir)
		}
		switch {
		case readErr == nil:
		case now.Size > 0 && d.have == now.Size, now.Size == 0 && errors.Is(readErr, io.EOF):
			return true, nil
		default:
			return false, &lostError{err: d.cause(ctx, readErr), answered: true}
		}
	}
}

// cause prefers the reason of a cancelled context to its symptom.
func (d *download) cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) //nolint:wrapcheck // the cause as it is
	}
	return err
}

// verify compares the whole file with the hash that is known of it.
func (d *download) verify() (File, error) {
	got := hex.EncodeToString(d.hash.Sum(nil))
	want := d.part.sha256
	if want == "" {
		want = d.note.SHA256
	}
	if want != "" && got != want {
		d.forget()
		return File{}, &AlteredError{File: d.what(), Want: "sha256 " + want, Got: got}
	}
	info, err := d.file.Stat()
	if err != nil {
		return File{}, fmt.Errorf("download %s: %w", d.what(), err)
	}
	return File{Path: d.partial(), Size: info.Size(), ModTime: info.ModTime(), SHA256: got}, nil
}

// contentRange reads "bytes 5-9/10" and "bytes */10"; a total of "*" is 0.
func contentRange(h string) (start, total int64, ok bool) {
	unit, rest, found := strings.Cut(h, " ")
	span, of, slash := strings.Cut(rest, "/")
	if !found || unit != "bytes" || !slash {
		return 0, 0, false
	}
	if of != "*" {
		n, err := strconv.ParseInt(of, 10, 64)
		if err != nil || n < 0 {
			return 0, 0, false
		}
		total = n
	}
	if span == "*" {
		return 0, total, true
	}
	from, _, _ := strings.Cut(span, "-")
	start, err := strconv.ParseInt(from, 10, 64)
	return start, total, err == nil
}

// prepare sets the headers of every request.
func (s *Store) prepare(req *http.Request, token string) {
	req.Header.Set("User-Agent", "semantic")
	// A body that was compressed on the way could not be continued.
	req.Header.Set("Accept-Encoding", "identity")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
}

// client follows redirects, never from https to http, and never with the
// token to another host. Where linked is not nil, the headers of the last
// redirect that tells a hash are put there.
func (s *Store) client(linked *http.Header) *http.Client {
	return &http.Client{Transport: s.transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		last := via[len(via)-1]
		switch {
		case len(via) >= maxRedirects:
			return errors.New("too many redirects")
		case last.URL.Scheme == "https" && req.URL.Scheme != "https":
			return errors.New("the server leads from https to http")
		}
		if req.URL.Host != via[0].URL.Host {
			req.Header.Del("Authorization")
		}
		if linked != nil && req.Response != nil && req.Response.Header.Get("X-Linked-Etag") != "" {
			*linked = req.Response.Header
		}
		return nil
	}}
}

// withoutURL is an error of the HTTP client without the address, which may
// hold credentials.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
