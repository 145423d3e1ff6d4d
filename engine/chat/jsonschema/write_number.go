package jsonschema

import (
	"math/big"
	"strconv"
	"strings"
)

const (
	// maxDigits bounds the digits of a bound, before and after the point.
	maxDigits = 40
	// freeDigits are the digits of a number, before and after the point, where the
	// schema asks for no more.
	freeDigits = 16
	// maxMultiples bounds the multiples that are written out one by one.
	maxMultiples = 1000
)

// number writes the rule of an integer, or of any number.
func (w *writer) number(n *numberShape, types typeSet) (string, error) {
	for _, b := range []*bound{n.low, n.high} {
		if b == nil {
			continue
		}
		if digits, _ := b.value.FloatPrec(); digits > maxDigits || len(b.value.FloatString(0)) > maxDigits {
			return "", b.at.refuse("cannot be kept: more than %d digits", maxDigits)
		}
	}
	m := n.multiple
	if types&typeFraction == 0 || (m != nil && m.of.IsInt()) {
		return w.integer(n)
	}
	if m == nil {
		if n.low == nil && n.high == nil {
			return w.primitive("number"), nil
		}
		return n.decimals(freeDigits)
	}
	if digits, ok := powerOfTen(new(big.Rat).Inv(m.of)); ok {
		return n.decimals(digits)
	}
	return n.enumerate(m.of)
}

func (w *writer) integer(n *numberShape) (string, error) {
	step := big.NewRat(1, 1)
	if n.multiple != nil {
		step = leastCommonMultiple(step, n.multiple.of)
	}
	zeros, ok := powerOfTen(step)
	if !ok {
		return n.enumerate(step)
	}
	if n.low == nil && n.high == nil && zeros == 0 {
		return w.primitive("integer"), nil
	}
	first, last := n.bounded().multiples(step)
	suffix := ""
	if zeros > 0 {
		suffix = " " + quote(strings.Repeat("0", zeros))
	}
	text := group(integers(first, last, suffix)...)
	if text == "" {
		return "", n.at().refuse("allows no value: no integer is within the range")
	}
	return text, nil
}

// at is a keyword of the shape.
func (n *numberShape) at() *value {
	switch {
	case n.multiple != nil:
		return n.multiple.at
	case n.high != nil:
		return n.high.at
	case n.low != nil:
		return n.low.at
	default:
		return &value{}
	}
}

// bounded gives the shape a bound where it has none, so that numbers end: one
// digit more than what is asked for, and no less than the free digits.
func (n *numberShape) bounded() *numberShape {
	digits := freeDigits
	for _, b := range []*bound{n.low, n.high} {
		if b != nil {
			digits = max(digits, len(b.value.FloatString(0))+1)
		}
	}
	if n.multiple != nil {
		digits = max(digits, len(n.multiple.of.FloatString(0))+1)
	}
	far := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil))
	b := &numberShape{low: n.low, high: n.high, multiple: n.multiple}
	if b.low == nil {
		b.low = &bound{value: new(big.Rat).Neg(far), open: true}
	}
	if b.high == nil {
		b.high = &bound{value: far, upper: true, open: true}
	}
	return b
}

// powerOfTen says which power of ten, from 0 up, a number is.
func powerOfTen(r *big.Rat) (int, bool) {
	if !r.IsInt() {
		return 0, false
	}
	text := r.Num().String()
	zeros := len(text) - 1
	return zeros, zeros <= maxDigits && text == "1"+strings.Repeat("0", zeros)
}

// enumerate writes out the multiples in the range.
func (n *numberShape) enumerate(step *big.Rat) (string, error) {
	at := n.at()
	if n.low == nil || n.high == nil {
		return "", at.refuse("cannot be kept without minimum and maximum, but for powers of ten")
	}
	first, last := n.multiples(step)
	if new(big.Int).Sub(last, first).Cmp(big.NewInt(maxMultiples)) >= 0 {
		return "", at.refuse("cannot be kept: the range has more than %d multiples", maxMultiples)
	}
	var list []string
	for factor := first; factor.Cmp(last) <= 0; factor = new(big.Int).Add(factor, big.NewInt(1)) {
		product := new(big.Rat).Mul(new(big.Rat).SetInt(factor), step)
		digits, _ := product.FloatPrec()
		list = append(list, quote(product.FloatString(digits)))
	}
	if len(list) == 0 {
		return "", at.refuse("allows no value: no multiple is within the range")
	}
	return group(list...), nil
}

// integers lists alternatives for the integers from first to last, each of which
// but 0 is followed by suffix.
func integers(first, last *big.Int, suffix string) []string {
	var list []string
	one := big.NewInt(1)
	if first.Sign() < 0 {
		low := one
		if last.Sign() < 0 {
			low = new(big.Int).Neg(last)
		}
		list = append(list, `"-" `+group(naturals(low, new(big.Int).Neg(first))...)+suffix)
	}
	if first.Sign() <= 0 && last.Sign() >= 0 {
		list = append(list, `"0"`)
	}
	if last.Sign() > 0 {
		low := one
		if first.Sign() > 0 {
			low = first
		}
		if low.Cmp(last) <= 0 {
			list = append(list, group(naturals(low, last)...)+suffix)
		}
	}
	return list
}

// naturals lists alternatives for the numbers from first to last, which are not
// negative. Counts of digits of which all numbers are in are one alternative.
func naturals(first, last *big.Int) []string {
	a, b := first.String(), last.String()
	var list []string
	from := 0 // the first count of digits of the run of whole ones
	flush := func(to int) {
		if from > 0 {
			list = append(list, strings.TrimSpace("[1-9] "+digits(from-1, to-1)))
			from = 0
		}
	}
	for n := len(a); n <= len(b); n++ {
		low, high := "1"+strings.Repeat("0", n-1), strings.Repeat("9", n)
		whole := (n > len(a) || a == low) && (n < len(b) || b == high)
		if whole {
			if from == 0 {
				from = n
			}
			continue
		}
		flush(n - 1)
		if n == len(a) {
			low = a
		}
		if n == len(b) {
			high = b
		}
		list = append(list, between(low, high))
	}
	flush(len(b))
	return list
}

// digits writes a run of digits.
func digits(low, high int) string {
	switch {
	case high == 0:
		return ""
	case low == 1 && high == 1:
		return "[0-9]"
	default:
		return "[0-9]" + repeatSuffix(low, high)
	}
}

// between writes the numbers from low to high, which have the same count of
// digits and are in order.
func between(low, high string) string {
	if low == high {
		return quote(low)
	}
	common := 0
	for low[common] == high[common] {
		common++
	}
	prefix := ""
	if common > 0 {
		prefix = quote(low[:common]) + " "
	}
	first, last, more := low[common], high[common], len(low)-common-1
	lowRest, highRest := low[common+1:], high[common+1:]
	var list, tail []string
	if strings.Trim(lowRest, "0") != "" {
		list = append(list, quote(string(first))+" "+between(lowRest, strings.Repeat("9", more)))
		first++
	}
	if strings.Trim(highRest, "9") != "" {
		tail = append(tail, quote(string(last))+" "+between(strings.Repeat("0", more), highRest))
		last--
	}
	if first <= last {
		list = append(list, strings.TrimSpace(digitRange(first, last)+" "+digits(more, more)))
	}
	return prefix + group(append(list, tail...)...)
}

func digitRange(first, last byte) string {
	if first == last {
		return quote(string(first))
	}
	return "[" + string(first) + "-" + string(last) + "]"
}

// decimals writes the numbers in the range with at most so many digits behind
// the point (more if a bound has more).
func (n *numberShape) decimals(fraction int) (string, error) {
	b := n.bounded()
	if n.multiple == nil {
		for _, side := range []*bound{b.low, b.high} {
			digits, _ := side.value.FloatPrec()
			fraction = max(fraction, digits+1)
		}
	}
	var list []string
	zero := &bound{value: new(big.Rat)}
	if b.low.value.Sign() < 0 {
		low := &bound{value: zero.value, open: true}
		if b.high.value.Sign() < 0 {
			low = b.high.negative()
		}
		for _, text := range magnitudes(low, b.low.negative(), fraction) {
			list = append(list, `"-" `+text)
		}
	}
	if b.high.value.Sign() > 0 || (b.high.value.Sign() == 0 && !b.high.open) {
		low := b.low
		if low.value.Sign() < 0 {
			low = zero
		}
		list = append(list, magnitudes(low, b.high, fraction)...)
	}
	if len(list) == 0 {
		return "", n.at().refuse("allows no value that can be written with %d digits behind the point", fraction)
	}
	return group(list...), nil
}

func (b *bound) negative() *bound {
	return &bound{at: b.at, value: new(big.Rat).Neg(b.value), open: b.open}
}

// split cuts a bound that is not negative at the point. The fraction has no
// zeros at its end.
func (b *bound) split() (whole *big.Int, fraction *tail) {
	digits, _ := b.value.FloatPrec()
	text := b.value.FloatString(digits)
	before, after, _ := strings.Cut(text, ".")
	whole, _ = new(big.Int).SetString(before, 10)
	return whole, &tail{digits: strings.TrimRight(after, "0"), open: b.open}
}

// magnitudes lists alternatives for the numbers from low to high, which are not
// negative.
func magnitudes(low, high *bound, digits int) []string {
	first, lowTail := low.split()
	last, highTail := high.split()
	if first.Cmp(last) == 0 {
		return fractionOf(first, lowTail, highTail, digits)
	}
	list := fractionOf(first, lowTail, nil, digits)
	one := big.NewInt(1)
	from, to := new(big.Int).Add(first, one), new(big.Int).Sub(last, one)
	if from.Cmp(to) <= 0 {
		fraction := ""
		if digits > 0 {
			fraction = ` ("." [0-9]{1,` + strconv.Itoa(digits) + `})?`
		}
		list = append(list, group(naturals(from, to)...)+fraction)
	}
	return append(list, fractionOf(last, nil, highTail, digits)...)
}

// tail is what is left of the digits of a bound that a number has followed so
// far.
type tail struct {
	digits string
	open   bool
}

func (t *tail) next() (byte, *tail) {
	if t.digits == "" {
		return '0', t
	}
	return t.digits[0], &tail{digits: t.digits[1:], open: t.open}
}

// fractionOf is a number with a fraction between two tails; a nil tail is no
// limit. It is nothing where there is none.
func fractionOf(whole *big.Int, low, high *tail, digits int) []string {
	more, mayEnd := fraction(low, high, digits)
	text := quote(whole.String())
	switch {
	case more == "" && !mayEnd:
		return nil
	case more == "":
		return []string{text}
	case mayEnd:
		return []string{text + ` ("." ` + more + `)?`}
	default:
		return []string{text + ` "." ` + more}
	}
}

// fraction writes one digit or more, at most n, and says whether none will do as
// well. Without a text no digit may follow.
func fraction(low, high *tail, n int) (more string, mayEnd bool) {
	if low != nil && low.digits == "" && !low.open {
		low = nil
	}
	mayEnd = low == nil && (high == nil || high.digits != "" || !high.open)
	switch {
	case n == 0, high != nil && high.digits == "":
		return "", mayEnd
	case low == nil && high == nil:
		return digits(1, n), mayEnd
	}
	first, last := byte('0'), byte('9')
	var lowRest, highRest *tail
	if low != nil {
		first, lowRest = low.next()
	}
	if high != nil {
		last, highRest = high.next()
	}
	var list []string
	add := func(digit string, low, high *tail) {
		switch more, mayEnd := fraction(low, high, n-1); {
		case more == "" && mayEnd:
			list = append(list, digit)
		case mayEnd:
			list = append(list, digit+" ("+more+")?")
		case more != "":
			list = append(list, digit+" "+more)
		}
	}
	if lowRest != nil && highRest != nil && first == last {
		add(quote(string(first)), lowRest, highRest)
		return group(list...), mayEnd
	}
	if lowRest != nil {
		add(quote(string(first)), lowRest, nil)
		first++
	}
	if highRest != nil {
		last--
	}
	if first <= last {
		add(digitRange(first, last), nil, nil)
	}
	if highRest != nil {
		add(quote(string(last+1)), nil, highRest)
	}
	return group(list...), mayEnd
}
