package sim_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

func TestNewRefuses(t *testing.T) {
	for name, opts := range map[string]sim.Options{
		"context above cells": {Context: 100, Cells: 50},
		"negative context":    {Context: -1},
		"negative sequences":  {Sequences: -1},
		"negative batch":      {Batch: -1},
		"negative words":      {Words: -1},
		"negative speed":      {PrefillTokensPerSecond: -1},
		"speed not a number":  {PrefillTokensPerSecond: math.NaN()},
		"negative time":       {DecodeStep: -1},
	} {
		if _, err := sim.New(opts); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func open(t *testing.T, opts sim.Options) *sim.Backend {
	t.Helper()
	b, err := sim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tokenize(t *testing.T, b *sim.Backend, text string) []engine.Token {
	t.Helper()
	tokens, err := b.Vocabulary().Tokenize(text, true)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// answer drives the backend by hand, greedily.
func answer(t *testing.T, b *sim.Backend, prompt []engine.Token) string {
	t.Helper()
	var text []byte
	for pos, token := range prompt {
		step(t, b, token, pos)
	}
	for pos := len(prompt); ; pos++ {
		logits, err := b.Logits(0)
		if err != nil {
			t.Fatal(err)
		}
		best := 0
		for i, l := range logits {
			if l > logits[best] {
				best = i
			}
		}
		token := engine.Token(best)
		if b.Vocabulary().EndOfGeneration(token) {
			return string(text)
		}
		text = b.Vocabulary().AppendPiece(text, token, false)
		step(t, b, token, pos)
	}
}

func step(t *testing.T, b *sim.Backend, token engine.Token, pos int) {
	t.Helper()
	if err := b.Step([]engine.Row{{Token: token, Pos: int32(pos), Logits: true}}); err != nil {
		t.Fatal(err)
	}
}

func TestAnswers(t *testing.T) {
	for prompt, words := range map[string]int{
		"nothing asked":                     10,
		"words=3":                           3,
		"words=5 and then words=12.":        12,
		"words=, words=x, words 7":          10,
		"wwords=4":                          4,
		"words=words=6":                     6,
		"<|im_start|>words=2<|im_end|>":     2,
		"words=\u00e9 the river words=0":    10,
		"the answer is words=7, the answer": 7,
	} {
		b := open(t, sim.Options{Words: 10})
		tokens := tokenize(t, b, prompt)
		got := answer(t, b, tokens)
		if want := sim.Text(tokens, words); got != want || len(strings.Fields(got)) != words {
			t.Errorf("%q: %q (%d words), want %q (%d)", prompt, got, len(strings.Fields(got)), want, words)
		}
	}
}

func TestSpecialTokensAreReadOnDemand(t *testing.T) {
	b := open(t, sim.Options{})
	const text = "<|im_start|><|im_end|><|endoftext|>"
	if tokens := tokenize(t, b, text); len(tokens) != 3 {
		t.Errorf("%v, want 3 special tokens", tokens)
	}
	plain, err := b.Vocabulary().Tokenize(text, false)
	var read []byte
	for _, token := range plain {
		read = b.Vocabulary().AppendPiece(read, token, false)
	}
	if err != nil || string(read) != text {
		t.Errorf("read as text: %q and %v, want %q", read, err, text)
	}
	if piece := b.Vocabulary().AppendPiece(nil, -1, false); piece != nil {
		t.Errorf("a token that is none has the piece %q", piece)
	}
}

func TestStepsTakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, sim.Options{PrefillTokensPerSecond: 100, DecodeStep: 30 * time.Millisecond})
		rows := make([]engine.Row, 51)
		for i := range rows {
			rows[i].Pos = int32(i)
		}
		rows[50].Logits = true
		began := time.Now()
		if err := b.Step(rows); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 530*time.Millisecond {
			t.Errorf("a step of 50 prefill rows and one other took %v, want 530 ms", took)
		}

		interrupted := make(chan error)
		go func() { interrupted <- b.Step([]engine.Row{{Pos: 51}, {Pos: 52}}) }()
		synctest.Wait()
		b.Interrupt()
		b.Interrupt()
		if err := <-interrupted; !errors.Is(err, engine.ErrInterrupted) {
			t.Errorf("got %v, want ErrInterrupted", err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Step(rows); !errors.Is(err, engine.ErrBackend) {
			t.Errorf("after close: %v, want ErrBackend", err)
		}
	})
}
