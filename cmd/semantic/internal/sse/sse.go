// Package sse reads server-sent events.
package sse

import (
	"bufio"
	"io"
	"strings"
)

// Scanner reads one event after another. It is for one goroutine.
type Scanner struct {
	// Alive, where it is set, is called at every line, those of keep-alives too.
	Alive func()
	// ID is the id of the last event that had one, Data the data of this event.
	ID, Data string

	lines *bufio.Scanner
}

// NewScanner reads events of at most so many bytes a line.
func NewScanner(r io.Reader, most int) *Scanner {
	s := &Scanner{lines: bufio.NewScanner(r)}
	s.lines.Buffer(make([]byte, 0, 4096), most)
	return s
}

// Next reads the next event that has data; false at the end. What broke off
// before the empty line behind it is no event.
func (s *Scanner) Next() bool {
	s.Data = ""
	id := s.ID
	for s.lines.Scan() {
		if s.Alive != nil {
			s.Alive()
		}
		line := s.lines.Text()
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimPrefix(value, " "); {
		case name == "id":
			id = value
		case name == "data":
			s.Data = value
		case line == "" && s.Data != "":
			s.ID = id
			return true
		}
	}
	return false
}

// Err is why the events ended; nil where the reader did.
func (s *Scanner) Err() error { return s.lines.Err() } //nolint:wrapcheck // the reader's own
