package grammar

import "slices"

const hashSeed uint32 = 2166136261

// mix adds a number to a hash.
func mix(h uint32, v int32) uint32 {
	h = (h ^ uint32(v)) * 0x85EBCA6B
	return h ^ h>>15
}

// index finds numbered things by their hash: an open hash table of numbers.
type index struct {
	slots []indexSlot
	used  int
}

type indexSlot struct {
	hash uint32
	// id is one more than the number; 0 is a free slot.
	id int32
}

// find is the number with that hash for which same holds, or -1.
func (x *index) find(h uint32, same func(int32) bool) int32 {
	if x.used == 0 {
		return -1
	}
	mask := uint32(len(x.slots) - 1)
	for i := h & mask; x.slots[i].id != 0; i = (i + 1) & mask {
		if s := x.slots[i]; s.hash == h && same(s.id-1) {
			return s.id - 1
		}
	}
	return -1
}

func (x *index) add(h uint32, number int32) {
	if 4*(x.used+1) > 3*len(x.slots) {
		old := x.slots
		x.slots = make([]indexSlot, max(64, 2*len(old)))
		for _, s := range old {
			if s.id != 0 {
				x.put(s)
			}
		}
	}
	x.put(indexSlot{h, number + 1})
	x.used++
}

func (x *index) put(s indexSlot) {
	mask := uint32(len(x.slots) - 1)
	i := s.hash & mask
	for x.slots[i].id != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = s
}

func appendZeros(s []int32, n int) []int32 {
	if cap(s)-len(s) < n {
		s = slices.Grow(s, max(n, len(s)))
	}
	s = s[:len(s)+n]
	clear(s[len(s)-n:])
	return s
}
