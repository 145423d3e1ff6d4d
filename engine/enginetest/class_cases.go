package enginetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/semantic-worker/semantic/engine"
)

// twoPlaces is a configuration with no more than two places.
func twoPlaces() engine.Config {
	config := small()
	config.StepRows = 2
	config.BatchWindow = time.Hour
	return config
}

// takesPlace: both places are taken by the lowest class when one of the highest
// comes; it is answered before they are, and they say what they say alone.
func takesPlace(ctx context.Context, s session, _ *counting) error {
	const answer = 24
	var requests []engine.Request
	for i, ask := range asks()[:3] {
		tokens, err := s.prompt(ask + " words=200")
		if err != nil {
			return err
		}
		requests = append(requests, engine.Request{ID: strconv.Itoa(i), Prompt: tokens, MaxTokens: answer, Class: 2})
	}
	requests[2].Class, requests[2].MaxTokens = 0, 2
	want, err := s.alone(ctx, requests)
	if err != nil {
		return err
	}
	sequences, err := s.atOnce(ctx, requests[:s.Limits().Sequences])
	if err != nil {
		return err
	}
	for _, seq := range sequences {
		select {
		case <-seq.Started():
		case <-ctx.Done():
			return context.Cause(ctx) //nolint:wrapcheck // the caller's own
		}
	}
	better, err := s.Submit(ctx, requests[2])
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	got, err := read(ctx, better)
	if err != nil {
		return err
	}
	if left := len(s.Snapshot().Requests); left < len(sequences) {
		return fmt.Errorf("%w: %d of %d answers were too short", ErrUnproven, len(sequences)-left, len(sequences))
	}
	if n := s.Snapshot().Preemptions; n != 1 {
		return fmt.Errorf("%d preemptions, want 1", n)
	}
	exact := s.Info().Backend == "sim"
	errs := []error{equal("the better class", exact, got, want[2])}
	for i, seq := range sequences {
		got, err := read(ctx, seq)
		if err != nil {
			return err
		}
		errs = append(errs, equal("of the lowest class: "+requests[i].ID, exact, got, want[i]))
	}
	return errors.Join(errs...)
}
