package grammar

import (
	"errors"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// Grammars like those that people use.
const (
	jsonGrammar = `# any JSON value, with bounded blanks
root   ::= value
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws ( member ("," ws member)* )? "}" ws
member ::= string ":" ws value
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" char* "\"" ws
char   ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})? ws
ws     ::= | " " | "\n" [ \t]{0,20}
`
	arithmeticGrammar = `root  ::= (expr "=" blank term "\n")+
expr  ::= term ([-+*/] blank term)*
term  ::= name | number | "(" blank expr ")" blank
name  ::= [a-z] [a-z0-9_]* blank
number ::= [0-9]+ blank
blank ::= [ \t\n]*
`
	chessGrammar = `root ::= (
    "1. " move " " move "\n"   # the first pair
    ([1-9] [0-9]? ". " move " " move "\n")+
)
move   ::= (pawn | piece | castle) [+#]?
piece  ::= [NBKQR] [a-h]? [1-8]? "x"? square
pawn   ::= ([a-h] "x")? square ("=" [NBQR])?
castle ::= "O-O" "-O"?
square ::= [a-h] [1-8]
`
	personGrammar = `root ::= "{\"name\":" name ",\"age\":" age ",\"tags\":[" (tag ("," tag){0,9})? "]}"
name ::= "\"" char{1,10000} "\""
tag  ::= "\"" char{0,32} "\""
age  ::= "0" | [1-9] [0-9]{0,2}
char ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
`
)

func mustParse(t testing.TB, gbnf string) *Grammar {
	t.Helper()
	g, err := Parse(gbnf)
	if err != nil {
		t.Fatalf("%.1000s\n%v", gbnf, err)
	}
	return g
}

func TestWhatGrammarsMatch(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	tests := []struct {
		name, gbnf string
		// whole are sentences, begun only begin one, refused neither.
		whole, begun, refused []string
	}{
		{"json", jsonGrammar,
			[]string{`{}`, `{"a":[1,-0.5e+10,true,null]}`, `"é\u00e9\n"`, "[\n\t[[[]]]]", `{"a": {"b": {"c": []}}}`, "0"},
			[]string{"", `{`, `{"a"`, `[1,`, `"\u00e`, "\"\xc3", "-", "1.", `{"a":tru`},
			[]string{`{]`, `{a`, `01`, `"\x`, "\"\n", "[1,]", `{"a":1,}`, "\"\x80", "\"\xed\xa0", "\"\xff", "tru1", "[]]", "[  "}},
		{"arithmetic", arithmeticGrammar,
			[]string{"x=1\n", "a + b*(c-1) = 2\n", "((1)) = x\ny=y\n"},
			[]string{"", "a", "a+", "((1", "x=1", "x = 1 "},
			[]string{"+", "a)", "1a=", "a=b+", "x==", "A"}},
		{"chess", chessGrammar,
			[]string{"1. e4 e5\n2. Nf3 Nc6\n", "1. O-O O-O-O+\n12. exd8=Q# Rhxh1\n34. a1 a2\n"},
			[]string{"1. e4 e5\n", "1. O-", "1. e4 e5\n2. N"},
			[]string{"2.", "1. e9", "1. e4 e5\n0", "1. O-O-O-O", "1. e4  "}},
		{"counted", personGrammar,
			[]string{`{"name":"` + long + `","age":100,"tags":[]}`, `{"name":"a","age":0,"tags":["","b","c"]}`},
			[]string{`{"name":"` + long, `{"name":"`, `{"name":"a","age":1`},
			[]string{`{"name":"` + long + `a`, `{"name":""`, `{"name":"a","age":01`, `{"name":"a","age":1000`,
				`{"name":"a","age":1,"tags":[` + strings.Repeat(`"",`, 10)}},
		{"empty", "root ::=", []string{""}, nil, []string{"a", "\x00"}},
		{"empty literal and group", `root ::= "" () ("" | ()) "a"`, []string{"a"}, []string{""}, []string{"b", "aa"}},
		{"empty alternate", "root ::= | \"a\" |\n \"b\"", []string{"", "a", "b"}, nil, []string{"c", "ab"}},
		{"escapes", `root ::= "\x41\u00e9\U0001F601\n\r\t\\\"\[\]" [\x41\]\[\\\-\^"]`,
			[]string{"Aé😁\n\r\t\\\"[]A", "Aé😁\n\r\t\\\"[]]", "Aé😁\n\r\t\\\"[]\\", "Aé😁\n\r\t\\\"[]-", "Aé😁\n\r\t\\\"[]^", "Aé😁\n\r\t\\\"[]\""},
			[]string{"A\xc3", "Aé\xf0\x9f\x98"}, []string{"A\xe9", "a", "Aé😁\n\r\t\\\"[]\n"}},
		{"syntax in literals", `root ::= "[a-z]" "(x)" "#"`, []string{"[a-z](x)#"}, nil, []string{"a"}},
		{"dashes", `root ::= [-a] [a-] [+--] [^-]`, []string{"--,a", "aa+b"}, nil, []string{"b", "--b", "--+-"}},
		{"caret inside", `root ::= [a^]+`, []string{"^a^"}, []string{""}, []string{"b"}},
		{"any", `root ::= .`, []string{"\x00", "\n", "é", "漢", "\U0010FFFF", "\uFFFD"}, []string{"", "\xf4\x8f"},
			[]string{"\x80", "\xc0", "\xc1", "\xf5", "\xf4\x90", "\xe0\x80", "\xed\xa0", "\xf0\x80", "ab"}},
		{"not in a range", `root ::= [^\u0080-\uFFFF]*`, []string{"az\x7f😁"}, []string{"\xf0"}, []string{"é", "\xc2", "\xef"}},
		{"surrogates in a range", `root ::= [\uD7FF-\uE000\uD800-\uDFFF]`, []string{"\uD7FF", "\uE000"}, []string{"\xed", "\xed\x9f"},
			[]string{"\xed\xa0", "\xee\x81"}},
		{"raw newline in a literal", "root ::= \"a\nb\"", []string{"a\nb"}, []string{"a\n"}, []string{"ab"}},
		{"repeats", `root ::= "ab"{2} [c]{1,} ("d" | "e"){0,2} "f"? "g"{0} "h"{0,0} "i"{ 1 , 1 }`,
			[]string{"ababci", "ababcccdefi"}, []string{"abab", "ababcded"[:7]}, []string{"abc", "ababd", "ababcded", "ababcg", "ababch"}},
		{"repeats of repeats", `root ::= "a"?* "b"+{2,3} ("c"{2}){2,} "d"`, []string{"bbccccd", "aabbbbbccccccd"}, []string{"aa", "bbccc"},
			[]string{"bc", "bbcccd", "bbcccccd"}},
		{"repeat of what may be empty", `root ::= ("a"? "b"?){3} "c"`, []string{"c", "bac", "ababac", "aaac", "ababab"[:6] + "c"},
			[]string{"bab"}, []string{"ababaa"[:5] + "aa", "bbbb"}},
		{"nothing but empty", `root ::= ("" ())* ""{3,7} "a"`, []string{"a"}, []string{""}, []string{"b"}},
		{"comments and lines", "#c\n\n  root ::= # c\r\n (\"a\"\n\n # c\n |\n \"b\" )* # c\n#c\nx ::= \"y\" #c",
			[]string{"", "abba"}, nil, []string{"c", "y"}},
		{"names", "root ::= A-b_9 0\nA-b_9 ::= \"a\"\n0 ::= \"b\"", []string{"ab"}, []string{"a"}, []string{"b"}},
		{"recursion", `root ::= "a" root "b" | ""`, []string{"", "ab", "aaabbb"}, []string{"a", "aab"}, []string{"b", "abb", "aba"}},
		{"palindromes", `root ::= "a" root "a" | "b" root "b" | [ab]?`,
			[]string{"", "abba", "ababa", "aabbaa", "ab" + "ba"}, []string{"ab", "aab"}, []string{"c"}},
		{"return through many rules", "root ::= a \"!\"\na ::= b?\nb ::= c\nc ::= \"(\" a \")\"",
			[]string{"!", "()!", "((()))!"}, []string{"(", "()"}, []string{")", "(!"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := mustParse(t, test.gbnf)
			for _, text := range test.whole {
				if m := g.Matcher(); !m.Accept([]byte(text)) || !m.Complete() {
					t.Errorf("%.80q is refused or no whole text", text)
				}
			}
			for _, text := range test.begun {
				m := g.Matcher()
				if !m.Accept([]byte(text)) || m.Complete() || m.Finished() || m.AllowedBytes() == [4]uint64{} {
					t.Errorf("%.80q: not accepted as a beginning", text)
				}
			}
			for _, text := range test.refused {
				m := g.Matcher()
				before := m.AllowedBytes()
				if m.Allows([]byte(text)) || m.Accept([]byte(text)) || m.AllowedBytes() != before {
					t.Errorf("%.80q is accepted, or changed something", text)
				}
			}
		})
	}
}

func TestFinished(t *testing.T) {
	g := mustParse(t, `root ::= "a" | "a" "b"`)
	m := g.Matcher()
	for _, step := range []struct {
		text               string
		complete, finished bool
	}{{"", false, false}, {"a", true, false}, {"b", true, true}} {
		if !m.Accept([]byte(step.text)) || m.Complete() != step.complete || m.Finished() != step.finished {
			t.Errorf("behind %q: complete %v, finished %v", step.text, m.Complete(), m.Finished())
		}
	}
	if m.Accept([]byte("a")) || !m.Accept(nil) {
		t.Error("behind the end only the empty text is allowed")
	}
}

func TestSyntaxErrors(t *testing.T) {
	tests := []struct {
		gbnf         string
		line, column int
		reason       string
	}{
		{"", 1, 1, "no rule named root"},
		{`a ::= "b"`, 1, 10, "no rule named root"},
		{"root ::= a\n", 1, 10, "rule a is not defined"},
		{"root ::= \"x\"\nroot ::= \"y\"", 2, 1, "rule root is defined twice"},
		{`root = "x"`, 1, 6, "::= is missing"},
		{`::= "x"`, 1, 1, "rule's name is missing"},
		{"root ::= \"é\" )", 1, 14, `unexpected ')'`},
		{`root ::= ("x"`, 1, 10, "( is never closed"},
		{`root ::= ("x" ]`, 1, 15, `unexpected ']'`},
		{`root ::= "x`, 1, 10, `" is never closed`},
		{`root ::= "x\`, 1, 12, "unfinished escape"},
		{`root ::= [x`, 1, 10, "[ is never closed"},
		{`root ::= []`, 1, 10, "no character is in this class"},
		{`root ::= [^\x00-\U0010FFFF]`, 1, 10, "no character is in this class"},
		{`root ::= [\uD800]`, 1, 10, "no character is in this class"},
		{`root ::= [z-a]`, 1, 11, "the range ends before it begins"},
		{`root ::= "\q"`, 1, 11, "unknown escape"},
		{`root ::= "\x4"`, 1, 11, "2 hexadecimal digits"},
		{`root ::= "\u+123"`, 1, 11, "4 hexadecimal digits"},
		{`root ::= "\U0011`, 1, 11, "unfinished escape"},
		{`root ::= "\U00110000"`, 1, 11, "beyond the last character"},
		{`root ::= "\uD800"`, 1, 11, "a surrogate is no character"},
		{"root ::= \"\xff\"", 1, 11, "no valid UTF-8"},
		{`root ::= * "x"`, 1, 10, "nothing to repeat"},
		{`root ::= "x" | {2}`, 1, 16, "nothing to repeat"},
		{`root ::= "x"{}`, 1, 14, "a number is missing"},
		{`root ::= "x"{,2}`, 1, 14, "a number is missing"},
		{`root ::= "x"{2,1}`, 1, 16, "less than the first"},
		{`root ::= "x"{2`, 1, 15, "} is missing"},
		{`root ::= <think> "x"`, 1, 10, "tokens"},
		{`root ::= "x" !<[12]>`, 1, 14, "tokens"},
		{"root ::= \"x\"\n\"y\"", 2, 1, "rule's name is missing"},
		{"root ::= root \"x\" | \"y\"", 1, 1, "rule root is left-recursive: root → root"},
		{"root ::= a\na ::= b?  c\nb ::= \"x\"\nc ::= (\"\" | b)* (a)", 2, 1, "rule a is left-recursive: a → c → a"},
		{"root ::= \"x\"\nother ::= (other \"x\")?", 2, 1, "rule other is left-recursive"},
		{"root ::= \"x\" a | \"y\"\na ::= \"x\" a", 2, 1, "rule a can never end"},
		{"root ::= \"x\" (\"a\" | root){2} root", 1, 1, "rule root can never end"},
	}
	for _, test := range tests {
		_, err := Parse(test.gbnf)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: %v", test.gbnf, err)
			continue
		}
		if syntax.Line != test.line || syntax.Column != test.column || !strings.Contains(syntax.Reason, test.reason) {
			t.Errorf("%q: %v; want %d:%d %s", test.gbnf, err, test.line, test.column, test.reason)
		}
		if !strings.Contains(err.Error(), syntax.Reason) {
			t.Errorf("%q does not tell its reason", err)
		}
	}
}

func TestLimits(t *testing.T) {
	many := func(n int, line func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i))
		}
		return b.String()
	}
	for what, gbnf := range map[string]string{
		"bytes":                 "root ::= \"x\" #" + strings.Repeat("x", MaxSource),
		"rules":                 "root ::= \"x\"\n" + many(MaxRules, func(i int) string { return strconv.Itoa(i) + " ::=\"\"\n" }),
		"repeats":               `root ::= "x"{0,16777217}`,
		"repeats of one symbol": `root ::= "x"` + strings.Repeat("?", MaxNesting+1),
		"nested parentheses":    "root ::= " + strings.Repeat("(", MaxNesting+1),
		"instructions":          "root ::= (" + many(60_000, func(i int) string { return "[^" + string(rune(0x10000+i)) + "]." }) + `)`,
	} {
		_, err := Parse(gbnf)
		var limit *LimitError
		if !errors.As(err, &limit) || limit.What != what || limit.Limit == 0 || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	mustParse(t, `root ::= "x"{16777216,16777216}`)
	mustParse(t, "root ::= "+strings.Repeat("(", MaxNesting)+`"x"`+strings.Repeat(")", MaxNesting))
}

// A chain of rules as long as it can be must not exhaust anything.
func TestDeepGrammars(t *testing.T) {
	var b strings.Builder
	b.WriteString("root ::= 0\n")
	for i := range MaxRules - 2 {
		b.WriteString(strconv.Itoa(i) + "::=" + strconv.Itoa(i+1) + "\n")
	}
	b.WriteString(strconv.Itoa(MaxRules-2) + `::="x"`)
	if m := mustParse(t, b.String()).Matcher(); !m.Accept([]byte("x")) || !m.Finished() {
		t.Error("refused")
	}
}

func TestAmbiguityCostsLittle(t *testing.T) {
	tests := []struct {
		name, gbnf, again string
		n                 int
		end               string
		states            int
	}{
		{"equal alternates", `root ::= ("a" | "a")*`, "a", 10_000, "", 10},
		{"nested stars", `root ::= (("a"* "a"*)* ("a" | "a"?)+)* "b"`, "a", 10_000, "b", 10},
		{"optionals one behind the other", `root ::= ` + strings.Repeat(`"a"? `, 200) + `"b"`, "a", 200, "b", 300},
		{"optionals within each other", `root ::= ` + strings.Repeat(`("a" `, 500) + strings.Repeat(`)?`, 500), "a", 500, "", 600},
		{"counted within counted", `root ::= ((("a"{0,100}){0,100}){0,100}) "b"`, "a", 10_000, "b", 20_000},
		{"two ways out of each parenthesis", `root ::= "x" | "(" root ")" | "(" root ")" "+" root`,
			"(", 2_000, "x" + strings.Repeat(")", 2_000), 5_000},
		{"right recursion", "root ::= [a-z] root | \"\"", "q", 10_000, "", 10},
		{"right recursion with blanks", "root ::= [a-z] (\" \"* root)?", "q ", 10_000, "q", 10},
		{"one or two, counted", `root ::= ("a" | "aa"){0,10000} "b"`, "a", 15_000, "b", 20_000},
		{"exactly so many of one or two", `root ::= ("a" | "aa"){500} "b"`, "a", 700, "b", 1_000},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := mustParse(t, test.gbnf)
			m := g.Matcher()
			text := strings.Repeat(test.again, test.n) + test.end
			if !m.Accept([]byte(text)) || !m.Complete() {
				t.Fatalf("refused (%v)", m.Err())
			}
			if n := len(g.seen.states); n > test.states {
				t.Errorf("%d states", n)
			}
		})
	}
}

func TestTooAmbiguousIsRefused(t *testing.T) {
	var words strings.Builder
	for i := range 140_000 {
		words.WriteString(`|"` + strconv.FormatInt(int64(i), 36) + `"`)
	}
	if _, err := Parse("root ::= " + words.String()[1:]); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("140,000 alternates: %v", err)
	}
	g := mustParse(t, `root ::= "y" | "x" (`+words.String()[1:]+`)`)
	trie := NewTrie(3, func(dst []byte, token int32) []byte { return append(dst, "xyz"[token]) })
	mask := []uint64{7}
	for range 2 {
		m := g.Matcher()
		if m.Mask(trie, mask); mask[0] != 2 || !errors.Is(m.Err(), ErrAmbiguous) {
			t.Errorf("mask %b, error %v", mask[0], m.Err())
		}
		m = g.Matcher()
		if m.Accept([]byte("z")) || m.Err() != nil || m.Allows([]byte("x")) || !errors.Is(m.Err(), ErrAmbiguous) {
			t.Errorf("error %v", m.Err())
		}
	}
}

// What a mask may cost is bounded, and what is left out of it does not depend on
// what was asked before.
func TestMasksCostIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("a ::= \"" + strings.Repeat("a", 1000) + "\"\nroot ::= \"\"")
	for i := range 3000 {
		b.WriteString(" | a \"" + strconv.Itoa(i) + "\"")
	}
	g := mustParse(t, b.String())
	trie := NewTrie(1000, func(dst []byte, token int32) []byte {
		return append(dst, strings.Repeat("a", int(token)+1)...)
	})
	var first []uint64
	for _, known := range []int{0, 900, 1000} {
		warm := g.Matcher()
		warm.Accept([]byte(strings.Repeat("a", known)))
		g.seen.masks = masks{}
		mask, m := make([]uint64, trie.Words()), g.Matcher()
		m.Mask(trie, mask)
		n := 0
		for _, word := range mask {
			n += bits.OnesCount64(word)
		}
		if n != maskWork/3000 || !errors.Is(m.Err(), ErrAmbiguous) {
			t.Errorf("%d tokens, error %v", n, m.Err())
		}
		if first == nil {
			first = mask
		}
		if !slices.Equal(first, mask) {
			t.Error("another mask at another time")
		}
	}
}

// What is remembered of masks is the right state's and the right vocabulary's.
func TestMasksAreNotMixedUp(t *testing.T) {
	g := mustParse(t, `root ::= "`+strings.Repeat("aabab", 40)+`" ("a" | "b"){50} "c"`)
	var walks []func()
	for i := range 3 {
		pieces := []string{"a", "b", "ab", "bc", "c", strings.Repeat("b", 1+20*i)}
		trie := NewTrie(len(pieces), func(dst []byte, token int32) []byte { return append(dst, pieces[token]...) })
		walks = append(walks, func() {
			m := g.Matcher()
			for at := range 250 {
				mask := []uint64{0}
				m.Mask(trie, mask)
				for token, piece := range pieces {
					if got := mask[0]>>token&1 == 1; got != m.Allows([]byte(piece)) {
						t.Fatalf("%q at %d: in the mask %v", piece, at, got)
					}
				}
				if !m.Accept([]byte("a")) && !m.Accept([]byte("b")) {
					t.Fatal("refused")
				}
			}
		})
	}
	for range 2 {
		for _, walk := range walks {
			walk()
		}
	}
}

// States that share a mask differ in nothing that a token could reach.
func TestMasksAtTheBoundsOfRepeats(t *testing.T) {
	pieces := []string{"", ")", "b", "b)", "bb", "bb)", "bbb", "bbb)", "bbbb", "bbbb)", "bbbbb"}
	trie := NewTrie(len(pieces), func(dst []byte, token int32) []byte { return append(dst, pieces[token]...) })
	for _, bounds := range []string{"{0,30}", "{30,}", "{30}", "{15,45}", "{13,20}", "{28,30}", "{1,30}", "{2,}"} {
		m := mustParse(t, `root ::= "(" ("(" [ab]`+bounds+` ")"){1,5}`).Matcher()
		m.Accept([]byte("(("))
		for n := 0; ; n++ {
			mask := []uint64{0}
			m.Mask(trie, mask)
			for token, piece := range pieces {
				if got := mask[0]>>token&1 == 1; got != (piece != "" && m.Allows([]byte(piece))) {
					t.Fatalf("%s: %q behind %d: in the mask %v", bounds, piece, n, got)
				}
			}
			if n == 60 || !m.Accept([]byte("b")) {
				break
			}
		}
	}
}

// However long a text is, what it leaves behind stays bounded.
func TestMemoryStaysBounded(t *testing.T) {
	g := mustParse(t, jsonGrammar+"\nx ::= root")
	m, idle := g.Matcher(), g.Matcher()
	if !idle.Accept([]byte(`{"a":[`)) {
		t.Fatal("refused")
	}
	piece := []byte(`{"a":[`)
	g.limit, g.seen.limit = 64<<10, 64<<10
	for range 5_000 {
		if !m.Accept(piece) {
			t.Fatal("refused")
		}
	}
	if size := g.seen.size(); size > 10_000*1000 {
		t.Errorf("%d bytes for 10,000 levels", size)
	}
	for range 5_000 {
		if !m.Accept([]byte(`1]}`)) && !m.Accept([]byte(`]}`)) {
			t.Fatal("refused")
		}
	}
	if !m.Complete() || m.Accept([]byte("]")) {
		t.Error("not all levels were closed")
	}
	if !idle.Accept([]byte(`]}`)) || !idle.Complete() {
		t.Error("a matcher does not outlive the automaton that it began in")
	}
	if size := g.seen.size(); size > 1<<20 {
		t.Errorf("%d bytes behind the end", size)
	}
}

func TestNothingIsAllocatedForKnownTexts(t *testing.T) {
	m := at(t, jsonGrammar, `{"key": "text`)
	trie, _ := vocabulary(1000)
	mask := make([]uint64, trie.Words())
	token := []byte(" more")
	if n := testing.AllocsPerRun(1000, func() {
		if !m.Allows(token) || !m.Accept(token) || m.Complete() || m.Finished() {
			t.Error("refused")
		}
		m.Mask(trie, mask)
		m.AllowedBytes()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() { m = m.Clone() }); n > 1 {
		t.Errorf("%v allocations for a clone", n)
	}
}

func TestMatchersAreConcurrent(t *testing.T) {
	g := mustParse(t, jsonGrammar)
	g.limit, g.seen.limit = 4096, 4096
	text := []byte(`{"key": [1, 2.5, "text", {"deep": [[[null]]]}]}`)
	done := make(chan bool)
	for range 8 {
		go func() {
			ok := true
			for range 50 {
				m := g.Matcher()
				for i := range text {
					ok = ok && m.Allows(text[i:]) && m.Accept(text[i:i+1])
				}
				ok = ok && m.Complete()
			}
			done <- ok
		}()
	}
	for range 8 {
		if !<-done {
			t.Error("refused")
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, gbnf := range []string{jsonGrammar, arithmeticGrammar, chessGrammar, personGrammar,
		`root ::= "\x41\u00e9\U0001F601" [^a-z\]] . a{2,3}` + "\na ::= (\"\" | a2)+\na2 ::= <[1]>"} {
		f.Add(gbnf, "{}")
	}
	f.Fuzz(func(t *testing.T, gbnf, text string) {
		g, err := Parse(gbnf)
		if err != nil {
			var syntax *SyntaxError
			var limit *LimitError
			if !errors.As(err, &syntax) && !errors.As(err, &limit) && !errors.Is(err, ErrAmbiguous) {
				t.Fatalf("%T", err)
			}
			return
		}
		m := g.Matcher()
		for i := range len(text) {
			if !m.Accept([]byte(text[i : i+1])) {
				break
			}
			if !m.Complete() && m.AllowedBytes() == [4]uint64{} {
				t.Fatalf("%q leads nowhere", text[:i+1])
			}
			if m.Complete() && !utf8.ValidString(text[:i+1]) {
				t.Fatalf("%q is no text", text[:i+1])
			}
		}
	})
}
