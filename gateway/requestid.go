package gateway

import (
	"crypto/rand"
	"encoding/hex"
)

const (
	headerRequestID = "X-Request-Id"
	maxRequestID    = 128
)

// requestIDFrom takes the client's id over if it is harmless in a log line, a
// NATS header and a response header, and draws a new one otherwise.
func requestIDFrom(given string) string {
	if validRequestID(given) {
		return given
	}
	var b [16]byte
	// crypto/rand.Read never fails: it ends the process where there is no randomness.
	_, _ = rand.Read(b[:])
	return "req_" + hex.EncodeToString(b[:])
}

func validRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}
