package gateway

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/semantic-worker/semantic/schemas"
)

// sessions are the headers by which clients name a conversation on their own, the
// first that is there first: Claude Code, Codex (its older releases with an
// underscore), OpenCode. Where one conversation has several agents, with contexts
// of their own, each names itself in the second header.
func sessions() [5][2]string {
	return [5][2]string{
		{"X-Claude-Code-Session-Id", "X-Claude-Code-Agent-Id"},
		{"Session-Id", "Thread-Id"},
		{"Session_id", "Thread_id"},
		{"X-Session-Id"},
		{"X-Session-Affinity"},
	}
}

// agentFrom is who asks: as X-Semantic-Agent says, else by the headers of known
// clients, else as the body says; empty where nobody says. Only the first is for
// us, and refused where it is no name; of the others what is no name is not there,
// and what is too long is cut.
func agentFrom(r *http.Request, body string) string {
	if agent := r.Header.Get(headerAgent); agent != "" {
		return agent
	}
	for _, names := range sessions() {
		session := clientName(r.Header.Get(names[0]))
		if session == "" {
			continue
		}
		if agent := clientName(r.Header.Get(names[1])); agent != "" {
			session += "/" + agent
		}
		return cut(session, schemas.MaxName)
	}
	return body
}

// clientName is a header's value, if it can be a name.
func clientName(value string) string {
	value = strings.TrimSpace(value)
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return ""
	}
	return value
}

// cut shortens a text to n characters.
func cut(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
