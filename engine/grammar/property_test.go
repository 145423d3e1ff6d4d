package grammar

import (
	"math/bits"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawParsed draws a grammar that Parse takes, and checks what it says of others.
func drawParsed(t *rapid.T) (*refGrammar, *Grammar) {
	ref := drawGrammar(t)
	g, err := Parse(ref.gbnf())
	left := ref.leftRecursive()
	if got := err != nil && strings.Contains(err.Error(), "is left-recursive"); got != left {
		t.Fatalf("%s\nleft-recursive: %v, Parse: %v", ref.gbnf(), left, err)
	}
	switch {
	case err == nil:
	case left, strings.Contains(err.Error(), "can never end"), strings.Contains(err.Error(), "no character is in this class"):
		t.Skip(err)
	default:
		t.Fatalf("%s\n%v", ref.gbnf(), err)
	}
	if rapid.Bool().Draw(t, "renewed all the time") {
		g.limit = 0
		g.seen.limit = 0
	}
	return ref, g
}

// allowed is AllowedBytes as a list.
func allowed(m *Matcher) (out []byte) {
	for i, word := range m.AllowedBytes() {
		for ; word != 0; word &= word - 1 {
			out = append(out, byte(64*i+bits.TrailingZeros64(word)))
		}
	}
	return out
}

// drawText walks a grammar at random.
func drawText(t *rapid.T, g *Grammar) []byte {
	m := g.Matcher()
	var text []byte
	for range rapid.IntRange(0, 20).Draw(t, "length") {
		next := allowed(m)
		if len(next) == 0 {
			break
		}
		b := rapid.SampledFrom(next).Draw(t, "byte")
		if !m.Accept([]byte{b}) {
			t.Fatalf("byte %#x is allowed behind %q, but not accepted", b, text)
		}
		text = append(text, b)
	}
	return text
}

func TestTheReferenceAgrees(t *testing.T) {
	probes := []byte("ab\n\x7f\x00" + string(refRunes) + "\x80\xbf\xc0\xc3\xed\xf5\xff")
	rapid.Check(t, func(t *rapid.T) {
		ref, g := drawParsed(t)
		text := drawText(t, g)
		m := g.Matcher()
		for i := 0; ; i++ {
			complete, prefix := ref.match(string(text[:i]))
			if !prefix || m.Complete() != complete {
				t.Fatalf("%s\n%q: prefix %v, complete %v, but the matcher accepts it and says complete: %v",
					ref.gbnf(), text[:i], prefix, complete, m.Complete())
			}
			may := allowed(m)
			if m.Finished() != (complete && len(may) == 0) || (!complete && len(may) == 0) {
				t.Fatalf("%s\n%q: complete %v, finished %v, allowed %q", ref.gbnf(), text[:i], complete, m.Finished(), may)
			}
			for _, b := range probes {
				_, want := ref.match(string(text[:i]) + string([]byte{b}))
				if got := m.Allows([]byte{b}); got != want || slices.Contains(may, b) != want {
					t.Fatalf("%s\n%q behind %q: want %v, allowed %v, in the set %v",
						ref.gbnf(), b, text[:i], want, got, slices.Contains(may, b))
				}
			}
			if i == len(text) {
				break
			}
			if !m.Accept(text[i : i+1]) {
				t.Fatalf("%s\n%q: byte %d refused at the second time", ref.gbnf(), text, i)
			}
		}
	})
}

func TestPiecesAreAsGoodAsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, g := drawParsed(t)
		text := drawText(t, g)
		spoiled := append(slices.Clone(text), rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "spoiled")...)
		bytewise, pieces := g.Matcher(), g.Matcher()
		good := 0
		for good < len(spoiled) && bytewise.Accept(spoiled[good:good+1]) {
			good++
		}
		for at := 0; at < good; {
			n := rapid.IntRange(0, len(spoiled)-at).Draw(t, "piece")
			piece := spoiled[at : at+n]
			old := pieces.Clone()
			want := at+n <= good
			if pieces.Allows(piece) != want || pieces.Accept(piece) != want {
				t.Fatalf("%q behind %q: want %v", piece, spoiled[:at], want)
			}
			if want {
				at += n
				same(t, old, oldMatcher(g, spoiled[:at-n]))
			}
		}
		same(t, bytewise, pieces)
	})
}

func oldMatcher(g *Grammar, text []byte) *Matcher {
	m := g.Matcher()
	m.Accept(text)
	return m
}

func same(t *rapid.T, a, b *Matcher) {
	if a.Complete() != b.Complete() || a.Finished() != b.Finished() || a.AllowedBytes() != b.AllowedBytes() {
		t.Fatalf("two matchers of the same text differ: %v %v %q, %v %v %q",
			a.Complete(), a.Finished(), allowed(a), b.Complete(), b.Finished(), allowed(b))
	}
}

func TestMaskIsWhatIsAllowed(t *testing.T) {
	token := rapid.OneOf(
		rapid.StringOfN(rapid.SampledFrom(refRunes), 0, 4, -1),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte("ab"+string(refRunes))), 0, 5), func(b []byte) string { return string(b) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		_, g := drawParsed(t)
		most := rapid.IntRange(1, 15).Draw(t, "bytes of a token")
		token := rapid.Map(token, func(s string) string { return s[:min(len(s), most)] })
		vocabulary := rapid.SliceOfN(token, 0, 150).Draw(t, "vocabulary")
		trie := NewTrie(len(vocabulary), func(dst []byte, token int32) []byte { return append(dst, vocabulary[token]...) })
		m := g.Matcher()
		mask := make([]uint64, trie.Words()+1)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			for i := range mask {
				mask[i] = rapid.Uint64().Draw(t, "dirt")
			}
			m.Mask(trie, mask)
			again := slices.Repeat([]uint64{rapid.Uint64().Draw(t, "dirt")}, len(mask))
			if m.Mask(trie, again); !slices.Equal(again, mask) {
				t.Fatalf("the second mask differs: %x, %x", mask, again)
			}
			var next []string
			for i, piece := range vocabulary {
				got, want := mask[i/64]>>(i%64)&1 == 1, piece != "" && m.Allows([]byte(piece))
				if got != want {
					t.Fatalf("token %d, %q: in the mask %v, allowed %v", i, piece, got, want)
				}
				mask[i/64] &^= 1 << (i % 64)
				if got {
					next = append(next, piece)
				}
			}
			if slices.ContainsFunc(mask, func(w uint64) bool { return w != 0 }) {
				t.Fatalf("bits beyond the vocabulary: %x", mask)
			}
			if len(next) == 0 {
				return
			}
			m.Accept([]byte(rapid.SampledFrom(next).Draw(t, "next")))
		}
	})
}
