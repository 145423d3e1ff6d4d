package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/semantic-worker/semantic/engine"
)

// backendCases are about a backend alone.
func backendCases() []Case {
	owned := func(name string, check func(b *bench) error) Case {
		return Case{name, func(_ context.Context, backend engine.Backend) error {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			b := &bench{Backend: backend, limits: backend.Limits()}
			err := b.prepare()
			if err == nil {
				err = check(b)
			}
			if err != nil && !errors.Is(err, ErrUnproven) {
				return errors.Join(err, backend.Close())
			}
			return errors.Join(err, b.empty(), backend.Close())
		}}
	}
	return []Case{
		owned("backend/describes itself", describes),
		owned("backend/cells are counted", counts),
		owned("backend/logits depend on the sequence alone", depends),
		owned("backend/shared positions use no cells", shares),
		owned("backend/a state comes back bit for bit", comesBack),
		owned("backend/invalid arguments are refused", refuses),
		owned("backend/no room changes nothing", overflows),
		owned("backend/interrupt ends one step at most", interrupts),
	}
}

// bench is a backend on the test bench.
type bench struct {
	engine.Backend

	limits engine.Limits
	// text is some tokens to decode, as many as a step takes of all.
	text, all []engine.Token
}

func (b *bench) prepare() error {
	var err error
	b.text, err = b.Vocabulary().Tokenize(someText, false)
	if err != nil {
		return fmt.Errorf("tokenize: %w", err)
	}
	b.all = b.text
	b.text = b.text[:min(len(b.text), b.limits.Batch)]
	if len(b.text) < 24 {
		return fmt.Errorf("%w: it takes fewer than 24 rows in a step, or reads %d bytes as %d tokens", ErrUnproven, len(someText), len(b.all))
	}
	return nil
}

const someText = "The river ran past the old stone bridge, and on the far side a lantern moved slowly through the garden " +
	"while the wind carried the smell of rain over the hill and down into the quiet valley."

// rows makes rows of a sequence for tokens from a position on; the last asks
// for logits.
func rows(seq engine.SeqID, from int, tokens ...engine.Token) []engine.Row {
	out := make([]engine.Row, len(tokens))
	for i, token := range tokens {
		out[i] = engine.Row{Token: token, Pos: int32(from + i), Seq: seq}
	}
	out[len(out)-1].Logits = true
	return out
}

// last makes a step and returns a copy of the last row's logits.
func (b *bench) last(step []engine.Row) ([]float32, error) {
	if err := b.Step(step); err != nil {
		return nil, fmt.Errorf("step of %d rows: %w", len(step), err)
	}
	logits, err := b.Logits(len(step) - 1)
	if err == nil && len(logits) != b.Vocabulary().Size() {
		err = fmt.Errorf("%d logits for a vocabulary of %d", len(logits), b.Vocabulary().Size())
	}
	return slices.Clone(logits), err
}

func (b *bench) cells(want int, when string) error {
	if got := b.CellsUsed(); got != want {
		return fmt.Errorf("%s: %d cells in use, want %d", when, got, want)
	}
	return nil
}

// whole reports whether sequences can be taken as a whole only.
func (b *bench) whole() bool { return b.Info().Memory == engine.MemoryWhole }

// cutBack drops the positions from … end of sequence 0. A sequence that cannot
// be cut is refused and computed again.
func (b *bench) cutBack(text []engine.Token, from int) error {
	err := b.Remove(0, int32(from))
	if !b.whole() {
		return err
	}
	if !errors.Is(err, engine.ErrInvalid) {
		return fmt.Errorf("cut of a state that cannot be cut: %w", errors.Join(err, errors.New("want ErrInvalid")))
	}
	if err := b.Remove(0, 0); err != nil {
		return fmt.Errorf("free: %w", err)
	}
	_, err = b.last(rows(0, 0, text[:from]...))
	return err
}

// empty frees everything and checks that it is free.
func (b *bench) empty() error {
	for seq := range b.limits.Sequences {
		if err := b.Remove(engine.SeqID(seq), 0); err != nil {
			return fmt.Errorf("free sequence %d: %w", seq, err)
		}
	}
	return b.cells(0, "after all sequences are freed")
}

// same compares bits.
func (b *bench) same(what string, got, want []float32) error {
	if slices.Equal(got, want) {
		return nil
	}
	if !exact(b.Info()) {
		return fmt.Errorf("%w: %s: other bits", ErrUnproven, what)
	}
	return fmt.Errorf("%s: other bits", what)
}

func describes(b *bench) error {
	l, info := b.limits, b.Info()
	switch {
	case l.Context < 2 || l.Cells < l.Context || l.Batch < 1 || l.Sequences < 1:
		return fmt.Errorf("limits %+v", l)
	case info.Name == "" || info.Architecture == "" || info.Fingerprint == "" || info.ContextReason == "" || info.ContextTrained < 1:
		return fmt.Errorf("something is missing in %+v", info)
	case !slices.Contains([]string{"metal", "cpu", "sim"}, info.Backend):
		return fmt.Errorf("backend %q", info.Backend)
	}
	var bytes []byte
	for _, token := range b.all {
		bytes = b.Vocabulary().AppendPiece(bytes, token, false)
	}
	if string(bytes) != someText {
		return fmt.Errorf("tokenized and put together again: %q", bytes)
	}
	return nil
}

func counts(b *bench) error {
	if err := b.cells(0, "at first"); err != nil {
		return err
	}
	n := len(b.text)
	if _, err := b.last(rows(0, 0, b.text...)); err != nil {
		return err
	}
	if err := errors.Join(b.cells(n, "after a prefill"), b.cutBack(b.text, 10), b.cells(10, "after a cut")); err != nil {
		return err
	}
	if _, err := b.last(rows(0, 10, b.text[10:20]...)); err != nil {
		return err
	}
	return errors.Join(b.cells(20, "after going on"), b.Remove(0, 20), b.cells(20, "after a cut at the end"),
		b.Remove(0, 0), b.cells(0, "after all"))
}

// depends: the last logits of a text are the same in one step or several, again
// after a cut, and beside another sequence.
func depends(b *bench) error {
	n := min(len(b.text), exactRows-24, b.limits.Batch)
	text := b.text[:n]
	want, err := b.last(rows(0, 0, text...))
	if err != nil {
		return err
	}
	if err := b.Remove(0, 0); err != nil {
		return fmt.Errorf("free: %w", err)
	}
	for i, token := range text[:n-1] {
		if _, err := b.last(rows(0, i, token)); err != nil {
			return err
		}
	}
	got, err := b.last(rows(0, n-1, text[n-1]))
	if err := errors.Join(err, b.same("one row a step against one step", got, want)); err != nil {
		return err
	}
	if err := b.cutBack(text, n-3); err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	got, err = b.last(rows(0, n-3, text[n-3:]...))
	if err := errors.Join(err, b.same("again after a cut", got, want)); err != nil || b.limits.Sequences < 2 {
		return err
	}
	if err := b.cutBack(text, n-1); err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	beside := append(rows(1, 0, b.text[:min(20, b.limits.Batch-1)]...), rows(0, n-1, text[n-1])...)
	got, err = b.last(beside)
	return errors.Join(err, b.same("beside another sequence", got, want))
}

func shares(b *bench) error {
	if b.limits.Sequences < 2 {
		return fmt.Errorf("%w: it has room for one sequence only", ErrUnproven)
	}
	if b.whole() {
		return sharesWhole(b)
	}
	n := 16
	want, err := b.last(rows(0, 0, b.text[:n]...))
	if err != nil {
		return err
	}
	if err := errors.Join(b.Share(1, 0, int32(n-1)), b.cells(n, "after sharing")); err != nil {
		return err
	}
	got, err := b.last(rows(1, n-1, b.text[n-1]))
	if err := errors.Join(err, b.cells(n+1, "after one row of its own"), b.same("on a shared prefix", got, want)); err != nil {
		return err
	}
	if err := errors.Join(b.Remove(0, 0), b.cells(n, "after the source is gone"), b.Remove(1, int32(n-1))); err != nil {
		return err
	}
	got, err = b.last(rows(1, n-1, b.text[n-1]))
	return errors.Join(err, b.same("on a prefix whose source is gone", got, want), b.Remove(1, 0), b.cells(0, "after both are gone"))
}

// sharesWhole: at the length that the source has, and at no other.
func sharesWhole(b *bench) error {
	n := 16
	want, err := b.last(rows(0, 0, b.text[:n+1]...))
	if err := errors.Join(err, b.cutBack(b.text, n)); err != nil {
		return err
	}
	if err := b.Share(1, 0, int32(n-1)); !errors.Is(err, engine.ErrInvalid) {
		return fmt.Errorf("sharing a part of what can be shared as a whole: %w", errors.Join(err, errors.New("want ErrInvalid")))
	}
	if err := errors.Join(b.Share(1, 0, int32(n)), b.cells(n, "after sharing")); err != nil {
		return err
	}
	for seq := range engine.SeqID(2) {
		got, err := b.last(rows(seq, n, b.text[n]))
		if err := errors.Join(err, b.cells(n+1+int(seq), "after one row of its own"), b.same("on a shared prefix", got, want)); err != nil {
			return err
		}
	}
	return errors.Join(b.Remove(0, 0), b.cells(n+1, "after the source is gone"), b.Remove(1, 0), b.cells(0, "after both are gone"))
}

// comesBack: a state that was saved is the same after others came and went, and
// a failed restore leaves nothing.
func comesBack(b *bench) error {
	if b.limits.Sequences < 2 {
		return fmt.Errorf("%w: it has room for one sequence only", ErrUnproven)
	}
	n := 20
	want, err := b.last(rows(0, 0, b.text[:n+1]...))
	if err := errors.Join(err, b.cutBack(b.text, n)); err != nil {
		return err
	}
	state, err := b.Save(0, int32(n))
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	if err := b.cells(n, "after saving"); err != nil {
		return err
	}
	if err := b.Restore(0, state); !errors.Is(err, engine.ErrInvalid) {
		return fmt.Errorf("restore into a sequence in use: %w", errors.Join(err, errors.New("want ErrInvalid")))
	}
	if err := errors.Join(b.Remove(0, 0), b.Restore(0, state[:len(state)-1])); !errors.Is(err, engine.ErrInvalid) {
		return fmt.Errorf("restore of a state that is cut off: %w", errors.Join(err, errors.New("want ErrInvalid")))
	}
	if err := b.cells(0, "after a restore that failed"); err != nil {
		return err
	}
	if _, err := b.last(rows(0, 0, b.text[:12]...)); err != nil {
		return err
	}
	if err := errors.Join(b.Restore(1, state), b.cells(12+n, "after a restore")); err != nil {
		return err
	}
	again, err := b.Save(1, int32(n))
	if err == nil && !bytes.Equal(again, state) {
		err = errors.New("what was restored is saved in other bytes")
	}
	got, errStep := b.last(rows(1, n, b.text[n]))
	return errors.Join(err, errStep, b.same("restored", got, want), b.cells(12+n+1, "after one row more"))
}

// refuses: every invalid argument, and nothing happened.
func refuses(b *bench) error {
	before := errors.New("no error")
	if _, err := b.Logits(0); !errors.Is(err, engine.ErrInvalid) {
		return fmt.Errorf("logits before any step: %w", errors.Join(err, before))
	}
	if _, err := b.last(rows(0, 0, b.text[:8]...)); err != nil {
		return err
	}
	size := engine.Token(b.Vocabulary().Size())
	over, big := engine.SeqID(b.limits.Sequences), make([]engine.Token, b.limits.Batch+1)
	token := b.text[0]
	step := func(rows ...engine.Row) func() error { return func() error { return b.Step(rows) } }
	logits := func(i int) func() error { return func() error { _, err := b.Logits(i); return err } }
	invalid := []struct {
		what string
		call func() error
	}{
		{"an empty step", step()},
		{"a step of too many rows", step(rows(0, 8, big...)...)},
		{"a negative token", step(rows(0, 8, -1)...)},
		{"a token beyond the vocabulary", step(rows(0, 8, size)...)},
		{"a row of a negative sequence", step(rows(-1, 0, token)...)},
		{"a row of a sequence beyond the last", step(rows(over, 0, token)...)},
		{"a gap in the positions", step(rows(0, 9, token)...)},
		{"a position that is resident", step(rows(0, 7, token)...)},
		{"a negative position", step(rows(0, -1, token)...)},
		{"a gap within a step", step(append(rows(0, 8, token), rows(0, 10, token)...)...)},
		{"a position twice in a step", step(append(rows(0, 8, token), rows(0, 8, token)...)...)},
		{"logits of a negative row", logits(-1)},
		{"logits of a row beyond the step", logits(8)},
		{"logits that were not asked for", logits(0)},
		{"removal from a negative sequence", func() error { return b.Remove(-1, 0) }},
		{"removal from a sequence beyond the last", func() error { return b.Remove(over, 0) }},
		{"removal from a negative position", func() error { return b.Remove(0, -1) }},
		{"sharing into a negative sequence", func() error { return b.Share(-1, 0, 4) }},
		{"sharing into a sequence beyond the last", func() error { return b.Share(over, 0, 4) }},
		{"sharing from a negative sequence", func() error { return b.Share(0, -1, 4) }},
		{"sharing from a sequence beyond the last", func() error { return b.Share(0, over, 4) }},
		{"sharing with itself", func() error { return b.Share(0, 0, 4) }},
		{"sharing more than there is", func() error { return b.Share(over-1, 0, 9) }},
		{"sharing nothing", func() error { return b.Share(over-1, 0, 0) }},
		{"sharing a negative number", func() error { return b.Share(over-1, 0, -1) }},
	}
	for _, c := range invalid {
		if err := c.call(); !errors.Is(err, engine.ErrInvalid) {
			return fmt.Errorf("%s: got %w, want ErrInvalid", c.what, errors.Join(err, before))
		}
		if err := b.cells(8, "after "+c.what); err != nil {
			return err
		}
	}
	if _, err := b.last(rows(0, 8, token)); err != nil {
		return fmt.Errorf("it does not go on after refusals: %w", err)
	}
	return nil
}

// fillable is the largest cache that is filled to see it overflow.
const fillable = 1024

func overflows(b *bench) error {
	if b.limits.Cells > fillable || b.limits.Cells > b.limits.Context*b.limits.Sequences {
		return fmt.Errorf("%w: a cache of %d cells is not filled for a test", ErrUnproven, b.limits.Cells)
	}
	free, seq, at := b.limits.Cells-3, engine.SeqID(0), 0
	for free > 0 {
		if at == b.limits.Context {
			seq, at = seq+1, 0
		}
		n := min(free, b.limits.Batch, b.limits.Context-at, len(b.text))
		if _, err := b.last(rows(seq, at, b.text[:n]...)); err != nil {
			return err
		}
		free, at = free-n, at+n
	}
	if at+4 > b.limits.Context {
		seq, at = seq+1, 0
	}
	if int(seq) >= b.limits.Sequences {
		return fmt.Errorf("%w: no sequence is left to overflow with", ErrUnproven)
	}
	if err := b.Step(rows(seq, at, b.text[:4]...)); !errors.Is(err, engine.ErrNoRoom) {
		return fmt.Errorf("4 rows for 3 cells: got %w, want ErrNoRoom", errors.Join(err, errors.New("no other error")))
	}
	if err := b.cells(b.limits.Cells-3, "after ErrNoRoom"); err != nil {
		return err
	}
	_, err := b.last(rows(seq, at, b.text[:3]...))
	return errors.Join(err, b.cells(b.limits.Cells, "when it is full"))
}

func interrupts(b *bench) error {
	n := min(len(b.text), b.limits.Batch)
	b.Interrupt()
	want, err := b.last(rows(0, 0, b.text[:n]...))
	if err != nil {
		return fmt.Errorf("an interrupt before a step ended it: %w", err)
	}
	if err := b.Remove(0, 0); err != nil {
		return fmt.Errorf("free: %w", err)
	}
	stop := make(chan struct{})
	var interrupter sync.WaitGroup
	interrupter.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				b.Interrupt()
				runtime.Gosched()
			}
		}
	})
	err = b.Step(rows(0, 0, b.text[:n]...))
	close(stop)
	interrupter.Wait()
	if err != nil && !errors.Is(err, engine.ErrInterrupted) {
		return fmt.Errorf("an interrupted step: %w", err)
	}
	if err := errors.Join(b.Remove(0, 0), b.cells(0, "after what was interrupted is removed")); err != nil {
		return err
	}
	got, err := b.last(rows(0, 0, b.text[:n]...))
	return errors.Join(err, b.same("after an interrupted step", got, want))
}
