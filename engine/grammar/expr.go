package grammar

// unbounded is the max of a repeat without one.
const unbounded = -1

type exprKind uint8

const (
	exprText exprKind = iota
	exprSet
	exprRef
	exprSeq
	exprAlt
	exprRepeat
)

// expr is a node of a rule's syntax tree.
type expr struct {
	kind     exprKind
	text     string      // exprText
	set      []runeRange // exprSet
	rule     int         // exprRef
	subs     []*expr     // exprSeq, exprAlt; one for exprRepeat
	min, max int         // exprRepeat

	// Of the check whether all rules can end: see endings.
	parent  *expr
	missing int
	ends    bool
}

// rule is a named rule; body is nil until it is defined.
type rule struct {
	name string
	body *expr
	// at is the byte where its definition begins, or its first use if there is
	// no definition.
	at int
}

func newRepeat(sub *expr, least, most int) *expr {
	switch {
	case most == 0:
		return &expr{kind: exprSeq}
	case least == 1 && most == 1:
		return sub
	default:
		return &expr{kind: exprRepeat, subs: []*expr{sub}, min: least, max: most}
	}
}
