package jsonschema

import (
	"fmt"
	"math/big"
	"slices"
)

// shape is what an alternative leaves for each type of value: the keywords of
// its schemas, merged.
type shape struct {
	bases []*schema
	types typeSet
	// finite says that only the literals are allowed.
	finite   bool
	literals []*value

	number numberShape
	text   textShape
	array  arrayShape
	object objectShape

	// reason is why a type is missing that was asked for, if nothing is left.
	reason error
}

type numberShape struct {
	low, high *bound
	multiple  *multiple
}

type textShape struct {
	minLength, maxLength *count
	// patterns and formats must all match.
	patterns []*pattern
}

type arrayShape struct {
	min, max *count
	unique   *value
	// prefix are the goals of the first items, rest that of all others. open says
	// that the schema speaks of others.
	prefix [][]*schema
	rest   []*schema
	open   bool
}

type objectShape struct {
	min, max *count
	members  []*member
	byName   map[string]*member
	// rest is the goal of other members, names that of their names. open says
	// that the schema speaks of others.
	rest  []*schema
	names []*schema
	open  bool
}

type member struct {
	name     string
	goal     []*schema
	required bool
	// at is where the member was first spoken of.
	at *value
}

// merge makes the shape of schemas that must all hold. goal are the schemas
// that they are expanded from; literals must be valid by those. With wide, the
// shape allows all that the schemas' own keywords do: what they leave open is not
// closed by what is usually meant, and the goal does not count.
func (c *compiler) merge(goal, bases []*schema, wide bool) (*shape, error) {
	s := &shape{bases: bases, types: typesOf(bases)}
	if s.types == 0 {
		s.reason = bases[len(bases)-1].at.refuse("allows no value: the types exclude each other")
	}
	for _, b := range bases {
		if len(b.enums) > 0 {
			return s, c.mergeLiterals(s, goal, b.enums[0], wide)
		}
	}
	if implied := impliedTypes(bases); !wide && implied != 0 {
		s.types &= implied
	}
	s.mergeNumbers()
	s.mergeText()
	s.mergeArrays()
	return s, c.mergeObjects(s)
}

// impliedTypes are the types that schemas without type speak of.
func impliedTypes(bases []*schema) typeSet {
	var implied typeSet
	for _, b := range bases {
		if b.hasTypes {
			return 0
		}
		implied |= b.implied
	}
	return implied
}

func (c *compiler) mergeLiterals(s *shape, goal []*schema, e *enumeration, wide bool) error {
	s.finite, s.types = true, 0
	seen := map[string]bool{}
	for _, v := range e.values {
		if seen[v.key()] {
			continue
		}
		seen[v.key()] = true
		ok, err := c.admitsLiteral(goal, s.bases, v, wide)
		if err != nil {
			return err
		}
		if ok {
			s.literals = append(s.literals, v)
		}
	}
	if len(s.literals) == 0 {
		s.reason = e.at.refuse("allows no value: the keywords that hold with it exclude all of it")
	}
	return nil
}

func (c *compiler) admitsLiteral(goal, bases []*schema, v *value, wide bool) (bool, error) {
	if !wide {
		return c.admits(goal, v)
	}
	for _, b := range bases {
		if ok, err := c.admitsBase(b, v); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// drop removes types that have no value, and keeps why.
func (s *shape) drop(types typeSet, at *value, format string, args ...any) {
	if s.types&types == 0 {
		return
	}
	s.types &^= types
	s.reason = at.refuse("allows no value: %s", fmt.Sprintf(format, args...))
}

// higher and lower keep the stricter of two counts.
func higher(a, b *count) *count {
	if a == nil || (b != nil && b.n > a.n) {
		return b
	}
	return a
}

func lower(a, b *count) *count {
	if a == nil || (b != nil && b.n < a.n) {
		return b
	}
	return a
}

func (c *count) or(absent int) int {
	if c == nil {
		return absent
	}
	return c.n
}

func (s *shape) mergeNumbers() {
	n := &s.number
	for _, b := range s.bases {
		for i := range b.bounds {
			n.narrow(&b.bounds[i])
		}
		if m := b.multipleOf; m != nil {
			if n.multiple != nil {
				m = &multiple{at: m.at, of: leastCommonMultiple(n.multiple.of, m.of)}
			}
			n.multiple = m
		}
	}
	if n.low == nil || n.high == nil {
		return
	}
	switch cmp := n.low.value.Cmp(n.high.value); {
	case cmp > 0, cmp == 0 && (n.low.open || n.high.open):
		s.drop(typeNumber, n.high.at, "no number is within the range")
	default:
		s.mergeMultiples()
	}
}

// mergeMultiples drops the numbers of which no multiple is in the range.
func (s *shape) mergeMultiples() {
	n := &s.number
	step := big.NewRat(1, 1)
	if n.multiple != nil {
		step = leastCommonMultiple(step, n.multiple.of)
	}
	if n.multiple != nil {
		if first, last := n.multiples(n.multiple.of); first.Cmp(last) > 0 {
			s.drop(typeNumber, n.multiple.at, "no multiple is within the range")
		}
	}
	if first, last := n.multiples(step); first.Cmp(last) > 0 {
		s.drop(typeInteger, n.high.at, "no integer is within the range")
	}
}

func (n *numberShape) narrow(b *bound) {
	side := &n.low
	if b.upper {
		side = &n.high
	}
	if *side == nil {
		*side = b
		return
	}
	cmp := b.value.Cmp((*side).value)
	if b.upper {
		cmp = -cmp
	}
	if cmp > 0 || (cmp == 0 && b.open) {
		*side = b
	}
}

// multiples are the factors of the first and the last multiple of step in the
// range, which must have both bounds.
func (n *numberShape) multiples(step *big.Rat) (first, last *big.Int) {
	first = quotient(n.low.value, step, true)
	if n.low.open && isMultiple(n.low.value, step) {
		first.Add(first, big.NewInt(1))
	}
	last = quotient(n.high.value, step, false)
	if n.high.open && isMultiple(n.high.value, step) {
		last.Sub(last, big.NewInt(1))
	}
	return first, last
}

func isMultiple(value, step *big.Rat) bool { return new(big.Rat).Quo(value, step).IsInt() }

// quotient is value/step, rounded up or down.
func quotient(value, step *big.Rat, up bool) *big.Int {
	q := new(big.Rat).Quo(value, step)
	floor := new(big.Int).Div(q.Num(), q.Denom()) // Euclidean: down, for a positive divisor
	if up && !q.IsInt() {
		floor.Add(floor, big.NewInt(1))
	}
	return floor
}

// leastCommonMultiple of two positive fractions: lcm(a/b, c/d) of reduced
// fractions is lcm(a, c)/gcd(b, d).
func leastCommonMultiple(x, y *big.Rat) *big.Rat {
	gcd := new(big.Int).GCD(nil, nil, x.Num(), y.Num())
	num := new(big.Int).Mul(x.Num(), new(big.Int).Quo(y.Num(), gcd))
	return new(big.Rat).SetFrac(num, new(big.Int).GCD(nil, nil, x.Denom(), y.Denom()))
}

func (s *shape) mergeText() {
	t := &s.text
	for _, b := range s.bases {
		t.minLength, t.maxLength = higher(t.minLength, b.minLength), lower(t.maxLength, b.maxLength)
		for _, p := range []*pattern{b.pattern, b.format} {
			if p != nil && !slices.ContainsFunc(t.patterns, func(o *pattern) bool { return o.source == p.source }) {
				t.patterns = append(t.patterns, p)
			}
		}
	}
	low, high := t.minLength.or(0), t.maxLength.or(unbounded)
	if low > high {
		s.drop(typeString, t.minLength.at, "no length is within the bounds")
	}
	for _, p := range t.patterns {
		if l, h := p.text.length(); l > h || l > high || h < low {
			s.drop(typeString, p.at, "no string of a length within the bounds matches")
		}
	}
}

func (s *shape) mergeArrays() {
	a := &s.array
	width, closed := 0, false
	for _, b := range s.bases {
		a.min, a.max = higher(a.min, b.minItems), lower(a.max, b.maxItems)
		if b.uniqueItems != nil {
			a.unique = b.uniqueItems
		}
		width = max(width, len(b.prefix))
		if b.items != nil {
			a.rest = append(a.rest, b.items)
			a.open = true
		}
		closed = closed || len(b.prefix) > 0
	}
	a.open = a.open || !closed
	for i := range width {
		var goal []*schema
		for _, b := range s.bases {
			if i < len(b.prefix) {
				goal = append(goal, b.prefix[i])
			} else if b.items != nil {
				goal = append(goal, b.items)
			}
		}
		a.prefix = append(a.prefix, goal)
	}
	if a.min.or(0) > a.max.or(unbounded) {
		s.drop(typeArray, a.min.at, "no count of items is within the bounds")
	}
}

func (c *compiler) mergeObjects(s *shape) error {
	o := &s.object
	o.byName = map[string]*member{}
	for _, b := range s.bases {
		o.min, o.max = higher(o.min, b.minProps), lower(o.max, b.maxPro)
		if b.additional != nil {
			o.rest = append(o.rest, b.additional)
			o.open = true
		}
		if b.propertyNames != nil {
			o.names = append(o.names, b.propertyNames)
		}
		for _, p := range b.properties {
			o.declare(p.name, p.schema.at)
		}
	}
	for _, b := range s.bases {
		for _, name := range b.required {
			o.declare(name.text, name).required = true
		}
	}
	o.open = o.open || len(o.members) == 0
	if o.min.or(0) > o.max.or(unbounded) {
		s.drop(typeObject, o.min.at, "no count of properties is within the bounds")
	}
	return c.fillMembers(s)
}

// declare finds or adds a member.
func (o *objectShape) declare(name string, at *value) *member {
	m := o.byName[name]
	if m == nil {
		m = &member{name: name, at: at}
		o.members = append(o.members, m)
		o.byName[name] = m
	}
	return m
}

// fillMembers finds the goals of the members, and leaves out those whose name is
// not allowed.
func (c *compiler) fillMembers(s *shape) error {
	o := &s.object
	kept := o.members[:0]
	for _, m := range o.members {
		ok := true
		for _, b := range s.bases {
			if child := b.byName[m.name]; child != nil {
				m.goal = append(m.goal, child)
			} else if b.additional != nil {
				m.goal = append(m.goal, b.additional)
			}
			allowed, err := c.admitsName(b, m.name)
			if err != nil {
				return err
			}
			ok = ok && allowed
		}
		if ok {
			kept = append(kept, m)
		} else if m.required {
			s.drop(typeObject, m.at, "propertyNames excludes the required property %q", m.name)
		}
	}
	o.members = kept
	return nil
}

// plain says that a shape has no keyword that limits values of a type.
func (s *shape) plain(t typeSet) bool {
	switch t {
	case typeNumber:
		return s.number.low == nil && s.number.high == nil && s.number.multiple == nil
	case typeString:
		return s.text.minLength.or(0) == 0 && s.text.maxLength == nil && len(s.text.patterns) == 0
	case typeArray:
		a := &s.array
		return a.min.or(0) == 0 && a.max == nil && a.unique == nil && len(a.prefix) == 0 && allTrue(a.rest)
	case typeObject:
		o := &s.object
		return o.min.or(0) == 0 && o.max == nil && len(o.members) == 0 && allTrue(o.rest) && len(o.names) == 0
	default:
		return true
	}
}

// allTrue says that the schemas are true, or empty.
func allTrue(goal []*schema) bool {
	return !slices.ContainsFunc(goal, func(s *schema) bool { return s.never || len(s.at.items) > 0 })
}
