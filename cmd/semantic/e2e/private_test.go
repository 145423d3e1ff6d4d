package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// private is what no log of any process of this suite may show: what users write
// and get, and what proves who they are. Whatever this process sends with
// http.DefaultClient is added by itself.
var private secrets

type secrets struct {
	mu    sync.Mutex
	texts []string
}

// leastPrivate is how long a text must be, in bytes, to be told from the words that
// logs have anyway.
const leastPrivate = 20

func (s *secrets) add(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range texts {
		if text = strings.TrimSpace(text); len(text) >= leastPrivate && !slices.Contains(s.texts, text) {
			s.texts = append(s.texts, text)
		}
	}
}

// file adds what a file has: a token, or keys, one a line.
func (s *secrets) file(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.add(strings.Fields(string(text))...)
}

// arguments adds what the files that a command line names have.
func (s *secrets) arguments(t *testing.T, args []string) {
	t.Helper()
	for i, arg := range args[:max(len(args)-1, 0)] {
		if arg == "--api-key-file" || arg == "--nats-token-file" {
			s.file(t, args[i+1])
		}
	}
}

// check wants nothing private in a log.
func (s *secrets) check(t *testing.T, log string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.texts {
		escaped, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{text, strings.Trim(string(escaped), `"`)} {
			before, _, found := strings.Cut(log, form)
			if found {
				line := before[strings.LastIndexByte(before, '\n')+1:]
				t.Errorf("a log shows %q, after %q", text, line)
				break
			}
		}
	}
}

// privateTransport adds what goes through it.
type privateTransport struct{ http.RoundTripper }

func (p privateTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if key := r.Header.Get("Authorization"); key != "" {
		private.add(strings.TrimPrefix(key, "Bearer "))
	}
	if r.Body != nil && r.Body != http.NoBody {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		var decoded any
		if json.Unmarshal(body, &decoded) == nil {
			private.said(decoded)
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	response, err := p.RoundTripper.RoundTrip(r)
	if err == nil {
		private.add(response.Header.Get("X-Semantic-Owner-Token"))
	}
	return response, err
}

// CloseIdleConnections implements what http.Client looks for.
func (p privateTransport) CloseIdleConnections() {
	p.RoundTripper.(*http.Transport).CloseIdleConnections()
}

// said adds the texts that a request has where users write.
func (s *secrets) said(value any) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			s.said(item)
		}
	case map[string]any:
		for key, item := range v {
			switch text, isText := item.(string); {
			case !isText:
				s.said(item)
			case slices.Contains([]string{"content", "text", "prompt", "arguments", "description"}, key):
				s.add(text)
			}
		}
	}
}
