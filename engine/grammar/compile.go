package grammar

import (
	"encoding/binary"
	"slices"
)

// program is a compiled grammar: a recursive transition network whose terminals
// are bytes. Instructions are named by their index.
type program struct {
	instructions []instruction
	arrows       []arrow
	targets      []int32
	loops        []loop
	// entries are where rules (first) and then the bodies of loops begin.
	entries []int32
	// nullable says which rules match the empty text.
	nullable []bool
	root     int32
	// classOf partitions the bytes into classes that no arrow tells apart;
	// sample has one byte of each.
	classOf [256]uint8
	sample  []byte
}

type opcode uint8

const (
	// opReturn ends a rule or the body of a loop.
	opReturn opcode = iota
	// opAccept ends the text.
	opAccept
	// opByte takes a byte by one of arrows[lo:hi].
	opByte
	// opFork goes on at all of targets[lo:hi].
	opFork
	// opCall matches rule arg and goes on at next.
	opCall
	// opLoop matches loops[arg].
	opLoop
)

type instruction struct {
	op     opcode
	lo, hi int32
	arg    int32
	next   int32
}

// The instructions that every program has.
const (
	pcReturn int32 = iota
	pcAccept
)

// arrow leads to another instruction by one byte of a range.
type arrow struct {
	byteRange
	next int32
}

// loop is a repeat with bounds. How often it went round is kept with the place to
// which its body returns, so it takes the same room whatever the bounds are.
type loop struct {
	// min is 0 if the body matches the empty text; max may be unbounded.
	min, max int32
	// entry is its body's, next where to go on.
	entry, next int32
}

// compiler builds a program back to front: each piece is compiled for what comes
// behind it, so that equal ends are shared.
type compiler struct {
	program
	bytes map[string]int32
	key   []byte
	// full says that the program is too large.
	full bool
}

func compile(rules []*rule, root int, nullable []bool) (*program, error) {
	c := &compiler{bytes: map[string]int32{}}
	c.nullable, c.root = nullable, int32(root)
	c.emit(instruction{op: opReturn})
	c.emit(instruction{op: opAccept})
	c.entries = make([]int32, len(rules))
	for i, r := range rules {
		c.entries[i] = c.expr(r.body, pcReturn)
	}
	if c.full {
		return nil, &LimitError{What: "instructions", Limit: MaxInstructions}
	}
	c.classify()
	return &c.program, nil
}

func (c *compiler) emit(i instruction) int32 {
	if len(c.instructions)+len(c.arrows) >= MaxInstructions {
		c.full = true
		return pcReturn
	}
	c.instructions = append(c.instructions, i)
	return int32(len(c.instructions) - 1)
}

func (c *compiler) expr(x *expr, next int32) int32 {
	if c.full {
		return next
	}
	switch x.kind {
	case exprText:
		for i := len(x.text) - 1; i >= 0; i-- {
			next = c.take([]arrow{{byteRange{x.text[i], x.text[i]}, next}})
		}
		return next
	case exprSet:
		var seqs [][]byteRange
		for _, r := range x.set {
			seqs = byteSequences(seqs, r)
		}
		return c.set(seqs, next)
	case exprRef:
		return c.emit(instruction{op: opCall, arg: int32(x.rule), next: next})
	case exprSeq:
		for _, sub := range slices.Backward(x.subs) {
			next = c.expr(sub, next)
		}
		return next
	case exprAlt:
		targets := make([]int32, len(x.subs))
		for i, sub := range x.subs {
			targets[i] = c.expr(sub, next)
		}
		return c.fork(targets)
	case exprRepeat:
		return c.repeat(x, next)
	default:
		panic("grammar: unknown kind of expression")
	}
}

func (c *compiler) repeat(x *expr, next int32) int32 {
	sub := x.subs[0]
	switch {
	case x.min == 0 && x.max == 1:
		return c.fork([]int32{c.expr(sub, next), next})
	case x.min <= 1 && x.max == unbounded:
		again := c.emit(instruction{op: opFork})
		body := c.expr(sub, again)
		c.instructions[again] = c.forkTo([]int32{body, next})
		if x.min == 1 {
			return body
		}
		return again
	}
	l := loop{min: int32(x.min), max: int32(x.max), next: next, entry: int32(len(c.entries))}
	if c.mayBeEmpty(sub) {
		l.min = 0
	}
	c.entries = append(c.entries, pcReturn)
	c.loops = append(c.loops, l)
	pc := c.emit(instruction{op: opLoop, arg: int32(len(c.loops) - 1)})
	c.entries[l.entry] = c.expr(sub, pcReturn)
	return pc
}

func (c *compiler) mayBeEmpty(x *expr) bool {
	switch x.kind {
	case exprRef:
		return c.nullable[x.rule]
	case exprSeq:
		return !slices.ContainsFunc(x.subs, func(sub *expr) bool { return !c.mayBeEmpty(sub) })
	case exprAlt:
		return slices.ContainsFunc(x.subs, c.mayBeEmpty)
	case exprRepeat:
		return x.min == 0 || c.mayBeEmpty(x.subs[0])
	case exprText, exprSet:
	}
	return false
}

func (c *compiler) fork(targets []int32) int32 {
	if len(targets) == 1 {
		return targets[0]
	}
	return c.emit(c.forkTo(targets))
}

func (c *compiler) forkTo(targets []int32) instruction {
	lo := int32(len(c.targets))
	slices.Sort(targets)
	c.targets = append(c.targets, slices.Compact(targets)...)
	return instruction{op: opFork, lo: lo, hi: int32(len(c.targets))}
}

// set takes one of the sequences, which are those of disjoint ranges of
// characters in order.
func (c *compiler) set(seqs [][]byteRange, next int32) int32 {
	var arrows []arrow
	for len(seqs) > 0 {
		first, n := seqs[0][0], 1
		for n < len(seqs) && seqs[n][0] == first {
			n++
		}
		a := arrow{first, next}
		if len(seqs[0]) > 1 {
			rest := make([][]byteRange, n)
			for i := range rest {
				rest[i] = seqs[i][1:]
			}
			a.next = c.set(rest, next)
		}
		seqs = seqs[n:]
		if k := len(arrows); k > 0 && arrows[k-1].next == a.next && arrows[k-1].hi+1 == a.lo {
			arrows[k-1].hi = a.hi
			continue
		}
		arrows = append(arrows, a)
	}
	return c.take(arrows)
}

// take is the instruction with these arrows, an earlier one if there is one.
func (c *compiler) take(arrows []arrow) int32 {
	c.key = c.key[:0]
	for _, a := range arrows {
		c.key = append(c.key, a.lo, a.hi)
		c.key = binary.NativeEndian.AppendUint32(c.key, uint32(a.next))
	}
	if pc, ok := c.bytes[string(c.key)]; ok {
		return pc
	}
	lo := int32(len(c.arrows))
	c.arrows = append(c.arrows, arrows...)
	pc := c.emit(instruction{op: opByte, lo: lo, hi: int32(len(c.arrows))})
	c.bytes[string(c.key)] = pc
	return pc
}

// classify fills classOf and sample.
func (c *compiler) classify() {
	var begins [257]bool
	begins[0] = true
	for _, a := range c.arrows {
		begins[a.lo], begins[int(a.hi)+1] = true, true
	}
	for b := range 256 {
		if begins[b] {
			c.sample = append(c.sample, byte(b))
		}
		c.classOf[b] = uint8(len(c.sample) - 1)
	}
}
