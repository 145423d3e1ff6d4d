package gateway

import "net/http"

// sseWriter writes server-sent events to one client. It belongs to the
// request's handler; a write that fails, or blocks for longer than the write
// timeout, means that the client is gone, and nothing more can be sent.
type sseWriter struct {
	w         http.ResponseWriter
	conn      *http.ResponseController
	tracked   *tracked
	committed bool
	buf       []byte
}

func newSSEWriter(w http.ResponseWriter, t *tracked) *sseWriter {
	return &sseWriter{w: w, conn: http.NewResponseController(w), tracked: t}
}

// begin sends the status and the headers, if they were not sent: after it
// errors travel inside the stream.
func (s *sseWriter) begin() error {
	if s.committed {
		return nil
	}
	return s.send()
}

func (s *sseWriter) commit() {
	if s.committed {
		return
	}
	s.committed = true
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	// Proxies (nginx) would otherwise collect tokens before passing them on.
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
}

// data adds one event; nothing is sent before flush. The payload must not
// contain line breaks (JSON that encoding/json wrote has none).
func (s *sseWriter) data(id string, payload []byte) {
	if id != "" {
		s.buf = append(s.buf, "id: "...)
		s.buf = append(s.buf, id...)
		s.buf = append(s.buf, '\n')
	}
	s.buf = append(s.buf, "data: "...)
	s.buf = append(s.buf, payload...)
	s.buf = append(s.buf, "\n\n"...)
}

// comment adds a line that clients ignore.
func (s *sseWriter) comment(text string) {
	s.buf = append(s.buf, ": "...)
	s.buf = append(s.buf, text...)
	s.buf = append(s.buf, "\n\n"...)
}

// flush sends what was added, if anything was.
func (s *sseWriter) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	return s.send()
}

// send writes what is there, the head first.
func (s *sseWriter) send() error {
	s.commit()
	s.tracked.armWrite()
	defer s.tracked.disarmWrite()
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	if err != nil {
		return &clientGoneError{cause: err}
	}
	if err := s.conn.Flush(); err != nil {
		return &clientGoneError{cause: err}
	}
	return nil
}

// clientGoneError: the client closed its connection, or did not read for the
// length of the write timeout.
type clientGoneError struct {
	cause error
	// mayRead: no write has failed; what looks like a client that left may be one
	// that closed its sending side.
	mayRead bool
}

func (e *clientGoneError) Error() string { return "client gone: " + e.cause.Error() }
func (e *clientGoneError) Unwrap() error { return e.cause }
