package models

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf/gguftest"
)

// hubServer is a server with the routes of Hugging Face and one repository.
func hubServer(t *testing.T, files map[string][]byte) *server {
	t.Helper()
	srv := newServer(t)
	var entries []string
	for name, data := range files {
		srv.add("/o/r/resolve/main/"+name, data)
		entries = append(entries, fmt.Sprintf(`{"type":"file","path":%q,"size":134,"lfs":{"oid":%q,"size":%d}}`, name, sum(data), len(data)))
	}
	entries = append(entries,
		`{"type":"directory","path":"Q4_K_M.gguf"}`, `{"type":"file","path":"README.md","size":3}`,
		`{"type":"file","path":"mmproj-Q4_K_M.gguf","size":3}`,
	)
	srv.add("/api/models/o/r/tree/main", []byte("["+strings.Join(entries, ",")+"]"))
	return srv
}

func TestPullHuggingFace(t *testing.T) {
	small, large, medium := gguftest.Model("small"), gguftest.Model("large one"), gguftest.Model("medium size")
	one, two := gguftest.Part(0, 2), gguftest.Part(1, 2)
	files := map[string][]byte{
		"m-Q8_0.gguf": large, "m-Q4_K_M.gguf": medium, "m-iq2_m.gguf": small,
		"F16/m-F16-00001-of-00002.gguf": one, "F16/m-F16-00002-of-00002.gguf": two,
	}
	for ref, test := range map[string]struct {
		name string
		data [][]byte
	}{
		"hf:o/r":                               {"m-Q4_K_M", [][]byte{medium}},
		"hf:o/r:Q8_0":                          {"m-Q8_0", [][]byte{large}},
		"hf:o/r:iq2_M":                         {"m-iq2_m", [][]byte{small}},
		"hf:o/r:f16":                           {"m-F16", [][]byte{one, two}},
		"hf:o/r/m-Q8_0.gguf":                   {"m-Q8_0", [][]byte{large}},
		"hf:o/r/F16/m-F16-00002-of-00002.gguf": {"m-F16", [][]byte{one, two}},
	} {
		t.Run(ref, func(t *testing.T) {
			s, srv := newStore(t), hubServer(t, files)
			for _, f := range srv.files {
				f.token = "hf_secret"
			}
			m, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: srv.URL + "/", Token: "hf_secret"})
			if err != nil {
				t.Fatal(err)
			}
			if m.Name != test.name || m.Source != ref {
				t.Errorf("%+v", m)
			}
			whole(t, s, test.name, test.data...)
			for _, r := range srv.log() {
				if !strings.HasSuffix(r, "Bearer hf_secret") {
					t.Errorf("request %q without the token", r)
				}
			}
		})
	}
}

func TestHuggingFaceHash(t *testing.T) {
	data := gguftest.Model("x")
	t.Run("of the listing", func(t *testing.T) {
		s, srv := newStore(t), hubServer(t, map[string][]byte{"m-Q8_0.gguf": data})
		altered := append([]byte{}, data...)
		altered[len(altered)-40] ^= 1
		srv.files["/o/r/resolve/main/m-Q8_0.gguf"].data = altered
		_, err := s.Pull(t.Context(), "hf:o/r", PullOptions{Endpoint: srv.URL})
		if !errors.Is(err, ErrAltered) {
			t.Errorf("error %v", err)
		}
		nothing(t, s)
		srv.files["/o/r/resolve/main/m-Q8_0.gguf"].data = data[:len(data)-32]
		if _, err = s.Pull(t.Context(), "hf:o/r", PullOptions{Endpoint: srv.URL}); !errors.Is(err, ErrAltered) {
			t.Errorf("error %v", err)
		}
		nothing(t, s)
		// One that was named beside it, before anything is fetched.
		srv.log()
		if _, err = s.Pull(t.Context(), "hf:o/r", PullOptions{Endpoint: srv.URL, SHA256: sum(nil)}); !errors.Is(err, ErrAltered) {
			t.Errorf("error %v", err)
		}
		if l := srv.log(); len(l) != 1 {
			t.Errorf("requests %q", l)
		}
	})
	t.Run("of the redirect", func(t *testing.T) {
		// As Hugging Face serves large files: elsewhere, where the token must not go.
		s, srv := newStore(t), newServer(t)
		srv.add("/cdn", data)
		f := srv.add("/o/r/resolve/main/m.gguf", nil)
		f.redirect, f.token = srv.elsewhere()+"/cdn", "hf_secret"
		f.header.Set("X-Linked-Etag", `"`+sum([]byte("other"))+`"`)
		o := PullOptions{Endpoint: srv.URL, Token: "hf_secret"}
		if _, err := s.Pull(t.Context(), "hf:o/r/m.gguf", o); !errors.Is(err, ErrAltered) {
			t.Errorf("error %v", err)
		}
		nothing(t, s)
		f.header.Set("X-Linked-Etag", `"`+sum(data)+`"`)
		if _, err := s.Pull(t.Context(), "hf:o/r/m.gguf", o); err != nil {
			t.Fatal(err)
		}
		whole(t, s, "m", data)
		for _, r := range srv.log() {
			if strings.HasPrefix(r, "/cdn") && strings.Contains(r, "secret") {
				t.Errorf("another host was shown the token: %q", r)
			}
		}
		// Another hash than the server tells is refused before the fetch.
		o.Name, o.SHA256 = "n", sum(nil)
		if _, err := s.Pull(t.Context(), "hf:o/r/m.gguf", o); !errors.Is(err, ErrAltered) {
			t.Errorf("error %v", err)
		}
	})
}

func TestHuggingFaceStatus(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		token  string
		want   string
	}{
		"no such or private": {http.StatusUnauthorized, "", "set HF_TOKEN"},
		"bad token":          {http.StatusUnauthorized, "hf_secret", "not accepted"},
		"gated":              {http.StatusForbidden, "hf_secret", "accept its terms"},
		"missing":            {http.StatusNotFound, "", "upper and lower case"},
	} {
		for _, ref := range []string{"hf:o/r", "hf:o/r/m.gguf"} {
			t.Run(name+" "+ref, func(t *testing.T) {
				s, srv := newStore(t), hubServer(t, map[string][]byte{"m.gguf": gguftest.Model("x")})
				for _, f := range srv.files {
					f.status = test.status
				}
				_, err := s.Pull(t.Context(), ref, PullOptions{Endpoint: srv.URL, Token: test.token})
				var refused *HTTPError
				if !errors.As(err, &refused) || !strings.Contains(refused.Hint(), test.want) || strings.Contains(err.Error(), "hf_secret") {
					t.Errorf("error %v", err)
				}
				nothing(t, s)
			})
		}
	}
}

func TestHuggingFacePages(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	data := gguftest.Model("x")
	srv.add("/o/r/resolve/main/m.gguf", data)
	first := srv.add("/api/models/o/r/tree/main?recursive=1", []byte(`[{"type":"file","path":"README.md"}]`))
	first.header.Set("Link", `</api/models/o/r/tree/main?page=2>; rel="next"`)
	second := srv.add("/api/models/o/r/tree/main?page=2", fmt.Appendf(nil, `[{"type":"file","path":"m.gguf","size":%d}]`, len(data)))
	second.header.Set("Link", `<http://192.0.2.1/elsewhere>; rel="next", <x>; rel="prev"`)
	if _, err := s.Pull(t.Context(), "hf:o/r", PullOptions{Endpoint: srv.URL}); err != nil {
		t.Fatal(err)
	}
	whole(t, s, "m", data)
	// One that leads to itself.
	second.header.Set("Link", `</api/models/o/r/tree/main?page=2>; rel="next"`)
	var ref *RefError
	if _, err := s.Pull(t.Context(), "hf:o/r", PullOptions{Endpoint: srv.URL}); !errors.As(err, &ref) ||
		!strings.Contains(err.Error(), "does not end") {
		t.Errorf("error %v", err)
	}
	second.header.Del("Link")
	second.data = []byte("<html>")
	_, err := s.Pull(t.Context(), "hf:o/r", PullOptions{Endpoint: srv.URL})
	if err == nil || !strings.Contains(err.Error(), "the server's answer") {
		t.Errorf("error %v", err)
	}
}

func TestRefused(t *testing.T) {
	model := gguftest.Model("x")
	s, srv := newStore(t), hubServer(t, map[string][]byte{
		"a-Q5_0.gguf": model, "b-Q5_0.gguf": model, "c-Q2_K-00001-of-00002.gguf": gguftest.Part(0, 2),
	})
	file := write(t, t.TempDir()+"/here.gguf", model)
	for name, test := range map[string]struct {
		ref  string
		o    PullOptions
		want string
	}{
		"no owner":           {"hf:r", PullOptions{}, "OWNER/REPO"},
		"empty quantisation": {"hf:o/r:", PullOptions{}, "after the colon"},
		"no GGUF file":       {"hf:o/r/README.md", PullOptions{}, "not a .gguf"},
		"up":                 {"hf:o/../r/x.gguf", PullOptions{}, "not a name"},
		"a query":            {"hf:o/r?x=y", PullOptions{}, "not a name"},
		"bad endpoint":       {"hf:o/r", PullOptions{Endpoint: "nowhere"}, "HF_ENDPOINT"},
		"ambiguous":          {"hf:o/r:Q5_0", PullOptions{}, "2 files fit"},
		"none fits":          {"hf:o/r", PullOptions{}, "no file fits"},
		"hash of a set":      {"hf:o/r/c-Q2_K-00001-of-00002.gguf", PullOptions{SHA256: sum(nil)}, "split set"},
		"one missing":        {"hf:o/r:Q2_K", PullOptions{}, "00002-of-00002.gguf is missing"},
		"bad hash":           {srv.URL + "/x.gguf", PullOptions{SHA256: "abc"}, "not a SHA-256"},
		"from elsewhere":     {srv.URL + "/x.gguf", PullOptions{From: file}, "--from"},
		"a file":             {file, PullOptions{}, "semantic model add"},
		"unknown name":       {"gpt-9", PullOptions{}, "smollm2-135m-instruct"},
		"bad address":        {"http://", PullOptions{}, "cannot be understood"},
		"hash of default":    {"", PullOptions{SHA256: sum(nil)}, "Leave it out"},
		"name of default":    {"", PullOptions{Name: "other"}, "Leave it out"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.o.Endpoint == "" {
				test.o.Endpoint = srv.URL
			}
			_, err := s.Pull(t.Context(), test.ref, test.o)
			var ref *RefError
			if !errors.As(err, &ref) || ref.Hint() == "" || !strings.Contains(err.Error()+"\n"+ref.Hint(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			nothing(t, s)
		})
	}
	var name *NameError
	if _, err := s.Pull(t.Context(), srv.URL+"/x.gguf", PullOptions{Name: "../x"}); !errors.As(err, &name) {
		t.Errorf("error %v", err)
	}
}
