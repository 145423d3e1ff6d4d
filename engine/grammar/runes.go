package grammar

import (
	"slices"
	"unicode/utf8"
)

// runeRange is the characters from lo to hi, both included.
type runeRange struct{ lo, hi rune }

const (
	surrogateMin = 0xD800
	surrogateMax = 0xDFFF
)

func isSurrogate(r rune) bool { return r >= surrogateMin && r <= surrogateMax }

// normalize sorts and joins the ranges, or what they leave out, without the
// surrogates, which are no characters.
func normalize(ranges []runeRange, negate bool) []runeRange {
	slices.SortFunc(ranges, func(a, b runeRange) int { return int(a.lo) - int(b.lo) })
	var joined []runeRange
	for _, r := range ranges {
		if n := len(joined); n > 0 && r.lo <= joined[n-1].hi+1 {
			joined[n-1].hi = max(joined[n-1].hi, r.hi)
			continue
		}
		joined = append(joined, r)
	}
	if negate {
		joined = complement(joined)
	}
	var out []runeRange
	for _, r := range joined {
		if r.lo < surrogateMin {
			out = append(out, runeRange{r.lo, min(r.hi, surrogateMin-1)})
		}
		if r.hi > surrogateMax {
			out = append(out, runeRange{max(r.lo, surrogateMax+1), r.hi})
		}
	}
	return out
}

func complement(ranges []runeRange) []runeRange {
	var out []runeRange
	next := rune(0)
	for _, r := range ranges {
		if r.lo > next {
			out = append(out, runeRange{next, r.lo - 1})
		}
		next = r.hi + 1
	}
	if next <= utf8.MaxRune {
		out = append(out, runeRange{next, utf8.MaxRune})
	}
	return out
}

// byteRange is the bytes from lo to hi, both included.
type byteRange struct{ lo, hi byte }

// byteSequences appends the UTF-8 forms of a range without surrogates, as
// sequences of byte ranges. Of all sequences of disjoint ranges, two either begin
// with the same byte range or with disjoint ones, and so on for their rests.
func byteSequences(dst [][]byteRange, r runeRange) [][]byteRange {
	for _, last := range []rune{0x7F, 0x7FF, 0xFFFF} {
		if r.lo <= last && r.hi > last {
			dst = byteSequences(dst, runeRange{r.lo, last})
			return byteSequences(dst, runeRange{last + 1, r.hi})
		}
	}
	// Split where the bytes behind the first difference do not run from their
	// least to their greatest value.
	for i := 1; i < utf8.RuneLen(r.lo); i++ {
		low := rune(1)<<(6*i) - 1
		if r.lo&^low == r.hi&^low {
			continue
		}
		if r.lo&low != 0 {
			dst = byteSequences(dst, runeRange{r.lo, r.lo | low})
			return byteSequences(dst, runeRange{(r.lo | low) + 1, r.hi})
		}
		if r.hi&low != low {
			dst = byteSequences(dst, runeRange{r.lo, r.hi&^low - 1})
			return byteSequences(dst, runeRange{r.hi &^ low, r.hi})
		}
	}
	var lo, hi [utf8.UTFMax]byte
	n := utf8.EncodeRune(lo[:], r.lo)
	utf8.EncodeRune(hi[:], r.hi)
	seq := make([]byteRange, n)
	for i := range seq {
		seq[i] = byteRange{lo[i], hi[i]}
	}
	return append(dst, seq)
}
