package jsonschema

import (
	"slices"
	"strconv"
	"strings"
)

// alternative is one way to fulfil a goal: plain schemas whose own keywords must
// all hold, and the branches that were taken to get there.
type alternative struct {
	// bases are schemas of which only the keywords other than $ref, allOf, anyOf
	// and oneOf count, because those are expanded.
	bases []*schema
	picks []pick
}

type pick struct {
	union  *union
	branch int
}

// compiler builds the goals of one schema.
type compiler struct {
	parser     *parser
	expansions map[*schema][]alternative
	// expanding are the schemas whose expansion has begun and not ended.
	expanding map[*schema]bool
	nodes     map[string]*node
	order     []*node
	// empty are the sets of schemas that are known to have no value.
	empty map[string]bool
	steps int
}

// expand lists the alternatives of one schema.
func (c *compiler) expand(s *schema) ([]alternative, error) {
	if known, ok := c.expansions[s]; ok {
		return known, nil
	}
	if c.expanding[s] {
		return nil, s.at.refuse("refers to itself without an array or object between")
	}
	c.expanding[s] = true
	defer delete(c.expanding, s)

	list, err := c.expandParts(s)
	if err != nil {
		return nil, err
	}
	c.expansions[s] = list
	return list, nil
}

func (c *compiler) expandParts(s *schema) ([]alternative, error) {
	if s.never {
		return nil, nil
	}
	list := []alternative{{bases: []*schema{s}}}
	parts := s.allOf
	if s.ref != nil {
		parts = append([]*schema{s.ref}, parts...)
	}
	for _, part := range parts {
		others, err := c.expand(part)
		if err != nil {
			return nil, err
		}
		if list, err = product(list, others); err != nil {
			return nil, err
		}
	}
	for _, u := range s.unions {
		others, err := c.expandUnion(u)
		if err != nil {
			return nil, err
		}
		if list, err = product(list, others); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (c *compiler) expandUnion(u *union) ([]alternative, error) {
	var list []alternative
	for i, branch := range u.branches {
		others, err := c.expand(branch)
		if err != nil {
			return nil, err
		}
		for _, a := range others {
			list = append(list, alternative{bases: a.bases, picks: append([]pick{{u, i}}, a.picks...)})
		}
	}
	return list, nil
}

// expandAll lists the alternatives of schemas that must all hold.
func (c *compiler) expandAll(goal []*schema) ([]alternative, error) {
	list := []alternative{{}}
	for _, s := range goal {
		others, err := c.expand(s)
		if err != nil {
			return nil, err
		}
		if list, err = product(list, others); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// product joins each with each, but for pairs of which it is plain that they
// exclude each other.
func product(a, b []alternative) ([]alternative, error) {
	var list []alternative
	seen := map[string]bool{}
	for _, x := range a {
		for _, y := range b {
			if contradict(x.picks, y.picks) {
				continue
			}
			joined := alternative{bases: union2(x.bases, y.bases), picks: union2(x.picks, y.picks)}
			key := goalKey(joined.bases)
			if seen[key] || typesOf(joined.bases) == 0 {
				continue
			}
			seen[key] = true
			if list = append(list, joined); len(list) > maxAlternatives {
				return nil, &LimitError{Limit: "combinations of anyOf, oneOf and allOf in one place", Max: maxAlternatives}
			}
		}
	}
	return list, nil
}

// contradict says that two alternatives took different branches of one union.
// Where a schema is met twice, A and A is A: the same branch twice is enough.
func contradict(a, b []pick) bool {
	for _, x := range a {
		for _, y := range b {
			if x.union == y.union && x.branch != y.branch {
				return true
			}
		}
	}
	return false
}

func union2[T comparable](a, b []T) []T {
	joined := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(a, x) {
			joined = append(joined, x)
		}
	}
	return joined
}

// typesOf are the types that the type keywords leave.
func typesOf(bases []*schema) typeSet {
	types := anyType
	for _, b := range bases {
		if b.hasTypes {
			types &= b.types
		}
	}
	return types
}

// goalKey is equal for equal sets of schemas.
func goalKey(goal []*schema) string {
	ids := make([]int, len(goal))
	for i, s := range goal {
		ids[i] = s.id
	}
	slices.Sort(ids)
	var b strings.Builder
	for _, id := range slices.Compact(ids) {
		b.WriteString(strconv.Itoa(id) + ",")
	}
	return b.String()
}
