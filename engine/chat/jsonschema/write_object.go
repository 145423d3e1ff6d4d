package jsonschema

import (
	"maps"
	"slices"
	"strconv"
)

// object writes the rule of an object: its members in order, then others.
func (w *writer) object(s *nodeShape) (string, error) {
	if s.plain(typeObject) {
		return w.primitive("object"), nil
	}
	o := &objectWriter{w: w, ws: w.primitive("ws"), states: map[[2]int]string{}, most: unbounded}
	if err := o.prepare(s); err != nil {
		return "", err
	}
	body := o.from(0, 0)
	empty := s.object.min.or(0) == 0 && o.required == 0
	switch {
	case len(body) == 0 && empty:
		return `"{" ` + o.ws + ` "}"`, nil
	case len(body) == 0:
		return "", s.object.min.at.refuse("cannot be kept: of properties that are not declared only one can be counted")
	case empty:
		return `"{" ` + o.ws + ` (` + group(body...) + ` ` + o.ws + `)? "}"`, nil
	default:
		return `"{" ` + o.ws + ` ` + group(body...) + ` ` + o.ws + ` "}"`, nil
	}
}

// objectWriter writes the members of one object. Which commas and members may
// follow depends on how many members are decided, and how many of those are
// written: these are its states, some of which are rules.
type objectWriter struct {
	w       *writer
	ws      string
	members []memberText
	// rest is a member that is not declared; empty if there may be none.
	rest     string
	required int
	// least and most are the bounds of the count of members, where the members
	// do not keep them by themselves.
	least, most int
	// saturated is the count from which on no more is counted.
	saturated int
	// alone is the index up to which no required member comes before.
	alone  int
	states map[[2]int]string
}

type memberText struct {
	text     string
	required bool
}

func (o *objectWriter) prepare(s *nodeShape) error {
	for _, m := range s.members {
		if !m.node.productive {
			continue
		}
		if m.required {
			o.required++
		} else if o.required == 0 {
			o.alone = len(o.members) + 1
		}
		text := quote(encode(m.name)+":") + " " + o.ws + " " + o.w.node(m.node)
		o.members = append(o.members, memberText{text, m.required})
	}
	if s.rest != nil && s.rest.productive {
		name, err := o.w.memberName(s)
		if err != nil {
			return err
		}
		if name != "" {
			o.rest = name + ` ":" ` + o.ws + " " + o.w.node(s.rest)
		}
	}
	most, err := limits(s.object.min, s.object.max.or(unbounded))
	if err != nil {
		return err
	}
	if least := s.object.min.or(0); least > o.required {
		o.least = least
	}
	if o.rest != "" || most < len(o.members) {
		o.most = most
	}
	o.saturated = max(1, o.least)
	if o.most != unbounded {
		o.saturated = max(o.saturated, o.most)
	}
	if min(o.saturated, len(o.members))*len(o.members) > maxRules && o.saturated > 1 {
		return &LimitError{Limit: "rules", Max: maxRules}
	}
	return nil
}

// memberName writes the name of a member that is not declared.
func (w *writer) memberName(s *nodeShape) (string, error) {
	declared := slices.Collect(maps.Keys(s.object.byName))
	if s.names == nil {
		return w.nameExcept(declared), nil
	}
	var list []string
	for _, n := range s.names.shapes {
		for _, v := range n.literals {
			if v.kind == kindString {
				list = append(list, quote(encode(v.text)))
			}
		}
		if n.types&typeString == 0 {
			continue
		}
		if n.plain(typeString) {
			return w.nameExcept(declared), nil
		}
		text, err := w.string(&n.text)
		if err != nil {
			return "", err
		}
		list = append(list, text)
	}
	if len(list) > 0 && len(declared) > 0 {
		return "", s.object.names[0].at.refuse("cannot be kept beside declared properties, but for enum and const")
	}
	return group(list...), nil
}

// from lists alternatives for what follows when the first i members are decided
// and count were written; none, if that cannot be ended. At least one member is
// written in all.
func (o *objectWriter) from(i, count int) []string {
	if i == len(o.members) {
		return o.others(count)
	}
	item := o.members[i].text
	if count > 0 {
		item = `"," ` + o.ws + " " + item
	}
	next := min(count+1, o.saturated)
	full := count >= o.most
	if o.members[i].required {
		if full {
			return nil
		}
		if more := o.from(i+1, next); len(more) > 0 {
			return []string{join(item, group(more...))}
		}
		return nil
	}
	if next == count && !full {
		if more, ok := o.state(i+1, count); ok {
			return []string{join("("+item+")?", more)}
		}
		return nil
	}
	var list []string
	if !full {
		if more, ok := o.state(i+1, next); ok {
			list = append(list, join(item, more))
		}
	}
	if count == 0 {
		return append(list, o.from(i+1, 0)...)
	}
	if more, ok := o.state(i+1, count); ok {
		list = append(list, more)
	}
	return list
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + " " + b
}

// state is a rule for what follows, or its text where that is written only once.
func (o *objectWriter) state(i, count int) (string, bool) {
	key := [2]int{i, count}
	name, known := o.states[key]
	if known {
		return name, name != "dead"
	}
	list := o.from(i, count)
	text := group(list...)
	switch {
	case len(list) == 0:
		name = "dead"
	case text == "" || (o.saturated == 1 && i > o.alone):
		return text, true
	default:
		name = o.w.text("o"+strconv.Itoa(i)+"-", text)
	}
	o.states[key] = name
	return name, name != "dead"
}

// others writes the members that are not declared. Two of them may have the same
// name, so that only the first is sure to count.
func (o *objectWriter) others(count int) []string {
	missing := o.least - count
	room := less(o.most, count)
	switch {
	case missing > 1:
		return nil
	case o.rest == "" || room <= 0:
		if missing > 0 || count == 0 {
			return nil
		}
		return []string{""}
	case count == 0:
		return []string{join(o.rest, repeatedTrim(`("," `+o.ws+" "+o.rest+`)`, 0, less(room, 1)))}
	default:
		return []string{repeatedTrim(`("," `+o.ws+" "+o.rest+`)`, max(missing, 0), room)}
	}
}

func repeatedTrim(text string, low, high int) string {
	if text = repeated(text, low, high); text != "" {
		text = text[1:]
	}
	return text
}
