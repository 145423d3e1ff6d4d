package jsonschema

// array writes the rule of an array.
func (w *writer) array(s *nodeShape) (string, error) {
	if s.plain(typeArray) {
		return w.primitive("array"), nil
	}
	most, err := limits(s.array.min, s.mostItems())
	if err != nil {
		return "", err
	}
	if s.array.unique != nil && most > 1 {
		return "", s.array.unique.refuse("cannot be kept for more than one item")
	}
	least := s.array.min.or(0)
	ws := w.primitive("ws")
	body := w.items(s, least, most, ws)
	switch {
	case body == "":
		return `"[" ` + ws + ` "]"`, nil
	case least == 0:
		return `"[" ` + ws + ` (` + body + ` ` + ws + `)? "]"`, nil
	default:
		return `"[" ` + ws + ` ` + body + ` ` + ws + ` "]"`, nil
	}
}

// items writes one item or more.
func (w *writer) items(s *nodeShape, least, most int, ws string) string {
	prefix := s.prefix[:min(len(s.prefix), most)]
	body := ""
	if most > len(prefix) {
		item := w.node(s.items)
		more := `("," ` + ws + ` ` + item + `)`
		if len(prefix) == 0 {
			return item + repeated(more, max(0, least-1), less(most, 1))
		}
		body = repeated(more, max(0, least-len(prefix)), less(most, len(prefix)))
	}
	for i := len(prefix) - 1; i >= 0; i-- {
		body = w.node(prefix[i]) + body
		if i > 0 {
			body = `"," ` + ws + ` ` + body
			if i >= least {
				body = "(" + body + ")?"
			}
			if i%deepest == 0 {
				body = w.text("a", body)
			}
			body = " " + body
		}
	}
	return body
}

// less is a count of repeats without those that are written already.
func less(n, written int) int {
	if n == unbounded {
		return n
	}
	return n - written
}

// repeated is a repeat with a space before it, or nothing.
func repeated(text string, low, high int) string {
	if high == 0 {
		return ""
	}
	if low == 1 && high == 1 {
		return " " + text
	}
	return " " + text + repeatSuffix(low, high)
}
