package worker

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
	"github.com/semantic-worker/semantic/schemas"
)

// somePieces are an answer's, in any order, calls counted from 0.
func somePieces(t *rapid.T) []piece {
	var pieces []piece
	calls := 0
	for range rapid.IntRange(0, 12).Draw(t, "pieces") {
		text := rapid.StringMatching(`[ab]{0,3}`).Draw(t, "text")
		switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); {
		case kind == 3:
			pieces = append(pieces, piece{kind: pieceCall, call: calls, name: "f", text: text})
			calls++
		case kind == 2 && calls > 0:
			pieces = append(pieces, piece{kind: pieceCall, call: calls - 1, text: text})
		case kind < 2:
			pieces = append(pieces, piece{kind: pieceKind(kind), text: text})
		}
	}
	return pieces
}

// What is packed into outputs is what a reader of the log gets out, in order,
// and the tokens come first.
func TestPackKeepsEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pieces := compact(somePieces(t))
		out := schemas.Output{Choice: 2, Tokens: make([]int32, rapid.IntRange(0, 700).Draw(t, "tokens"))}
		if rapid.Bool().Draw(t, "logprobs") {
			out.Logprobs = make([]schemas.TokenLogprob, len(out.Tokens))
		}
		var read []piece
		tokens := 0
		for _, o := range pack(out, pieces, func(call int) string { return fmt.Sprint("id", call) }) {
			if o.Choice != 2 || len(o.Logprobs) > mostLogprobs || len(o.Logprobs) > 0 && len(o.Logprobs) != len(o.Tokens) {
				t.Fatalf("output %+v", o)
			}
			if tokens += len(o.Tokens); tokens < len(out.Tokens) && (o.Text != "" || o.Reasoning != "" || len(o.ToolCalls) > 0) {
				t.Fatalf("something is said before all tokens: %+v", o)
			}
			for _, call := range o.ToolCalls {
				if (call.ID != "") != (call.Name != "") {
					t.Fatalf("call %+v", call)
				}
			}
			read = logged(read, o)
		}
		if !reflect.DeepEqual(compact(read), pieces) || tokens != len(out.Tokens) {
			t.Fatalf("%+v, want %+v", compact(read), pieces)
		}
	})
}

// Whatever of an answer is in the log, the rest is what is left; and nothing
// else is taken for the beginning of it.
func TestSubtract(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole := compact(somePieces(t))
		n := rapid.IntRange(0, len(whole)).Draw(t, "first")
		first, second := compact(whole[:n]), compact(whole[n:])
		if len(second) > 0 {
			cut := rapid.IntRange(0, len(second[0].text)).Draw(t, "cut")
			head := second[0]
			head.text = head.text[:cut]
			first = join(first, head)
			if second[0].text = second[0].text[cut:]; head.name != "" || cut > 0 {
				second[0].name = ""
			}
			second = compact(second)
		}
		none, rest, ok := subtract(first, whole)
		if !ok || len(none) > 0 || !reflect.DeepEqual(append([]piece{}, rest...), append([]piece{}, second...)) {
			t.Fatalf("%+v of %+v leaves %+v and %+v, want %+v", first, whole, none, rest, second)
		}
		rest, none, ok = subtract(whole, first)
		if !ok || len(none) > 0 || !reflect.DeepEqual(append([]piece{}, rest...), append([]piece{}, second...)) {
			t.Fatalf("the other way: %+v, want %+v", rest, second)
		}
		if len(first) > 0 {
			other := compact(first)
			at := rapid.IntRange(0, len(other)-1).Draw(t, "at")
			other[at].text = "c" + other[at].text
			if _, _, ok := subtract(other, whole); ok && len(other[at].text) > 1 {
				t.Fatalf("%+v is taken for the beginning of %+v", other, whole)
			}
		}
	})
}

// The biases of ids and of texts add up; the ends of the range force and ban.
func TestBiases(t *testing.T) {
	t.Parallel()
	backend, err := sim.New(sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := backend.Vocabulary()
	got, err := biases(map[string]float64{"65": 1.5, "A": 2, "AB": -60, "66": -40, "67": 100, "<|im_end|>": -3}, v)
	want := []engine.Bias{{Token: 65, Logit: -56.5}, {Token: 66, Logit: float32(math.Inf(-1))}, {Token: 67, Logit: float32(math.Inf(1))},
		{Token: 257, Logit: -3}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
	for key, says := range map[string]string{
		"999999": "logit_bias.999999", "99999999999999999999": "logit_bias.99999999999999999999", "": `logit_bias[""]`,
	} {
		if _, err := biases(map[string]float64{key: 1}, v); err == nil || !strings.HasPrefix(err.Error(), says+":") {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// Values that mean something else to the engine are not handed on as they are.
func TestSamplingOfAJob(t *testing.T) {
	t.Parallel()
	zero, two, none := 0.0, 2.0, 0
	s, err := sampling(schemas.Job{TopP: &zero, TypicalP: &zero, RepeatPenalty: &two, PresencePenalty: &two, FrequencyPenalty: &two}, nil)
	if err != nil || s.TopP == 0 || s.TypicalP == 0 || s.RepeatPenalty != 2 ||
		s.PresencePenalty != 2 || s.PenaltyTokens != 0 || s.Temperature != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = sampling(schemas.Job{RepeatLastN: &none, RepeatPenalty: &two, PresencePenalty: &two, FrequencyPenalty: &two}, nil)
	if err != nil || s.RepeatPenalty != 1 || s.PresencePenalty != 0 || s.FrequencyPenalty != 0 {
		t.Errorf("looking back at nothing: %+v, %v", s, err)
	}
	if finite(float32(math.Inf(-1))) != -9999 || finite(float32(math.NaN())) != -9999 || finite(1e-7) != 0 || finite(-2) != -2 {
		t.Error("log probabilities that JSON cannot have")
	}
}

// The grammars used last are kept; the others go.
func TestGrammarsAreKept(t *testing.T) {
	t.Parallel()
	g := newGrammars()
	text := func(i int) string { return fmt.Sprintf(`root ::= "%d"`, i) }
	first, err := g.compile(text(0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * mostGrammars {
		if _, err := g.compile(text(i)); err != nil {
			t.Fatal(err)
		}
		if again, _ := g.compile(text(0)); again != first {
			t.Fatalf("compiled again after %d others", i)
		}
	}
	if g.recent.Len() != mostGrammars || len(g.byText) != mostGrammars || g.known(text(1)) != nil || g.known(text(2*mostGrammars-1)) == nil {
		t.Errorf("%d grammars are kept", g.recent.Len())
	}
	if _, err := g.compile("root ::= ]"); err == nil || len(g.byText) != mostGrammars {
		t.Error("what is no grammar")
	}
}

func TestCallIDs(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, job := range []string{"a", "b"} {
		for choice := range 16 {
			for call := range 16 {
				id := callID(job, choice, call)
				if len(id) != len("call_")+callIDLength || seen[id] || id != callID(job, choice, call) {
					t.Fatalf("id %q", id)
				}
				seen[id] = true
			}
		}
	}
}
