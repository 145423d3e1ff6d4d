package grammar

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// vocabulary makes a trie with tokens like those of byte-level BPE: all bytes,
// then pieces of words, most with a blank before them, numbers, and punctuation.
func vocabulary(size int) (*Trie, []string) {
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[string]bool{}
	var pieces []string
	add := func(s string) {
		if !seen[s] && len(pieces) < size {
			seen[s] = true
			pieces = append(pieces, s)
		}
	}
	for b := range 256 {
		add(string([]byte{byte(b)}))
	}
	for n := 2; n <= 32; n++ {
		add(strings.Repeat(" ", n))
		add(strings.Repeat("\n", n))
	}
	for _, a := range `{}[]",:.` {
		for _, b := range `{}[]",: .` + "\n" {
			add(string(a) + string(b))
			add(" " + string(a) + string(b))
		}
	}
	syllables := strings.Fields("a e i o u an er in on re th st ing ed ly tion con pro com de un ment able " +
		"ter per ver est ra ri ro la li lo ta ti to ma mi mo na ne no sa se so pa po ca co é ü 漢 字 при")
	for len(pieces) < size {
		var b strings.Builder
		for range 1 + random.IntN(4) {
			b.WriteString(syllables[random.IntN(len(syllables))])
		}
		word := b.String()
		switch random.IntN(6) {
		case 0:
			add(word)
		case 1:
			add(strings.ToUpper(word[:1]) + word[1:])
		default:
			add(" " + word)
		}
	}
	return NewTrie(size, func(dst []byte, token int32) []byte { return append(dst, pieces[token]...) }), pieces
}

func at(t testing.TB, gbnf, text string) *Matcher {
	t.Helper()
	m := mustParse(t, gbnf).Matcher()
	if !m.Accept([]byte(text)) {
		t.Fatalf("%.80q is refused", text)
	}
	return m
}

func BenchmarkAllows(b *testing.B) {
	m := at(b, jsonGrammar, `{"key": "some text`)
	token := []byte(" another")
	b.ReportAllocs()
	for b.Loop() {
		if !m.Allows(token) {
			b.Fatal("refused")
		}
	}
}

// Every character of a counted string is a state of its own.
func BenchmarkAcceptCounted(b *testing.B) {
	g := mustParse(b, personGrammar)
	begin, token := []byte(`{"name":"`), []byte(" another")
	m := g.Matcher()
	m.Accept(begin)
	b.ReportAllocs()
	for b.Loop() {
		if !m.Accept(token) {
			m = g.Matcher()
			m.Accept(begin)
		}
	}
}

// As BenchmarkAcceptCounted, with nothing known from texts before.
func BenchmarkAcceptCountedUnknown(b *testing.B) {
	g := mustParse(b, personGrammar)
	begin, token := []byte(`{"name":"`), []byte(" another")
	m := g.Matcher()
	m.Accept(begin)
	b.ReportAllocs()
	for b.Loop() {
		if !m.Accept(token) {
			b.StopTimer()
			g = mustParse(b, personGrammar)
			m = g.Matcher()
			m.Accept(begin)
			b.StartTimer()
		}
	}
}

func BenchmarkMask(b *testing.B) {
	sizes := map[string]int{"49k": 49_152, "152k": 151_936}
	for _, size := range []string{"49k", "152k"} {
		trie, _ := vocabulary(sizes[size])
		for _, place := range []struct{ name, gbnf, text string }{
			{"string", jsonGrammar, `{"key": "some text`},
			{"structure", jsonGrammar, `{"key": "some text"`},
			{"counted", personGrammar, `{"name":"some text`},
		} {
			m := at(b, place.gbnf, place.text)
			allowed := make([]uint64, trie.Words())
			b.Run(place.name+"/"+size, func(b *testing.B) {
				for b.Loop() {
					m.grammar.seen.masks.index = nil
					m.Mask(trie, allowed)
				}
			})
			b.Run(place.name+"/"+size+"/remembered", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					m.Mask(trie, allowed)
				}
			})
		}
	}
}

// A mask at every character of a counted string: no state comes twice.
func BenchmarkMaskEveryCharacter(b *testing.B) {
	trie, _ := vocabulary(49_152)
	allowed := make([]uint64, trie.Words())
	var m *Matcher
	for n := 0; b.Loop(); n++ {
		if n%9000 == 0 {
			b.StopTimer()
			m = mustParse(b, personGrammar).Matcher()
			m.Accept([]byte(`{"name":"`))
			b.StartTimer()
		}
		m.Mask(trie, allowed)
		m.Accept([]byte("a"))
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustParse(b, jsonGrammar)
	}
}

func BenchmarkNewTrie(b *testing.B) {
	_, pieces := vocabulary(49_152)
	for b.Loop() {
		NewTrie(len(pieces), func(dst []byte, token int32) []byte { return append(dst, pieces[token]...) })
	}
}
