package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
)

// What the clients send of themselves, and who wins over whom.
func TestAgents(t *testing.T) {
	const session, agent = "0b9e2f6c-7d0f-4c0a-9c55-8a1f6c1d2e3f", "agent_01ABC"
	long := strings.Repeat("é", 300)
	for name, c := range map[string]struct {
		headers []string
		body    string
		want    string
	}{
		"nobody":                    {nil, "", ""},
		"body":                      {nil, "ann", "ann"},
		"ours":                      {[]string{"X-Semantic-Agent", "bob", "X-Claude-Code-Session-Id", session}, "ann", "bob"},
		"claude code":               {[]string{"X-Claude-Code-Session-Id", session}, "ann", session},
		"claude code's subagent":    {[]string{"x-claude-code-session-id", session, "x-claude-code-agent-id", agent}, "", session + "/" + agent},
		"subagent without session":  {[]string{"X-Claude-Code-Agent-Id", agent}, "ann", "ann"},
		"claude code before others": {[]string{"session-id", "s", "X-Claude-Code-Session-Id", session}, "", session},
		"codex":                     {[]string{"session-id", session, "thread-id", "t1"}, session, session + "/t1"},
		"codex without thread":      {[]string{"session-id", session}, "", session},
		"codex, older":              {[]string{"session_id", session}, session, session},
		"opencode":                  {[]string{"x-session-affinity", "ses_1", "X-Session-Id", "ses_1", "x-parent-session-id", "s"}, "", "ses_1"},
		"affinity only":             {[]string{"x-session-affinity", "ses_1"}, "ann", "ses_1"},
		"spaces":                    {[]string{"X-Session-Id", "  ", "x-session-affinity", " a b "}, "ann", "a b"},
		"not UTF-8":                 {[]string{"X-Session-Id", "\xff"}, "ann", "ann"},
		"control characters":        {[]string{"X-Claude-Code-Session-Id", "a\x01b", "session-id", "s"}, "ann", "s"},
		"agent with control":        {[]string{"X-Claude-Code-Session-Id", session, "X-Claude-Code-Agent-Id", "\x7f"}, "", session},
		"too long":                  {[]string{"X-Session-Id", long}, "ann", strings.Repeat("é", schemas.MaxName)},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil)
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		if got := agentFrom(r, c.body); got != c.want {
			t.Errorf("%s: agent %q, want %q", name, got, c.want)
		}
	}
}

// Whatever other clients send, the job can hold it.
func TestAgentsOfClientsAreNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil)
		for _, names := range sessions() {
			for _, name := range names {
				if name != "" && rapid.Bool().Draw(t, "has "+name) {
					r.Header[name] = []string{string(rapid.SliceOfN(rapid.Byte(), 0, 500).Draw(t, name))}
				}
			}
		}
		got := agentFrom(r, "")
		if n := utf8.RuneCountInString(got); n > schemas.MaxName || !utf8.ValidString(got) {
			t.Fatalf("agent %q of %d characters", got, n)
		}
	})
}
