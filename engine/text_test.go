package engine

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// pieces is a vocabulary of arbitrary pieces; the last token ends the turn.
type pieces [][]byte

func (p pieces) Size() int                                          { return len(p) }
func (p pieces) Tokenize(string, bool) ([]Token, error)             { return nil, nil }
func (p pieces) AppendPiece(dst []byte, token Token, _ bool) []byte { return append(dst, p[token]...) }
func (p pieces) EndOfGeneration(token Token) bool                   { return int(token) == len(p)-1 }

// drawPieces draws text from few letters, with runes cut anywhere and bytes that
// belong to none.
func drawPieces(t *rapid.T) pieces {
	letters := [][]byte{
		[]byte("a"), []byte("b"), []byte("ab"), []byte("\xe4\xb8"), []byte("\x96"), []byte("世"),
		[]byte("\xf0\x9f"), []byte("\x8c\x8a"), {0xff}, nil,
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) []byte {
		return slices.Concat(rapid.SliceOfN(rapid.SampledFrom(letters), 0, 3).Draw(t, "letters")...)
	}), 1, 20).Draw(t, "pieces")
}

func TestTextIsWhatTheBytesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vocabulary := drawPieces(t)
		state := newTextState(vocabulary, nil, false)
		var text []byte
		for i := range vocabulary {
			before := len(text)
			text, _ = state.push(text, Token(i))
			if !utf8.Valid(text[before:]) {
				t.Fatalf("%q is not UTF-8", text[before:])
			}
		}
		text = state.flush(text)
		// What converting the bytes to runes gives is the definition.
		if want := string([]rune(string(slices.Concat(vocabulary...)))); string(text) != want {
			t.Fatalf("text %q, want %q", text, want)
		}
	})
}

func TestStopStringsEndTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vocabulary := drawPieces(t)
		stops := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune("ab世\uFFFD")), 1, 4, -1), 1, 4).Draw(t, "stops")
		state := newTextState(vocabulary, stops, false)
		var text []byte
		stopped := false
		for i := 0; i < len(vocabulary) && !stopped; i++ {
			before := len(text)
			text, stopped = state.push(text, Token(i))
			if !utf8.Valid(text[before:]) {
				t.Fatalf("%q is not UTF-8", text[before:])
			}
			replayed, ended := ReplayText(vocabulary, stops, false, tokensTo(i+1))
			if replayed != string(text) || ended != stopped {
				t.Fatalf("replayed %q %v, was %q %v", replayed, ended, text, stopped)
			}
		}
		if !stopped {
			text = state.flush(text)
		}
		whole := string([]rune(string(slices.Concat(vocabulary...))))
		if want := untilStop(whole, stops); string(text) != want {
			t.Fatalf("text %q of %q with stops %q, want %q", text, whole, stops, want)
		}
	})
}

// untilStop is the definition: before the stop string that ends first, the
// longest of those that end there.
func untilStop(text string, stops []string) string {
	for end := range len(text) + 1 {
		longest := 0
		for _, stop := range stops {
			if strings.HasSuffix(text[:end], stop) {
				longest = max(longest, len(stop))
			}
		}
		if longest > 0 {
			return text[:end-longest]
		}
	}
	return text
}

func TestHeldBackTextIsReleasedWhenItCannotMatch(t *testing.T) {
	vocabulary := pieces{[]byte("one STO"), []byte("OP two ST"), []byte("O"), []byte("P three")}
	state := newTextState(vocabulary, []string{"STOP"}, false)
	var got []string
	for i := range vocabulary {
		text, _ := state.push(nil, Token(i))
		got = append(got, string(text))
	}
	if want := []string{"one ", "STOOP two ", "", ""}; !slices.Equal(got, want) {
		t.Errorf("released %q, want %q", got, want)
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add([]byte("na\xc3\xafve \xe4\xb8 \xf0\x9f\x8c\x8a\xff"), 3)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var s splitter
		at := min(max(cut, 0), len(b))
		got := s.flush(s.push(s.push(nil, b[:at]), b[at:]))
		if want := string([]rune(string(b))); string(got) != want {
			t.Errorf("%q cut at %d: %q, want %q", b, at, got, want)
		}
	})
}
