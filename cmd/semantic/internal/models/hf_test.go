package models

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf/gguftest"
)

// hubServer is a server with the routes of Hugging Face: the listing in two
// pages, and files that a redirect leads to another host.
type hubServer struct {
	*server
	entries []entry
}

func newHub(t *testing.T) *hubServer {
	t.Helper()
	return &hubServer{server: newServer(t)}
}

const repo = "/Owner/Repo-GGUF"

// file adds a file to the repository.
func (h *hubServer) file(path string, data []byte) {
	e := entry{Type: "file", Path: path, Size: int64(len(data))}
	f := h.add(repo+"/resolve/main/"+path, nil)
	f.header.Set("X-Linked-Etag", `"`+sum(data)+`"`)
	f.redirect = h.elsewhere() + "/cdn/" + path
	h.add("/cdn/"+path, data)
	e.LFS = &struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	}{sum(data), int64(len(data))}
	h.entries = append(h.entries, e)
}

// list makes the listing.
func (h *hubServer) list(t *testing.T) {
	t.Helper()
	first := []entry{{Type: "directory", Path: "sub.gguf"}, {Type: "file", Path: "README.md"}, {Type: "file", Path: "mmproj-x.gguf"}}
	for uri, page := range map[string][]entry{"recursive=1": first, "recursive=1&cursor=2": h.entries} {
		data, err := json.Marshal(page)
		must(t, err)
		f := h.add("/api/models"+repo+"/tree/main?"+uri, data)
		if uri == "recursive=1" {
			f.header.Set("Link", `<`+h.URL+"/api/models"+repo+`/tree/main?recursive=1&cursor=2>; rel="next"`)
		}
	}
}

func TestHuggingFaceFile(t *testing.T) {
	s, h := newStore(t), newHub(t)
	data := gguftest.Model("x")
	h.file("sub/a-Q8_0.gguf", data)
	h.files[repo+"/resolve/main/sub/a-Q8_0.gguf"].token = "hf_token"
	ref := "hf:Owner/Repo-GGUF/sub/a-Q8_0.gguf"

	_, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL})
	var refused *HTTPError
	if !errors.As(err, &refused) || !strings.Contains(refused.Hint(), "set HF_TOKEN") {
		t.Errorf("error %v", err)
	}
	_, err = s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL, Token: "wrong"})
	if !errors.As(err, &refused) || !strings.Contains(refused.Hint(), "is not accepted") {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
	h.log()
	m, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL + "/", Token: "hf_token"})
	if err != nil {
		t.Fatal(err)
	}
	if m.Source != ref || m.Name != "a-Q8_0" {
		t.Errorf("%+v", m)
	}
	whole(t, s, "a-Q8_0", data)
	want := []string{repo + "/resolve/main/sub/a-Q8_0.gguf   Bearer hf_token", "/cdn/sub/a-Q8_0.gguf"}
	if l := h.log(); !slices.Equal(l, want) {
		t.Errorf("requests %q, want %q: the token is for one host only", l, want)
	}
}

func TestHuggingFaceHash(t *testing.T) {
	s, h := newStore(t), newHub(t)
	data := gguftest.Model("x")
	h.file("a.gguf", data)
	ref := "hf:Owner/Repo-GGUF/a.gguf"
	// The server's own hash is believed over what arrives.
	h.files["/cdn/a.gguf"].data = gguftest.Model("y")
	if _, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL}); !errors.Is(err, ErrAltered) {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
	// A wanted hash that is not the server's is refused before anything is kept.
	h.files["/cdn/a.gguf"].data = data
	if _, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL, SHA256: strings.Repeat("0", 64)}); !errors.Is(err, ErrAltered) {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
	// Interrupted, then on with it.
	h.files["/cdn/a.gguf"].cut = []int{700}
	if _, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL, SHA256: sum(data)}); err != nil {
		t.Fatal(err)
	}
	if l := h.log(); !strings.HasPrefix(l[len(l)-1], "/cdn/a.gguf bytes=700-") {
		t.Errorf("requests %q", l)
	}
	whole(t, s, "a", data)
}

func TestHuggingFaceRepo(t *testing.T) {
	q4, q8 := gguftest.Model("q4"), gguftest.Model("q8")
	one, two := gguftest.Part(0, 2), gguftest.Part(1, 2)
	h := newHub(t)
	h.file("m-Q4_K_M.gguf", q4)
	h.file("m-q8_0.gguf", q8)
	h.file("F16/m-F16-00001-of-00002.gguf", one)
	h.file("F16/m-F16-00002-of-00002.gguf", two)
	h.list(t)
	for ref, want := range map[string][][]byte{
		"hf:Owner/Repo-GGUF": {q4}, "hf:Owner/Repo-GGUF:Q8_0": {q8}, "hf:Owner/Repo-GGUF:q4_k_m": {q4},
		"hf:Owner/Repo-GGUF:F16": {one, two}, "hf:Owner/Repo-GGUF/F16/m-F16-00002-of-00002.gguf": {one, two},
	} {
		s := newStore(t)
		m, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL, Name: "n"})
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if m.Source != ref {
			t.Errorf("source %q", m.Source)
		}
		whole(t, s, "n", want...)
		h.log()
		if _, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL, Name: "n"}); err != nil || h.log() != nil {
			t.Errorf("%s again: %v", ref, err)
		}
	}
	s := newStore(t)
	for ref, want := range map[string]string{"hf:Owner/Repo-GGUF:Q2_K": "no file fits", "hf:Owner/Repo-GGUF:F16": "split set"} {
		_, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL, SHA256: sum(q4)})
		var bad *RefError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || bad.Hint() == "" {
			t.Errorf("%s: error %v", ref, err)
		}
	}
	if _, err := s.Pull(t.Context(), "hf:Owner/Repo-GGUF:Q8_0", PullOptions{Endpoint: h.URL, SHA256: sum(q4)}); !errors.Is(err, ErrAltered) {
		t.Errorf("error %v", err)
	}
	// Another size than the listing says.
	h.files["/cdn/m-q8_0.gguf"].data = q8[:len(q8)-32]
	if _, err := s.Pull(t.Context(), "hf:Owner/Repo-GGUF:Q8_0", PullOptions{Endpoint: h.URL}); !errors.Is(err, ErrAltered) {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
}

func TestHuggingFaceChoice(t *testing.T) {
	x := gguftest.Model("x")
	for name, test := range map[string]struct {
		files []string
		ref   string
		want  string // the file, or part of the error
	}{
		"only one":       {[]string{"whatever.gguf"}, "", "whatever"},
		"none":           {nil, "", "holds no GGUF"},
		"no favourite":   {[]string{"a-Q2_K.gguf", "a-Q3_K.gguf"}, "", "no file fits"},
		"two":            {[]string{"a-Q8_0.gguf", "b-Q8_0.gguf"}, ":Q8_0", "2 files fit"},
		"part of a word": {[]string{"a-IQ4_0.gguf", "a-Q4_0.gguf"}, ":Q4_0", "a-Q4_0"},
		"broken set":     {[]string{"a-Q8_0-00001-of-00002.gguf"}, ":Q8_0", "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := newStore(t), newHub(t)
			for _, f := range test.files {
				h.file(f, x)
			}
			h.list(t)
			m, err := s.Pull(t.Context(), "hf:Owner/Repo-GGUF"+test.ref, PullOptions{Endpoint: h.URL})
			if err != nil {
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v", err)
				}
				return
			}
			if m.Name != test.want {
				t.Errorf("%+v, want %q", m, test.want)
			}
		})
	}
}

func TestHuggingFaceRefused(t *testing.T) {
	for status, want := range map[int]string{
		http.StatusUnauthorized: "private", http.StatusForbidden: "accept its terms", http.StatusNotFound: "names of repository",
	} {
		s, h := newStore(t), newHub(t)
		h.list(t)
		h.files["/api/models"+repo+"/tree/main?recursive=1"].status = status
		h.add(repo+"/resolve/main/a.gguf", nil).status = status
		for _, ref := range []string{"hf:Owner/Repo-GGUF", "hf:Owner/Repo-GGUF/a.gguf"} {
			_, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: h.URL})
			var refused *HTTPError
			if !errors.As(err, &refused) || !strings.Contains(refused.Hint(), want) {
				t.Errorf("%s: error %v", ref, err)
			}
		}
		nothing(t, s)
	}
	s := newStore(t)
	for _, ref := range []string{
		"hf:", "hf:owner", "hf:/repo", "hf:owner/repo:", "hf:owner/:Q4", "hf:owner/repo/file.bin", "hf:owner/../file.gguf",
		"hf:owner/repo?x/a.gguf",
	} {
		var bad *RefError
		if _, err := s.Pull(t.Context(), ref, PullOptions{}); !errors.As(err, &bad) {
			t.Errorf("%s: error %v", ref, err)
		}
	}
	refused := func(endpoint, want string) {
		t.Helper()
		_, err := s.Pull(t.Context(), "hf:Owner/Repo-GGUF", PullOptions{Endpoint: endpoint})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	refused("nonsense", "HF_ENDPOINT")
	refused("http://127.0.0.1:1", "refused")
	h := newHub(t)
	h.add("/api/models"+repo+"/tree/main?recursive=1", []byte("<html>"))
	refused(h.URL, "the server's answer")
	// A listing without end, and one that leads to another host.
	next := h.add("/api/models"+repo+"/tree/main?recursive=1", []byte("[]"))
	next.header.Set("Link", `<?recursive=1>; rel="next"`)
	refused(h.URL, "does not end")
	next.header.Set("Link", `<http://elsewhere.invalid/>; rel="next"`)
	refused(h.URL, "no GGUF")
	nothing(t, s)
}

func TestRedirects(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	srv.add("/a.gguf", nil).redirect = "/a.gguf"
	if _, err := s.Pull(t.Context(), srv.URL+"/a.gguf", PullOptions{}); err == nil || !strings.Contains(err.Error(), "too many redirects") {
		t.Errorf("error %v", err)
	}
	secure, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://a/", nil)
	plain, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/", nil)
	if err := s.client(nil).CheckRedirect(plain, []*http.Request{secure}); err == nil {
		t.Error("led from https to http")
	}
}
