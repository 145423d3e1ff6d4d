package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// table is text in columns, for people.
type table struct {
	// head are the columns' names.
	head []string
	rows [][]string
	// spare are the columns that go first where the terminal is narrow, by their
	// names, the least needed first.
	spare []string
	// indent stands before every line.
	indent string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// columnGap is between two columns.
const columnGap = "  "

// lines are the table's, without trailing spaces; 0 is a terminal as wide as need
// be. What does not fit even without the spare columns is as wide as it is: the
// terminal wraps it, and nothing is hidden.
func (t *table) lines(width int) []string {
	rows := append([][]string{t.head}, t.rows...)
	keep := make([]bool, len(t.head))
	widths := make([]int, len(t.head))
	for i := range t.head {
		keep[i] = true
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	total := func() int {
		n := len(t.indent) - len(columnGap)
		for i, w := range widths {
			if keep[i] {
				n += w + len(columnGap)
			}
		}
		return n
	}
	for _, name := range t.spare {
		if width == 0 || total() <= width {
			break
		}
		keep[slices.Index(t.head, name)] = false
	}
	lines := make([]string, 0, len(rows))
	for _, row := range rows {
		var b strings.Builder
		b.WriteString(t.indent)
		for i, cell := range row {
			if keep[i] {
				b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)) + columnGap)
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// printLines writes lines.
func (a *app) printLines(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	return a.printf("%s\n", strings.Join(lines, "\n"))
}

// width is how wide the terminal of the output is; 0 where it is none.
func (a *app) width() int {
	f, ok := a.Out.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// plain makes a stranger's text fit into a line of a terminal: what could control
// it, or break the line, becomes a question mark.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, text)
}

// ago is a time span in few letters: 350ms, 4.2s, 3m12s, 5h02m, 3d4h.
func ago(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	hours := int(d.Hours())
	return fmt.Sprintf("%dd%dh", hours/24, hours%24)
}
