package chat

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// strftime formats as Python does, in the C locale. "%-d" drops the padding.
func strftime(t time.Time, format string) string {
	layouts := map[byte]string{
		'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'c': "Mon Jan _2 15:04:05 2006", 'd': "02", 'D': "01/02/06", 'e': "_2",
		'F': "2006-01-02", 'h': "Jan", 'H': "15", 'I': "03", 'm': "01", 'M': "04", 'p': "PM", 'R': "15:04", 'S': "05",
		'T': "15:04:05", 'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST",
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		unpadded := format[i] == '-' && i+1 < len(format)
		if unpadded {
			i++
		}
		var text string
		switch code := format[i]; code {
		case '%':
			text = "%"
		case 'n':
			text = "\n"
		case 't':
			text = "\t"
		case 'f':
			text = fmt.Sprintf("%06d", t.Nanosecond()/1000)
		case 'j':
			text = fmt.Sprintf("%03d", t.YearDay())
		case 's':
			text = strconv.FormatInt(t.Unix(), 10)
		case 'u':
			text = strconv.Itoa((int(t.Weekday())+6)%7 + 1)
		case 'w':
			text = strconv.Itoa(int(t.Weekday()))
		default:
			layout, known := layouts[code]
			if !known {
				// As C libraries do with what they do not know.
				text = "%" + string(code)
				break
			}
			text = t.Format(layout)
		}
		if unpadded {
			text = strings.TrimLeft(text, "0 ")
			if text == "" {
				text = "0"
			}
		}
		b.WriteString(text)
	}
	return b.String()
}
