package jsonschema

import (
	"math/big"
	"unicode/utf8"
)

// admits says whether a value is valid by all schemas. It is a plain validator,
// for the values of enum and const; those are few and small.
func (c *compiler) admits(goal []*schema, v *value) (bool, error) {
	for _, s := range goal {
		if ok, err := c.admitsOne(s, v); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (c *compiler) admitsOne(s *schema, v *value) (bool, error) {
	if s.never {
		return false, nil
	}
	if _, err := c.expand(s); err != nil { // refuses a schema that is itself its part
		return false, err
	}
	parts := s.allOf
	if s.ref != nil {
		parts = append([]*schema{s.ref}, parts...)
	}
	if ok, err := c.admits(parts, v); !ok || err != nil {
		return false, err
	}
	for _, u := range s.unions {
		valid := 0
		for _, branch := range u.branches {
			ok, err := c.admitsOne(branch, v)
			if err != nil {
				return false, err
			}
			if ok {
				valid++
			}
		}
		if valid == 0 || (u.exactlyOne && valid > 1) {
			return false, nil
		}
	}
	return c.admitsBase(s, v)
}

// admitsBase checks the plain keywords.
func (c *compiler) admitsBase(s *schema, v *value) (bool, error) {
	types, err := v.types()
	if err != nil {
		return false, err
	}
	if s.hasTypes && s.types&types == 0 {
		return false, nil
	}
	for _, e := range s.enums {
		if !e.keys[v.key()] {
			return false, nil
		}
	}
	switch v.kind {
	case kindNumber:
		return s.admitsNumber(v)
	case kindString:
		return s.admitsString(v.text), nil
	case kindArray:
		return c.admitsArray(s, v)
	case kindObject:
		return c.admitsObject(s, v)
	default:
		return true, nil
	}
}

func (v *value) types() (typeSet, error) {
	switch v.kind {
	case kindNull:
		return typeNull, nil
	case kindBool:
		return typeBool, nil
	case kindString:
		return typeString, nil
	case kindArray:
		return typeArray, nil
	case kindObject:
		return typeObject, nil
	default:
		r, err := v.rational()
		if err != nil {
			return 0, err
		}
		if r.IsInt() {
			return typeInteger, nil
		}
		return typeFraction, nil
	}
}

func (s *schema) admitsNumber(v *value) (bool, error) {
	r, err := v.rational()
	if err != nil {
		return false, err
	}
	for _, b := range s.bounds {
		cmp := r.Cmp(b.value)
		if b.upper {
			cmp = -cmp
		}
		if cmp < 0 || (b.open && cmp == 0) {
			return false, nil
		}
	}
	return s.multipleOf == nil || new(big.Rat).Quo(r, s.multipleOf.of).IsInt(), nil
}

func (s *schema) admitsString(text string) bool {
	return s.admitsCount(s.minLength, s.maxLength, utf8.RuneCountInString(text)) &&
		(s.pattern == nil || s.pattern.matches(text)) && (s.format == nil || s.format.matches(text))
}

func (s *schema) admitsCount(low, high *count, n int) bool {
	return (low == nil || n >= low.n) && (high == nil || n <= high.n)
}

func (c *compiler) admitsArray(s *schema, v *value) (bool, error) {
	if !s.admitsCount(s.minItems, s.maxItems, len(v.items)) {
		return false, nil
	}
	seen := map[string]bool{}
	for i, item := range v.items {
		child := s.items
		if i < len(s.prefix) {
			child = s.prefix[i]
		}
		if child != nil {
			if ok, err := c.admitsOne(child, item); !ok || err != nil {
				return false, err
			}
		}
		if s.uniqueItems != nil && seen[item.key()] {
			return false, nil
		}
		seen[item.key()] = true
	}
	return true, nil
}

func (c *compiler) admitsObject(s *schema, v *value) (bool, error) {
	if !s.admitsCount(s.minProps, s.maxPro, len(v.names)) {
		return false, nil
	}
	missing := map[string]bool{}
	for _, name := range s.required {
		missing[name.text] = true
	}
	for i, name := range v.names {
		delete(missing, name)
		child := s.byName[name]
		if child == nil {
			child = s.additional
		}
		if child != nil {
			if ok, err := c.admitsOne(child, v.items[i]); !ok || err != nil {
				return false, err
			}
		}
		if ok, err := c.admitsName(s, name); !ok || err != nil {
			return false, err
		}
	}
	return len(missing) == 0, nil
}

// admitsName says whether an object may have a member of a name.
func (c *compiler) admitsName(s *schema, name string) (bool, error) {
	if s.propertyNames == nil {
		return true, nil
	}
	return c.admitsOne(s.propertyNames, &value{kind: kindString, text: name})
}
