package grammar

import (
	"fmt"
	"strings"
)

// emptiness finds which rules match the empty text, and left recursion on the
// way: to know whether a rule may be empty, exactly those rules are asked that
// may begin where it begins.
type emptiness struct {
	rules []*rule
	state []emptyState
	// open are the rules being asked, outermost first.
	open []int
	// cycle is the first left recursion found.
	cycle []int
}

type emptyState uint8

const (
	emptyUnknown emptyState = iota
	emptyAsked
	emptyNo
	emptyYes
)

// checkEmptiness returns for each rule whether it matches the empty text.
func checkEmptiness(src string, rules []*rule) ([]bool, error) {
	e := &emptiness{rules: rules, state: make([]emptyState, len(rules))}
	nullable := make([]bool, len(rules))
	for i := range rules {
		nullable[i] = e.rule(i)
		if e.cycle != nil {
			return nil, e.leftRecursion(src)
		}
	}
	return nullable, nil
}

func (e *emptiness) leftRecursion(src string) error {
	names := make([]string, 0, len(e.cycle)+1)
	for _, i := range e.cycle {
		names = append(names, e.rules[i].name)
	}
	first := e.rules[e.cycle[0]]
	names = append(names, first.name)
	if len(names) > 10 {
		names = append(append(names[:5:5], "…"), names[len(names)-4:]...)
	}
	return syntaxErrorAt(src, first.at,
		fmt.Sprintf("rule %s is left-recursive: %s", first.name, strings.Join(names, " → ")))
}

func (e *emptiness) rule(i int) bool {
	switch e.state[i] {
	case emptyYes:
		return true
	case emptyNo:
		return false
	case emptyAsked:
		if e.cycle == nil {
			from := len(e.open) - 1
			for e.open[from] != i {
				from--
			}
			e.cycle = append(e.cycle, e.open[from:]...)
		}
		return false
	case emptyUnknown:
	}
	e.state[i] = emptyAsked
	e.open = append(e.open, i)
	yes := e.expr(e.rules[i].body)
	e.open = e.open[:len(e.open)-1]
	e.state[i] = emptyNo
	if yes {
		e.state[i] = emptyYes
	}
	return yes
}

func (e *emptiness) expr(x *expr) bool {
	switch x.kind {
	case exprRef:
		return e.rule(x.rule)
	case exprSeq:
		for _, sub := range x.subs {
			if !e.expr(sub) {
				return false
			}
		}
		return true
	case exprAlt:
		empty := false
		for _, sub := range x.subs {
			// All are asked: each may be left-recursive.
			empty = e.expr(sub) || empty
		}
		return empty
	case exprRepeat:
		return e.expr(x.subs[0]) || x.min == 0
	case exprText, exprSet:
	}
	return false
}

// endings finds rules that no text can ever end, by spreading from what can end
// to what thereby can.
type endings struct {
	uses  map[int][]*expr
	rules map[*expr]int
	ready []*expr
}

// checkEndings refuses rules that can never end. Without them, every text that is
// allowed can be continued to a whole one.
func checkEndings(src string, rules []*rule) error {
	e := &endings{uses: map[int][]*expr{}, rules: map[*expr]int{}}
	for i, r := range rules {
		// A rule that is only another one's name shares no node with it.
		e.rules[r.body] = i
		e.add(r.body, nil)
	}
	for len(e.ready) > 0 {
		x := e.ready[len(e.ready)-1]
		e.ready = e.ready[:len(e.ready)-1]
		e.spread(x)
	}
	for _, r := range rules {
		if !r.body.ends {
			return syntaxErrorAt(src, r.at, fmt.Sprintf("rule %s can never end", r.name))
		}
	}
	return nil
}

func (e *endings) add(x, parent *expr) {
	x.parent, x.missing = parent, len(x.subs)
	for _, sub := range x.subs {
		e.add(sub, x)
	}
	switch x.kind {
	case exprRef:
		e.uses[x.rule] = append(e.uses[x.rule], x)
		return
	case exprAlt:
		x.missing = 1
	case exprRepeat:
		x.missing = min(x.min, 1)
	case exprText, exprSet, exprSeq:
	}
	if x.missing == 0 {
		e.end(x)
	}
}

func (e *endings) end(x *expr) {
	if !x.ends {
		x.ends = true
		e.ready = append(e.ready, x)
	}
}

func (e *endings) spread(x *expr) {
	if x.parent == nil {
		for _, use := range e.uses[e.rules[x]] {
			e.end(use)
		}
		return
	}
	if x.parent.missing--; x.parent.missing <= 0 {
		e.end(x.parent)
	}
}
