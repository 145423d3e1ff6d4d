package jsonschema

import (
	"slices"
	"strings"
)

// conditions writes a string that must match more than one expression, or whose
// length is not a matter of one repeat: as an automaton, a rule for a state.
func (w *writer) conditions(t *textShape, low, high int) (string, error) {
	var list []condition
	for _, p := range t.patterns {
		for _, part := range p.parts {
			list = append(list, part.condition)
		}
	}
	at := t.patterns[len(t.patterns)-1].at
	d, ok := newDFA(list, low, high)
	switch {
	case !ok && len(list) > 1:
		return "", at.refuse("cannot be kept with what else must hold: too many cases")
	case !ok:
		bound := t.maxLength
		if bound == nil {
			bound = t.minLength
		}
		return "", bound.at.refuse("cannot be kept beside this pattern or format: too many cases")
	case len(d.to) == 0:
		return "", at.refuse("allows no value: no string matches all that must hold")
	}
	a := &automatonWriter{w: w, dfa: d, edges: make([][]dfaEdge, len(d.to)), sources: make([]int, len(d.to)), names: map[int]string{}}
	return join(`"\""`, a.write()) + ` "\""`, nil
}

type automatonWriter struct {
	*dfa
	w *writer
	// edges are where each state leads to, and by which characters.
	edges [][]dfaEdge
	// sources counts the states that lead to a state.
	sources []int
	names   map[int]string
	queue   []int
}

// write makes the rules of all states but those that are written where they are
// reached, and returns the name of the first.
func (a *automatonWriter) write() string {
	for s := range a.to {
		a.edges[s] = a.edgesOf(s)
		for _, e := range a.edges[s] {
			if e.to != s {
				a.sources[e.to]++
			}
		}
	}
	first := a.name(0)
	for len(a.queue) > 0 {
		s := a.queue[0]
		a.queue = a.queue[1:]
		a.w.rule(a.names[s], a.state(s, 0))
	}
	return first
}

// name is the rule of a state; nothing, where nothing may follow.
func (a *automatonWriter) name(s int) string {
	if len(a.edges[s]) == 0 {
		return ""
	}
	name, ok := a.names[s]
	if !ok {
		name = a.w.fresh("p")
		a.names[s] = name
		a.queue = append(a.queue, s)
	}
	return name
}

type dfaEdge struct {
	to  int
	set runeSet
}

func (a *automatonWriter) edgesOf(s int) []dfaEdge {
	var list []dfaEdge
	for c, t := range a.to[s] {
		if t < 0 {
			continue
		}
		i := slices.IndexFunc(list, func(e dfaEdge) bool { return e.to == t })
		if i < 0 {
			i = len(list)
			list = append(list, dfaEdge{to: t})
		}
		list[i].set = append(list[i].set, a.classes[c]...)
	}
	for i := range list {
		list[i].set = list[i].set.normal()
	}
	return list
}

// state writes what may follow in a state.
func (a *automatonWriter) state(s, depth int) string {
	loop := ""
	var list []string
	for _, e := range a.edges[s] {
		if e.to == s {
			loop = a.w.class(e.set) + "*"
			continue
		}
		var next string
		if e.to != 0 && a.sources[e.to] == 1 && depth < deepest {
			next = a.state(e.to, depth+1)
		} else {
			next = a.name(e.to)
		}
		list = append(list, join(a.w.class(e.set), next))
	}
	if a.accept[s] {
		list = append(list, "")
	}
	return strings.TrimSpace(join(loop, group(list...)))
}
