package enginetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/semantic-worker/semantic/engine"
)

// counting is a backend that counts what is asked of it. The counters may be
// read by anybody.
type counting struct {
	engine.Backend

	rows, saves, restores atomic.Int64
}

func (c *counting) Step(rows []engine.Row) error {
	err := c.Backend.Step(rows)
	if err == nil {
		c.rows.Add(int64(len(rows)))
	}
	return err
}

func (c *counting) Save(seq engine.SeqID, n int32) ([]byte, error) {
	c.saves.Add(1)
	return c.Backend.Save(seq, n)
}

func (c *counting) Restore(seq engine.SeqID, state []byte) error {
	c.restores.Add(1)
	return c.Backend.Restore(seq, state)
}

// roomCases are about cells that are shared, taken away and given back.
func roomCases() []Case {
	with := func(name string, config engine.Config, check func(ctx context.Context, s session, c *counting) error) Case {
		return Case{name, func(ctx context.Context, backend engine.Backend) error {
			c := &counting{Backend: backend}
			return on(c, config, func(s session) error { return check(ctx, s, c) })
		}}
	}
	// They arrive in one step: the engine waits for them until it is told to start.
	together := small()
	together.BatchWindow, together.AdmitReserve = time.Hour, 1
	unread := together
	unread.BufferTokens = 1
	return []Case{
		with("engine/a beginning that many share is read once", together, readsOnce),
		with("engine/what is shared is in memory once", unread, residesOnce),
		with("engine/n of one prompt", together, several),
		with("engine/who waited for another goes on without it", together, leaderGoes),
		{"engine/preempted sequences go on", preempts(engine.DefaultConfig().SpillBytes)},
		{"engine/preempted sequences are computed again", preempts(0)},
		{"engine/the lowest class gives way", givesWay},
		with("engine/a better class takes a place", twoPlaces(), takesPlace),
	}
}

// common is a prompt's beginning of n tokens, or fewer where there is not that
// much room.
func (s session) common(n int) ([]engine.Token, error) {
	tokens, err := s.Vocabulary().Tokenize("<|im_start|>user\n"+strings.Repeat(someText+" ", n/16), true)
	if err != nil {
		return nil, fmt.Errorf("tokenize: %w", err)
	}
	return tokens[:min(n, s.Limits().Context/2, len(tokens))], nil
}

// crowd are n requests for prompts that begin with the same tokens, size of them
// where there is room.
func (s session) crowd(n, size, answer int) (requests []engine.Request, common int, err error) {
	begin, err := s.common(size)
	if err != nil {
		return nil, 0, err
	}
	for i := range min(n, s.Limits().Sequences) {
		end, err := s.Vocabulary().Tokenize(fmt.Sprintf("%d? words=90<|im_end|>\n<|im_start|>assistant\n", i), true)
		if err != nil {
			return nil, 0, fmt.Errorf("tokenize: %w", err)
		}
		requests = append(requests, engine.Request{
			ID: strconv.Itoa(i), Prompt: append(begin[:len(begin):len(begin)], end...), MaxTokens: answer,
		})
	}
	if len(requests) < 2 {
		return nil, 0, fmt.Errorf("%w: it has room for one sequence only", ErrUnproven)
	}
	return requests, len(begin), nil
}

// alone runs requests one after another, so that nobody shares anything.
func (s session) alone(ctx context.Context, requests []engine.Request) ([]output, error) {
	s.SetBatchWindow(0)
	defer s.SetBatchWindow(time.Hour)
	outputs := make([]output, len(requests))
	for i, r := range requests {
		r.ID = "alone " + r.ID
		var err error
		if outputs[i], err = s.run(ctx, r); err != nil {
			return nil, err
		}
		if cached := outputs[i].end.Usage.Cached; cached != 0 {
			return nil, fmt.Errorf("%s: %d cached tokens with nobody to share with", r.ID, cached)
		}
	}
	return outputs, nil
}

// atOnce submits requests that find each other in the first step.
func (s session) atOnce(ctx context.Context, requests []engine.Request) ([]*engine.Sequence, error) {
	sequences := make([]*engine.Sequence, len(requests))
	for i, r := range requests {
		var err error
		if sequences[i], err = s.Submit(ctx, r); err != nil {
			return nil, fmt.Errorf("submit: %w", err)
		}
	}
	s.SetBatchWindow(0)
	return sequences, nil
}

// shareable is whether sequences can share a beginning on this backend.
func (s session) shareable() error {
	if s.Info().Memory == engine.MemoryWhole {
		return fmt.Errorf("%w: its sequences cannot be shared in part", ErrUnproven)
	}
	return nil
}

// blockQuantum is what shared beginnings are multiples of.
const blockQuantum = 64

func readsOnce(ctx context.Context, s session, c *counting) error {
	requests, common, err := s.crowd(16, 2048, 4)
	if err != nil {
		return err
	}
	// What the first of them say alone.
	want, err := s.alone(ctx, requests[:2])
	if err != nil {
		return err
	}
	before := c.rows.Load()
	sequences, err := s.atOnce(ctx, requests)
	if err != nil {
		return err
	}
	cached, most := 0, int64(common)
	for i, seq := range sequences {
		got, err := read(ctx, seq)
		if err != nil {
			return err
		}
		cached += got.end.Usage.Cached
		most += int64(len(requests[i].Prompt) - common + blockQuantum + len(got.tokens))
		got.end.Usage.Cached = 0
		if i >= len(want) {
			continue
		}
		// A beginning that was read in other steps may have other bits.
		if err := equal("of many: "+requests[i].ID, s.Info().Backend == "sim", got, want[i]); err != nil {
			return err
		}
	}
	if err := s.shareable(); err != nil {
		return err
	}
	if rows := c.rows.Load() - before; rows > most {
		return fmt.Errorf("%d rows for %d prompts that begin with the same %d tokens, want at most %d", rows, len(requests), common, most)
	}
	if least := (len(requests) - 1) * (common / blockQuantum * blockQuantum); cached < least {
		return fmt.Errorf("%d cached tokens of %d prompts that begin with the same %d tokens, want %d", cached, len(requests), common, least)
	}
	return nil
}

func residesOnce(ctx context.Context, s session, _ *counting) error {
	requests, common, err := s.crowd(8, 2048, 0)
	if err != nil {
		return err
	}
	if err := s.shareable(); err != nil {
		return err
	}
	sequences, err := s.atOnce(ctx, requests)
	if err != nil {
		return err
	}
	most := common
	for i, seq := range sequences {
		chunk, err := seq.Next(ctx)
		if err != nil {
			return fmt.Errorf("next: %w", err)
		}
		// The token that was read, one in its buffer, and what is not shared of the
		// beginning.
		most += len(requests[i].Prompt) - common + len(chunk.Tokens) + 1 + common%blockQuantum
	}
	used := s.Snapshot().CellsUsed
	for _, seq := range sequences {
		seq.Cancel()
		if _, err := read(ctx, seq); err != nil && !errors.Is(err, engine.ErrCancelled) {
			return err
		}
	}
	if used > most {
		return fmt.Errorf("%d cells for %d prompts that begin with the same %d tokens, want at most %d", used, len(requests), common, most)
	}
	return nil
}

// several asks one prompt several times.
func several(ctx context.Context, s session, c *counting) error {
	prompt, err := s.prompt("Tell me about " + someText + " words=90")
	if err != nil {
		return err
	}
	var requests []engine.Request
	for i := range min(4, s.Limits().Sequences) {
		requests = append(requests, engine.Request{
			ID: strconv.Itoa(i), Prompt: prompt, MaxTokens: 12,
			Sampling: engine.Sampling{Temperature: 0.9, TopK: 40, Seed: int64(i)},
		})
	}
	want, err := s.alone(ctx, requests)
	if err != nil {
		return err
	}
	before := c.rows.Load()
	sequences, err := s.atOnce(ctx, requests)
	if err != nil {
		return err
	}
	cached, most := 0, int64(len(prompt))
	for i, seq := range sequences {
		got, err := read(ctx, seq)
		if err != nil {
			return err
		}
		cached += got.end.Usage.Cached
		most += int64(len(got.tokens)) + 1
		got.end.Usage.Cached = 0
		if err := equal("choice "+requests[i].ID, s.Info().Backend == "sim", got, want[i]); err != nil {
			return err
		}
	}
	if err := s.shareable(); err != nil {
		return err
	}
	if rows := c.rows.Load() - before; rows > most {
		return fmt.Errorf("%d rows for a prompt of %d tokens asked %d times, want at most %d", rows, len(prompt), len(requests), most)
	}
	if want := (len(requests) - 1) * (len(prompt) - 1); cached != want {
		return fmt.Errorf("%d cached tokens, want %d", cached, want)
	}
	return nil
}

// leaderGoes cancels the first of a crowd when it has begun to read for all.
func leaderGoes(ctx context.Context, s session, _ *counting) error {
	requests, _, err := s.crowd(4, 200, 4)
	if err != nil {
		return err
	}
	want, err := s.alone(ctx, requests)
	if err != nil {
		return err
	}
	sequences, err := s.atOnce(ctx, requests)
	if err != nil {
		return err
	}
	select {
	case <-sequences[0].Started():
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // the caller's own
	}
	sequences[0].Cancel()
	if _, err := read(ctx, sequences[0]); err != nil && !errors.Is(err, engine.ErrCancelled) {
		return err
	}
	for i, seq := range sequences[1:] {
		got, err := read(ctx, seq)
		if err != nil {
			return err
		}
		got.end.Usage.Cached = 0
		if err := equal("without the first: "+requests[i+1].ID, s.Info().Backend == "sim", got, want[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// preempts gives four sequences room for less than three.
func preempts(spill int64) func(ctx context.Context, backend engine.Backend) error {
	return func(ctx context.Context, backend engine.Backend) error {
		if backend.Limits().Sequences < 4 {
			return errors.Join(fmt.Errorf("%w: it has room for fewer than 4 sequences", ErrUnproven), backend.Close())
		}
		prompt, err := session{}.count(backend)
		if err != nil {
			return errors.Join(err, backend.Close())
		}
		const answer = 48
		config := small()
		config.MaxCells = 2*(prompt+answer) + answer/2
		config.AdmitReserve = 1
		config.SpillBytes = spill
		c := &counting{Backend: backend}
		return on(c, config, func(s session) error {
			if err := batchOf(ctx, s, 4, answer); err != nil {
				return err
			}
			snapshot := s.Snapshot()
			switch saves, restores := c.saves.Load(), c.restores.Load(); {
			case snapshot.Preemptions == 0:
				return fmt.Errorf("%w: the answers were too short to need room", ErrUnproven)
			case spill == 0 && saves+restores > 0:
				return fmt.Errorf("%d states were saved and %d restored, with no room for any", saves, restores)
			case spill > 0 && (saves == 0 || restores == 0):
				return fmt.Errorf("%d states were saved and %d restored in %d preemptions", saves, restores, snapshot.Preemptions)
			case snapshot.KeptBytes != 0:
				return fmt.Errorf("%d bytes of states are left", snapshot.KeptBytes)
			}
			return nil
		})
	}
}

// givesWay: of four sequences in room for their prompts and little more those of the lowest
// classes lose their cells, though they came first.
func givesWay(ctx context.Context, backend engine.Backend) error {
	if backend.Limits().Sequences < 4 {
		return errors.Join(fmt.Errorf("%w: it has room for fewer than 4 sequences", ErrUnproven), backend.Close())
	}
	prompt, err := session{}.count(backend)
	if err != nil {
		return errors.Join(err, backend.Close())
	}
	const answer = 48
	config := small()
	config.MaxCells = 4*prompt + answer/2
	config.AdmitReserve, config.BatchWindow = 1, time.Hour
	return on(backend, config, func(s session) error {
		var requests []engine.Request
		for i, ask := range asks()[:4] {
			tokens, err := s.prompt(ask + " words=200")
			if err != nil {
				return err
			}
			requests = append(requests, engine.Request{ID: strconv.Itoa(i), Prompt: tokens, MaxTokens: answer, Class: 3 - i})
		}
		sequences, err := s.atOnce(ctx, requests)
		if err != nil {
			return err
		}
		// The highest class is read to its end first.
		for i := range sequences {
			seq := sequences[len(sequences)-1-i]
			for chunk, err := seq.Next(ctx); chunk.Finish == ""; chunk, err = seq.Next(ctx) {
				if err != nil {
					return fmt.Errorf("next: %w", err)
				}
				for _, r := range s.Snapshot().Requests {
					if r.Class == 0 && r.Preemptions > 0 {
						return errors.New("the highest class lost its cells")
					}
				}
			}
		}
		if s.Snapshot().Preemptions == 0 {
			return fmt.Errorf("%w: the answers were too short to need room", ErrUnproven)
		}
		return nil
	})
}
