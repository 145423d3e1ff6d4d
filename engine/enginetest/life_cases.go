package enginetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/engine"
)

// lifeCases are about the end of requests.
func lifeCases() []Case {
	with := func(name string, config engine.Config, check func(ctx context.Context, s session) error) Case {
		return Case{name, func(ctx context.Context, backend engine.Backend) error {
			return on(backend, config, func(s session) error { return check(ctx, s) })
		}}
	}
	// A sequence that nobody reads stays where it is.
	unread := small()
	unread.BufferTokens = 1
	held := unread
	held.BatchWindow = time.Hour
	slow := unread
	slow.SlowConsumerTimeout = time.Millisecond
	return []Case{
		with("engine/cancel in the middle of the prompt", unread, cancelPrefill),
		with("engine/cancel in the middle of the answer", unread, cancelDecode),
		with("engine/cancel in every phase", held, cancelEverywhere),
		with("engine/a slow reader fails alone", slow, slowReader),
		with("engine/drain hands back what is needed to go on", unread, drains),
		with("engine/drain says who finished", unread, drainsInTime),
	}
}

// cancelEverywhere cancels by ID in each phase in which a sequence can be kept.
func cancelEverywhere(ctx context.Context, s session) error {
	prompt, err := s.prompt("Tell a long story, words=100000")
	if err != nil {
		return err
	}
	emitted, err := s.Vocabulary().Tokenize(strings.Repeat(someText, 4), false)
	if err != nil {
		return fmt.Errorf("tokenize: %w", err)
	}
	emitted = emitted[:min(len(emitted), s.Limits().Context/2)]
	for _, c := range []struct {
		phase   engine.Phase
		emitted []engine.Token
		start   bool
	}{
		{phase: engine.PhaseWaiting},
		{phase: engine.PhaseReplay, emitted: emitted, start: true},
		{phase: engine.PhaseBlocked, start: true},
	} {
		s.SetBatchWindow(time.Hour)
		seq, err := s.Submit(ctx, engine.Request{ID: string(c.phase), Prompt: prompt, Emitted: c.emitted})
		if err != nil {
			return fmt.Errorf("submit: %w", err)
		}
		if c.start {
			s.SetBatchWindow(0)
		}
		if err := s.reaches(ctx, c.phase); err != nil {
			return err
		}
		if !s.Cancel(string(c.phase)) {
			return fmt.Errorf("cancel while %s: no such request", c.phase)
		}
		if err := errors.Join(cancelled(ctx, seq), s.free()); err != nil {
			return fmt.Errorf("cancel while %s: %w", c.phase, err)
		}
		if s.Cancel(string(c.phase)) {
			return fmt.Errorf("cancelled while %s, and there still", c.phase)
		}
	}
	s.SetBatchWindow(0)
	return repeats(ctx, s)
}

// reaches waits until the only request is in a phase, or beyond it where it does
// not stay.
func (s session) reaches(ctx context.Context, phase engine.Phase) error {
	for ctx.Err() == nil {
		requests := s.Snapshot().Requests
		if len(requests) != 1 {
			return fmt.Errorf("%w: it ended before it was %s", ErrUnproven, phase)
		}
		if at := requests[0].Phase; at == phase || at == engine.PhaseBlocked {
			return nil
		}
		runtime.Gosched()
	}
	return context.Cause(ctx) //nolint:wrapcheck // the caller's own
}

// slowReader leaves one sequence unread and reads another.
func slowReader(ctx context.Context, s session) error {
	prompt, err := s.prompt("Tell a long story, words=100000")
	if err != nil {
		return err
	}
	unread, err := s.Submit(ctx, engine.Request{ID: "unread", Prompt: prompt})
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	if s.Limits().Sequences > 1 {
		seq, err := s.Submit(ctx, engine.Request{ID: "read", Prompt: prompt, MaxTokens: 16})
		if err != nil {
			return fmt.Errorf("submit: %w", err)
		}
		// On a busy machine the reader may be late too; who reads is not blocked for
		// long.
		if _, err := read(ctx, seq); err != nil && !errors.Is(err, engine.ErrSlowConsumer) {
			return err
		}
	}
	for len(s.Snapshot().Requests) > 0 && ctx.Err() == nil {
		runtime.Gosched()
	}
	tokens := 0
	for {
		chunk, err := unread.Next(ctx)
		tokens += len(chunk.Tokens)
		switch {
		case errors.Is(err, engine.ErrSlowConsumer) && tokens == 1:
			return nil
		case errors.Is(err, engine.ErrSlowConsumer):
			return fmt.Errorf("%d tokens in a buffer for one", tokens)
		case err != nil:
			return fmt.Errorf("got %w, want ErrSlowConsumer", err)
		case chunk.Finish != "":
			return fmt.Errorf("%w: the answer was too short", ErrUnproven)
		}
	}
}

func drains(ctx context.Context, s session) error {
	prompt, err := s.prompt("Tell a long story, words=100000")
	if err != nil {
		return err
	}
	seq, err := s.Submit(ctx, engine.Request{ID: "story", Prompt: prompt, Class: 1})
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	first, err := seq.Next(ctx)
	if err != nil {
		return fmt.Errorf("next: %w", err)
	}
	unfinished := s.Drain(ctx, time.Millisecond).Unfinished
	if first.Finish != "" || len(unfinished) == 0 {
		return fmt.Errorf("%w: the answer was too short", ErrUnproven)
	}
	tokens, text := first.Tokens, first.Text
	for {
		chunk, err := seq.Next(ctx)
		tokens, text = append(tokens, chunk.Tokens...), text+chunk.Text
		if errors.Is(err, engine.ErrDrained) {
			break
		}
		if err != nil {
			return fmt.Errorf("next: %w", err)
		}
	}
	if u := unfinished[0]; u.ID != "story" || u.Class != 1 || !errors.Is(u.Err, engine.ErrDrained) ||
		fmt.Sprint(u.Generated) != fmt.Sprint(tokens) || u.Bytes != len(text) {
		return fmt.Errorf("drain returned %+v, the reader got %v of %d bytes", u, tokens, len(text))
	}
	if _, err := s.Submit(ctx, engine.Request{ID: "late", Prompt: prompt}); !errors.Is(err, engine.ErrDraining) {
		return fmt.Errorf("submit while draining: %w", errors.Join(err, errors.New("want ErrDraining")))
	}
	return nil
}

// drainsInTime: who comes to the end in time does, and nobody else.
func drainsInTime(ctx context.Context, s session) error {
	prompt, err := s.prompt("Tell a long story, words=100000")
	if err != nil {
		return err
	}
	var sequences []*engine.Sequence
	for _, id := range []string{"read", "cancelled"} {
		seq, err := s.Submit(ctx, engine.Request{ID: id, Prompt: prompt, MaxTokens: 6})
		if err != nil {
			return fmt.Errorf("submit: %w", err)
		}
		sequences = append(sequences, seq)
	}
	drained := make(chan engine.Drained, 1)
	go func() { drained <- s.Drain(ctx, time.Hour) }()
	for !s.Snapshot().Draining && ctx.Err() == nil {
		runtime.Gosched()
	}
	if _, err := read(ctx, sequences[0]); err != nil {
		return err
	}
	s.Cancel("cancelled")
	what := <-drained
	if len(what.Finished) != 1 || what.Finished[0] != "read" || len(what.Unfinished) != 1 ||
		!errors.Is(what.Unfinished[0].Err, engine.ErrCancelled) {
		return fmt.Errorf("drain returned %+v, want one finished and one cancelled", what)
	}
	return cancelled(ctx, sequences[1])
}
