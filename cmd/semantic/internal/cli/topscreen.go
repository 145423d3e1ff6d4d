package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// topScreen is what `top` shows on a terminal. Its fields belong to the program's
// loop; sample runs beside it, one at a time.
type topScreen struct {
	interval time.Duration
	sample   func() topSnapshot
	// health is nil while the broker is there; safe for concurrent use.
	health func() error

	width, height int
	// shown is the last snapshot that could be read, lost since when none could.
	shown topSnapshot
	lost  time.Time
	why   string
	any   bool
}

// Messages of the loop.
type (
	// sampled brings a snapshot.
	sampled topSnapshot
	// nextLook is due an interval after it.
	nextLook struct{}
)

// Init begins to look.
func (s *topScreen) Init() tea.Cmd { return s.look }

func (s *topScreen) look() tea.Msg { return sampled(s.sample()) }

// Update takes what happened.
func (s *topScreen) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case tea.KeyPressMsg:
		switch m.String() {
		case "q", "Q", "esc", "ctrl+c", "ctrl+d":
			return s, tea.Quit
		}
	case tea.WindowSizeMsg:
		s.width, s.height = m.Width, m.Height
	case sampled:
		s.take(topSnapshot(m))
		return s, tea.Tick(s.interval, func(time.Time) tea.Msg { return nextLook{} })
	case nextLook:
		return s, s.look
	}
	return s, nil
}

// take keeps what was read before while nothing can be.
func (s *topScreen) take(snap topSnapshot) {
	if snap.Error == "" {
		s.shown, s.any, s.lost = snap, true, time.Time{}
		return
	}
	if s.lost.IsZero() {
		s.lost = snap.Time
	}
	s.why = snap.Error
}

// View is the picture: it fits into the terminal, and says what was cut.
func (s *topScreen) View() tea.View {
	v := tea.NewView("")
	v.AltScreen = true
	if s.width == 0 {
		return v // not known yet
	}
	lines := []string{"semantic top    q quits", ""}
	now := time.Now()
	if !s.lost.IsZero() {
		lines[1] = "The broker is away, for " + ago(now.Sub(s.lost)) + ": " + plain(s.why)
		lines = append(lines, "")
	}
	if s.any {
		at := s.shown.Time
		if s.lost.IsZero() {
			at = now
		}
		lines = append(lines, topLines(s.shown, at, s.width)...)
	} else if s.lost.IsZero() {
		lines = append(lines, "Looking …")
	}
	if over := len(lines) - s.height; over > 0 && s.height > 1 {
		lines = append(lines[:s.height-1], fmt.Sprintf("… and %d more lines", over+1))
	}
	for i, line := range lines {
		lines[i] = cut(line, s.width)
	}
	v.SetContent(strings.Join(lines, "\n"))
	return v
}

// cut ends a line where the terminal does, with a mark.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:max(width-1, 0)]) + "…"
}
