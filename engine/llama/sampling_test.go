package llama

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/semantic-worker/semantic/engine"
)

// fixed is a backend whose every row has the same logits.
type fixed struct {
	logits []float32
	used   map[engine.SeqID]int
}

func (f *fixed) Info() engine.ModelInfo { return engine.ModelInfo{Name: "fixed", Backend: "sim"} }
func (f *fixed) Limits() engine.Limits {
	return engine.Limits{Cells: 1 << 15, Context: 1 << 14, Batch: 512, Sequences: 16}
}
func (f *fixed) Vocabulary() engine.Vocabulary { return letters(len(f.logits)) }
func (f *fixed) Step(rows []engine.Row) error {
	for _, r := range rows {
		f.used[r.Seq]++
	}
	return nil
}
func (f *fixed) Logits(int) ([]float32, error) { return f.logits, nil }
func (f *fixed) Remove(seq engine.SeqID, from int32) error {
	f.used[seq] = min(f.used[seq], int(from))
	return nil
}
func (f *fixed) Share(dst, _ engine.SeqID, n int32) error {
	f.used[dst] = int(n)
	return nil
}
func (f *fixed) Save(engine.SeqID, int32) ([]byte, error) { return nil, engine.ErrInvalid }
func (f *fixed) Restore(engine.SeqID, []byte) error       { return engine.ErrInvalid }
func (f *fixed) Interrupt()                               {}
func (f *fixed) Close() error                             { return nil }
func (f *fixed) CellsUsed() (n int) {
	for _, used := range f.used {
		n += used
	}
	return n
}

// letters is a vocabulary of one-letter tokens without an end.
type letters int

func (l letters) Size() int                                     { return int(l) }
func (l letters) EndOfGeneration(engine.Token) bool             { return false }
func (l letters) Tokenize(string, bool) ([]engine.Token, error) { return nil, engine.ErrInvalid }
func (l letters) AppendPiece(dst []byte, t engine.Token, _ bool) []byte {
	return append(dst, 'a'+byte(t%26))
}

// native returns the probabilities that llama.cpp's samplers leave.
func native(logits []float32, history []engine.Token, s engine.Sampling) []float64 {
	chain := binding.SamplerChainInit(binding.SamplerChainDefaultParams())
	defer binding.SamplerFree(chain) // and what is in it
	if len(s.Bias) > 0 {
		bias := make([]binding.LogitBias, len(s.Bias))
		for i, b := range s.Bias {
			bias[i] = binding.LogitBias{Token: binding.Token(b.Token), Bias: b.Logit}
		}
		binding.SamplerChainAdd(chain, binding.SamplerInitLogitBias(int32(len(logits)), int32(len(bias)), &bias[0]))
	}
	if s.RepeatPenalty != 0 || s.PresencePenalty != 0 || s.FrequencyPenalty != 0 {
		repeat := float32(1)
		if s.RepeatPenalty != 0 {
			repeat = float32(s.RepeatPenalty)
		}
		binding.SamplerChainAdd(chain, binding.SamplerInitPenalties(int32(len(logits)), int32(s.PenaltyTokens), repeat,
			float32(s.FrequencyPenalty), float32(s.PresencePenalty)))
	}
	if s.TopK > 0 {
		binding.SamplerChainAdd(chain, binding.SamplerInitTopK(int32(s.TopK)))
	}
	if s.TypicalP > 0 {
		binding.SamplerChainAdd(chain, binding.SamplerInitTypical(float32(s.TypicalP), 1))
	}
	if s.TopP > 0 {
		binding.SamplerChainAdd(chain, binding.SamplerInitTopP(float32(s.TopP), 1))
	}
	if s.MinP > 0 {
		binding.SamplerChainAdd(chain, binding.SamplerInitMinP(float32(s.MinP), 1))
	}
	binding.SamplerChainAdd(chain, binding.SamplerInitTemp(float32(s.Temperature)))
	binding.SamplerChainAdd(chain, binding.SamplerInitDist(1)) // makes probabilities of what is left
	for _, t := range history {
		binding.SamplerAccept(chain, binding.Token(t))
	}
	data := make([]binding.TokenData, len(logits))
	for i, l := range logits {
		data[i] = binding.TokenData{Id: binding.Token(i), Logit: l}
	}
	array := &binding.TokenDataArray{Data: &data[0], Size: uint64(len(data)), Selected: -1}
	binding.SamplerApply(chain, array)
	left := make([]float64, len(logits))
	for _, d := range unsafe.Slice(array.Data, array.Size) {
		left[d.Id] = float64(d.P)
	}
	return left
}

// The engine draws from the distribution that llama.cpp's samplers leave of the
// same logits: never a token that they drop, and the others as often as they
// say (chi-square, critical value of one in a thousand).
func TestSamplesAsLlamaDoes(t *testing.T) {
	open(t, nil) // loads the library
	random := rand.New(rand.NewPCG(5, 6))
	logits := make([]float32, 60)
	for i := range logits {
		logits[i] = float32(random.NormFloat64() * 1.5)
	}
	history := []engine.Token{3, 9, 3, 3, 27, 41, 9, 55, 3, 0}
	for _, s := range []engine.Sampling{
		{Temperature: 1},
		{Temperature: 0.5},
		{Temperature: 1.7},
		{Temperature: 1, TopK: 7},
		{Temperature: 1, TopP: 0.7},
		{Temperature: 1, MinP: 0.2},
		{Temperature: 1, TypicalP: 0.5},
		{Temperature: 1.3, TopK: 40, TypicalP: 0.8, TopP: 0.9, MinP: 0.1},
		{Temperature: 1, RepeatPenalty: 1.5, PenaltyTokens: 64},
		{Temperature: 1, RepeatPenalty: 1.2, PenaltyTokens: 4},
		{Temperature: 1, PresencePenalty: 1.5, FrequencyPenalty: 0.4, PenaltyTokens: 64},
		{Temperature: 0.8, RepeatPenalty: 0.7, FrequencyPenalty: -0.5, PenaltyTokens: 64, TopP: 0.8},
		{Temperature: 1, Bias: []engine.Bias{{Token: 2, Logit: 4}, {Token: 9, Logit: float32(math.Inf(-1))}}, TopK: 20},
	} {
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			want := native(logits, history, s)
			const draws = 4000
			got := draw(t, logits, history, s, draws)
			chi, bins, rest := 0.0, 0, 0.0
			for token, p := range want {
				expected := p * draws
				if p == 0 && got[token] > 0 {
					t.Errorf("token %d was drawn %d times; llama.cpp drops it", token, got[token])
				}
				if expected < 5 { // too few for the test
					rest += float64(got[token]) - expected
					continue
				}
				chi += (float64(got[token]) - expected) * (float64(got[token]) - expected) / expected
				bins++
			}
			// Wilson and Hilferty's approximation of the quantile.
			df := float64(max(bins-1, 1))
			critical := df * math.Pow(1-2/(9*df)+3.09*math.Sqrt(2/(9*df)), 3)
			t.Logf("chi-square %.1f of at most %.1f over %d tokens, %.0f draws beside", chi, critical, bins, rest)
			if chi > critical {
				t.Error("another distribution")
			}
		})
	}
}

// draw counts the tokens that as many requests with different seeds get.
func draw(t *testing.T, logits []float32, history []engine.Token, s engine.Sampling, n int) []int {
	t.Helper()
	e, err := engine.New(engine.Options{Backend: &fixed{logits: logits, used: map[engine.SeqID]int{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	counts := make([]int, len(logits))
	for seed := range n {
		s.Seed = int64(seed)
		seq, err := e.Submit(t.Context(), engine.Request{
			ID: "draw", Prompt: []engine.Token{0}, Emitted: history, Sampling: s, MaxTokens: len(history) + 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		counts[one(t.Context(), t, seq)]++
	}
	return counts
}

func one(ctx context.Context, t *testing.T, seq *engine.Sequence) (token engine.Token) {
	t.Helper()
	token = -1
	for {
		chunk, err := seq.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return token
		case err != nil:
			t.Fatal(err)
		case len(chunk.Tokens) > 0:
			token = chunk.Tokens[0]
		}
	}
}
