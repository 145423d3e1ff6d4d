package llama

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/engine"
)

// TestFatalCallsAreNotMade: calls of the binding that kill the process unless
// they are guarded, and that this package does without. Whoever needs one adds
// the guard, its test, and takes it off the list.
func TestFatalCallsAreNotMade(t *testing.T) {
	fatal := map[string]string{
		"SetAbortCallback": "nil kills, and so do more than 2,000 of them: the callback goes in with the context's parameters",
		"SamplerSample":    "it aborts on a row without logits",
		"SamplerAccept":    "a token that a grammar does not allow throws through the foreign call",
		"StateSeqSetData":  "a restore that fails wipes its destination: into a scratch sequence first",
		"StateSeqLoadFile": "as StateSeqSetData",
		"StateSetData":     "as StateSeqSetData",
		"StateLoadFile":    "as StateSeqSetData",
		"Tokenize":         "it goes through the vocabulary, which makes the text valid UTF-8",
		"MemorySeqCp":      "it goes through Share, which checks the range",
		"Decode":           "it goes through Step, which checks the rows",
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "binding" {
				if why, ok := fatal[s.Sel.Name]; ok {
					t.Errorf("%s uses %s.%s: %s", name, x.Name, s.Sel.Name, why)
				}
			}
			return true
		})
	}
}

// TestNoBacktrace: ggml's backtrace starts a debugger, which may hang.
func TestNoBacktrace(t *testing.T) {
	open(t, nil)
	if v := os.Getenv("GGML_NO_BACKTRACE"); v != "1" {
		t.Errorf("GGML_NO_BACKTRACE is %q", v)
	}
}

// TestManyInterrupts: a process has 2,000 native callbacks for ever; neither
// steps nor loads take one.
func TestManyInterrupts(t *testing.T) {
	b := open(t, func(o *Options) { o.Context, o.Cells, o.Batch = 256, 256, 32 })
	for range 2100 {
		b.setStepping(true)
		b.Interrupt()
		b.setStepping(false)
	}
	feed(t, b, 0, 8, tokens(t, b, "one two ", 8)...)
}

// TestHostileText: bytes that are not UTF-8, and special tokens where they are
// not asked for.
func TestHostileText(t *testing.T) {
	v := open(t, nil).Vocabulary()
	for _, text := range []string{"", "\xff\xfe\x80", "a\x00b", "\xed\xa0\x80", "é\xc3", strings.Repeat("x\xf0\x9f", 3000)} {
		ids, err := v.Tokenize(text, true)
		if err != nil {
			t.Errorf("%.12q: %v", text, err)
		}
		var back []byte
		for _, id := range ids {
			back = v.AppendPiece(back, id, false)
		}
		if want := strings.ToValidUTF8(text, "\uFFFD"); string(back) != want {
			t.Errorf("%.12q came back as %.24q", text, back)
		}
	}
	plain, err := v.Tokenize("<|im_end|>", false)
	if err != nil || len(plain) < 2 {
		t.Errorf("a special token in plain text: %v, error %v", plain, err)
	}
	special, err := v.Tokenize("<|im_end|>", true)
	if err != nil || len(special) != 1 || !v.EndOfGeneration(special[0]) {
		t.Errorf("a special token: %v, error %v", special, err)
	}
	for _, token := range []engine.Token{-1, engine.Token(v.Size())} {
		if v.EndOfGeneration(token) || len(v.AppendPiece(nil, token, false)) != 0 {
			t.Errorf("token %d is none", token)
		}
	}
}
