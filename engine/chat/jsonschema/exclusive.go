package jsonschema

// checkExclusive refuses an alternative in which more than one branch of a
// oneOf may hold.
func (c *compiler) checkExclusive(a alternative) error {
	for _, p := range a.picks {
		if !p.union.exactlyOne {
			continue
		}
		for i, other := range p.union.branches {
			if i == p.branch {
				continue
			}
			none, err := c.excluded(a.bases, other)
			if err != nil {
				return err
			}
			if !none {
				return p.union.at.refuse("cannot be kept: the branches %d and %d may both hold; they must exclude each other "+
					"by type, const, enum or a required property, or be anyOf", p.branch, i)
			}
		}
	}
	return nil
}

// exclusiveDepth is how deep differences are looked for.
const exclusiveDepth = 4

// excluded says that no value is valid by the plain keywords of bases and by
// other.
func (c *compiler) excluded(bases []*schema, other *schema) (bool, error) {
	list, err := c.expand(other)
	if err != nil {
		return false, err
	}
	return c.allEmpty(bases, list, exclusiveDepth)
}

func (c *compiler) allEmpty(bases []*schema, list []alternative, depth int) (bool, error) {
	for _, a := range list {
		joined := union2(bases, a.bases)
		key := goalKey(joined)
		none, known := c.empty[key]
		if !known {
			var err error
			if none, err = c.baseEmpty(joined, depth); err != nil {
				return false, err
			}
			if none || depth == exclusiveDepth {
				c.empty[key] = none
			}
		}
		if !none {
			return false, nil
		}
	}
	return true, nil
}

// baseEmpty says that it is proven that no value is valid by the plain keywords
// of the schemas. Keywords that are not looked at only make it say false.
func (c *compiler) baseEmpty(bases []*schema, depth int) (bool, error) {
	if c.steps++; c.steps > maxSteps {
		return false, &LimitError{Limit: "steps to see whether branches of oneOf exclude each other", Max: maxSteps}
	}
	s, err := c.merge(nil, bases, true)
	switch {
	case err != nil:
		return false, err
	case s.finite:
		return len(s.literals) == 0, nil
	case s.types&^(typeArray|typeObject) != 0:
		return false, nil
	}
	if s.types&typeObject != 0 {
		if none, err := c.memberEmpty(s, depth); !none || err != nil {
			return false, err
		}
	}
	if s.types&typeArray != 0 {
		return c.itemEmpty(s, depth)
	}
	return true, nil
}

// memberEmpty says that a required member has no value.
func (c *compiler) memberEmpty(s *shape, depth int) (bool, error) {
	for _, m := range s.object.members {
		if !m.required {
			continue
		}
		if none, err := c.goalEmpty(m.goal, depth); none || err != nil {
			return none, err
		}
	}
	return false, nil
}

// itemEmpty says that an item that must be there has no value.
func (c *compiler) itemEmpty(s *shape, depth int) (bool, error) {
	a := &s.array
	for i, goal := range a.prefix {
		if i >= a.min.or(0) {
			return false, nil
		}
		if none, err := c.goalEmpty(goal, depth); none || err != nil {
			return none, err
		}
	}
	if a.min.or(0) > len(a.prefix) {
		return c.goalEmpty(a.rest, depth)
	}
	return false, nil
}

func (c *compiler) goalEmpty(goal []*schema, depth int) (bool, error) {
	if depth == 0 {
		return false, nil
	}
	list, err := c.expandAll(goal)
	if err != nil {
		return false, err
	}
	return c.allEmpty(nil, list, depth-1)
}
