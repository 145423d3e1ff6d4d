package jsonschema

import "slices"

// node is a goal with its shapes: a place in the answer, and all that may be
// there. It becomes one rule.
type node struct {
	goal   []*schema
	shapes []*nodeShape
	// begun and filled say whether the shapes are being made, and are there.
	begun, filled bool
	// productive says that some finite value fulfils the goal.
	productive bool
	// reason is why it has none, where that is known at once.
	reason error
}

// nodeShape is a shape with the nodes of its children.
type nodeShape struct {
	*shape
	prefix  []*node
	items   *node // nil where there are none beyond the prefix
	members []*nodeMember
	rest    *node // nil where there are no other members
	// names is the goal of the names of other members; nil if any will do.
	names *node
}

type nodeMember struct {
	*member
	node *node
}

func newCompiler(p *parser) *compiler {
	return &compiler{
		parser:     p,
		expansions: map[*schema][]alternative{},
		expanding:  map[*schema]bool{},
		nodes:      map[string]*node{},
		empty:      map[string]bool{},
	}
}

// build makes the node of a schema, and those of everything below it.
func (c *compiler) build(s *schema) (*node, error) {
	root, err := c.node([]*schema{s})
	if err != nil {
		return nil, err
	}
	for filled := 0; filled < len(c.order); filled++ { //nolint:intrange // children are added while it runs
		if err := c.fill(c.order[filled]); err != nil {
			return nil, err
		}
	}
	c.markProductive()
	if !root.productive {
		return nil, c.explain(root)
	}
	return root, nil
}

// node finds or makes the node of a goal. It is filled later.
func (c *compiler) node(goal []*schema) (*node, error) {
	goal = slices.Clone(goal)
	for i := range goal {
		// A reference without a keyword beside it is what it refers to.
		for seen := 0; goal[i].ref != nil && goal[i].more == 0 && seen < len(c.parser.known); seen++ {
			goal[i] = goal[i].ref
		}
	}
	goal = union2(nil, goal)
	key := goalKey(goal)
	n := c.nodes[key]
	if n == nil {
		if len(c.order) >= maxGoals {
			return nil, &LimitError{Limit: "different places for values", Max: maxGoals}
		}
		n = &node{goal: goal}
		c.nodes[key] = n
		c.order = append(c.order, n)
	}
	return n, nil
}

func (c *compiler) fill(n *node) error {
	if n.filled {
		return nil
	}
	n.begun = true
	defer func() { n.filled = true }()
	list, err := c.expandAll(n.goal)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		n.reason = n.place().refuse("allows no value: what must hold together excludes each other")
	}
	for _, a := range list {
		s, err := c.merge(n.goal, a.bases, false)
		if err != nil {
			return err
		}
		if s.reason != nil {
			n.reason = s.reason
		}
		if s.types == 0 && len(s.literals) == 0 {
			continue
		}
		if !s.finite { // literals were checked against oneOf as it stands
			if err := c.checkExclusive(a); err != nil {
				return err
			}
		}
		filled, err := c.children(s)
		if err != nil {
			return err
		}
		n.shapes = append(n.shapes, filled)
	}
	return nil
}

// place is where the schema is that a goal is named after.
func (n *node) place() *value {
	if len(n.goal) == 0 {
		return &value{}
	}
	return n.goal[0].at
}

func (c *compiler) children(s *shape) (*nodeShape, error) {
	n := &nodeShape{shape: s}
	if s.types&typeArray != 0 && !s.plain(typeArray) {
		if err := c.arrayChildren(n); err != nil {
			return nil, err
		}
	}
	if s.types&typeObject != 0 && !s.plain(typeObject) {
		if err := c.objectChildren(n); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (c *compiler) arrayChildren(n *nodeShape) error {
	a := &n.array
	for i, goal := range a.prefix {
		if i >= a.max.or(unbounded) {
			return nil
		}
		child, err := c.node(goal)
		if err != nil {
			return err
		}
		n.prefix = append(n.prefix, child)
	}
	if (!a.open && a.min.or(0) <= len(a.prefix)) || a.max.or(unbounded) <= len(a.prefix) {
		return nil
	}
	var err error
	n.items, err = c.node(a.rest)
	return err
}

func (c *compiler) objectChildren(n *nodeShape) error {
	o := &n.object
	for _, m := range o.members {
		child, err := c.node(m.goal)
		if err != nil {
			return err
		}
		n.members = append(n.members, &nodeMember{member: m, node: child})
	}
	if !o.open && o.min.or(0) <= len(o.members) {
		return nil
	}
	if len(o.names) == 0 {
		var err error
		n.rest, err = c.node(o.rest)
		return err
	}
	return c.namedChildren(n)
}

// namedChildren makes members of the names that propertyNames lists; other
// propertyNames are the goal of the name of any member.
func (c *compiler) namedChildren(n *nodeShape) error {
	rest, err := c.node(n.object.rest)
	if err != nil {
		return err
	}
	names, err := c.node(n.object.names)
	if err != nil {
		return err
	}
	if names.begun && !names.filled {
		return n.object.names[0].at.refuse("cannot be kept: it refers to the object whose names it describes")
	}
	if err := c.fill(names); err != nil {
		return err
	}
	for _, s := range names.shapes {
		if !s.finite {
			n.rest, n.names = rest, names
			return nil
		}
	}
	for _, s := range names.shapes {
		for _, v := range s.literals {
			if v.kind == kindString && n.object.byName[v.text] == nil {
				m := n.object.declare(v.text, v)
				n.members = append(n.members, &nodeMember{member: m, node: rest})
			}
		}
	}
	return nil
}

// markProductive finds the nodes with finite values: from below, until nothing
// changes.
func (c *compiler) markProductive() {
	for changed := true; changed; {
		changed = false
		for _, n := range slices.Backward(c.order) {
			if !n.productive && slices.ContainsFunc(n.shapes, (*nodeShape).productive) {
				n.productive, changed = true, true
			}
		}
	}
}

func (n *nodeShape) productive() bool {
	return n.finite || n.types&^(typeArray|typeObject) != 0 ||
		(n.types&typeArray != 0 && n.array.min.or(0) <= n.mostItems()) ||
		(n.types&typeObject != 0 && n.objectProductive())
}

// mostItems is how many items an array may have: up to the first place where
// there is no value.
func (n *nodeShape) mostItems() int {
	most := n.array.max.or(unbounded)
	if n.plain(typeArray) {
		return most
	}
	for i, child := range n.prefix {
		if !child.productive {
			return min(most, i)
		}
	}
	if n.items == nil || !n.items.productive {
		return min(most, len(n.prefix))
	}
	return most
}

func (n *nodeShape) objectProductive() bool {
	possible, required := 0, 0
	for _, m := range n.members {
		if m.node.productive {
			possible++
		}
		if m.required {
			required++
			if !m.node.productive {
				return false
			}
		}
	}
	if n.rest != nil && n.rest.productive && (n.names == nil || n.names.productive) {
		possible = unbounded
	}
	return required <= n.object.max.or(unbounded) && (n.plain(typeObject) || n.object.min.or(0) <= possible)
}

// explain finds the deepest reason why a node has no value.
func (c *compiler) explain(n *node) error {
	seen := map[*node]bool{}
	for !seen[n] {
		seen[n] = true
		next := n.culprit(seen)
		if next == nil {
			break
		}
		n = next
	}
	if n.reason != nil {
		return n.reason
	}
	return n.place().refuse("allows no value that has an end")
}

// culprit is a child without which there is no value.
func (n *node) culprit(seen map[*node]bool) *node {
	for _, s := range n.shapes {
		for _, m := range s.members {
			if m.required && !m.node.productive && !seen[m.node] {
				return m.node
			}
		}
		for i, child := range append(slices.Clone(s.prefix), s.items) {
			if child != nil && !child.productive && i < s.array.min.or(0) && !seen[child] {
				return child
			}
		}
	}
	return nil
}
