package engine_test

import (
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

// A sequence that is to be alone has its steps to itself until Together: others
// pause, with their cells, whatever they were at, and all end with the same tokens
// as without it. That holds also where it needs their room.
func TestAlone(t *testing.T) {
	t.Parallel()
	for name, cells := range map[string]int{"room": 8192, "no room": 300} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testAlone(t, cells)
		})
	}
}

func testAlone(t *testing.T, cells int) {
	t.Helper()
	var mu sync.Mutex
	mine := make(map[engine.SeqID]bool) // whose prompt begins as that of the one that is alone
	var first engine.Token
	var beside, solo int // steps in which it had company, and had not
	var ended bool
	g := newGate()
	backend := &spy{Backend: simulate(t, sim.Options{
		Cells: cells, Context: 256, Sequences: 8, Clock: g, DecodeStep: time.Millisecond,
	}), step: func(rows []engine.Row) error {
		mu.Lock()
		defer mu.Unlock()
		var others, own bool
		for _, row := range rows {
			if row.Pos == 0 {
				mine[row.Seq] = row.Token == first
			}
			others = others || !mine[row.Seq]
			own = own || mine[row.Seq]
		}
		switch {
		case ended:
		case own && others:
			beside++
		case own:
			solo++
		}
		return nil
	}}
	config := engine.DefaultConfig()
	config.SpillBytes = 0 // so that a prompt is computed from its beginning wherever it goes
	e, err := engine.New(engine.Options{Backend: backend, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	submit := func(id, text string, alone bool) *engine.Sequence {
		t.Helper()
		prompt, err := e.Vocabulary().Tokenize(text, true)
		if err != nil {
			t.Fatal(err)
		}
		s, err := e.Submit(t.Context(), engine.Request{ID: id, Prompt: prompt, MaxTokens: 130, Alone: alone})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	others := []*engine.Sequence{submit("a", "a words=900", false), submit("b", "b words=900", false)}
	for range 40 {
		<-g.entered
		g.release <- struct{}{}
	}
	mu.Lock()
	first = '!'
	mu.Unlock()
	alone := submit("alone", "! words=40 alone", true)
	defer g.open()()
	tokens := 0
	for tokens < 20 {
		chunk, err := alone.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tokens += len(chunk.Tokens)
	}
	mu.Lock()
	ended = true
	if beside > 0 || solo < 20 {
		t.Errorf("%d steps alone, %d in company", solo, beside)
	}
	mu.Unlock()
	alone.Together()
	for _, s := range append(others, alone) {
		for {
			_, err := s.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
