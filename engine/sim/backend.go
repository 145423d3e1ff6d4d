package sim

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/engine"
)

// chatTemplate is ChatML.
const chatTemplate = `{% for message in messages %}` +
	`{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}` +
	`{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// Options of a simulated backend. Zero values mean the defaults.
type Options struct {
	// Name of the model; default "sim".
	Name string
	// Context is the longest sequence in tokens; default 8,192.
	Context int
	// Cells is the size of the KV cache; default 4 × Context.
	Cells int
	// Sequences that can be resident at once; default 16.
	Sequences int
	// Batch is the largest number of rows in a step; default 512.
	Batch int
	// Words of an answer; default DefaultWords.
	Words int
	// PrefillTokensPerSecond is the speed of rows that ask for no logits; 0 is
	// as fast as possible.
	PrefillTokensPerSecond float64
	// DecodeStep is the time of a step beside its prefill rows; 0 is as fast as
	// possible.
	DecodeStep time.Duration
	// Apart is engine.Limits.Apart.
	Apart int
	// Memory is how sequences can be removed, shared and saved.
	Memory engine.MemoryKind
	// Clock passes the time; nil is the real one.
	Clock Clock
}

// Clock lets a test own the time that steps take.
type Clock interface {
	// Sleep waits for d, or until interrupted is closed: then it returns false.
	Sleep(d time.Duration, interrupted <-chan struct{}) bool
}

type realClock struct{}

func (realClock) Sleep(d time.Duration, interrupted <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-interrupted:
		return false
	}
}

// Backend is a simulated engine.Backend.
type Backend struct {
	opts       Options
	vocabulary *vocabulary

	// The owner's.
	cells *cells
	// asked are the states behind the rows of the last step that asked for
	// logits, by row; rows and buffers are where their logits are written.
	asked   map[int]state
	rows    map[int][]float32
	buffers [][]float32
	pending []int
	closed  bool

	// mu guards running, which is closed to interrupt the running step.
	mu      sync.Mutex
	running chan struct{}
}

// New returns a simulated backend. Options out of range are refused with an
// error that wraps engine.ErrInvalid.
func New(opts Options) (*Backend, error) {
	opts.Name = cmp.Or(opts.Name, "sim")
	opts.Context = cmp.Or(opts.Context, 8192)
	opts.Cells = cmp.Or(opts.Cells, 4*opts.Context)
	opts.Sequences = cmp.Or(opts.Sequences, 16)
	opts.Batch = cmp.Or(opts.Batch, 512)
	opts.Words = cmp.Or(opts.Words, DefaultWords)
	if opts.Clock == nil {
		opts.Clock = realClock{}
	}
	if min(opts.Context, opts.Cells, opts.Sequences, opts.Batch, opts.Words) < 1 || opts.Context > opts.Cells {
		return nil, fmt.Errorf("%w: context %d, cells %d, sequences %d, batch %d, words %d: must be positive, the context at most the cells",
			engine.ErrInvalid, opts.Context, opts.Cells, opts.Sequences, opts.Batch, opts.Words)
	}
	if !(opts.PrefillTokensPerSecond >= 0) || opts.DecodeStep < 0 {
		return nil, fmt.Errorf("%w: speeds must not be negative", engine.ErrInvalid)
	}
	return &Backend{
		opts: opts, vocabulary: newVocabulary(), cells: newCells(opts.Cells, opts.Sequences),
		asked: map[int]state{}, rows: map[int][]float32{}, pending: make([]int, opts.Sequences),
	}, nil
}

// Info implements engine.Backend.
func (b *Backend) Info() engine.ModelInfo {
	return engine.ModelInfo{
		Name: b.opts.Name, Architecture: "sim", Backend: "sim",
		Fingerprint:    fmt.Sprintf("sim:%s:%d", b.opts.Name, b.opts.Words),
		ContextTrained: b.opts.Context, Memory: b.opts.Memory,
		ContextReason: fmt.Sprintf("%d tokens, as configured; the simulation needs no memory for them", b.opts.Context),
		ChatTemplate:  chatTemplate, BOS: textStart, EOS: textEnd,
	}
}

// Limits implements engine.Backend.
func (b *Backend) Limits() engine.Limits {
	return engine.Limits{Cells: b.opts.Cells, Context: b.opts.Context, Batch: b.opts.Batch, Sequences: b.opts.Sequences, Apart: b.opts.Apart}
}

// Vocabulary implements engine.Backend.
func (b *Backend) Vocabulary() engine.Vocabulary { return b.vocabulary }

func (b *Backend) whole() bool { return b.opts.Memory == engine.MemoryWhole }

// MemoryUsed implements engine.MemoryReporter: some bytes per piece and cell.
func (b *Backend) MemoryUsed() (weights, cache int64) {
	const bytesPerCell = 64
	return int64(b.vocabulary.Size()), int64(b.opts.Cells) * bytesPerCell
}

// Step implements engine.Backend.
func (b *Backend) Step(rows []engine.Row) error {
	if err := b.check(rows); err != nil {
		return err
	}
	clear(b.asked)
	clear(b.rows)
	if !b.pass(rows) {
		// A real device stops somewhere.
		for _, row := range rows[:len(rows)/2] {
			b.cells.append(b.vocabulary, row)
		}
		return engine.ErrInterrupted
	}
	for i, row := range rows {
		after := b.cells.append(b.vocabulary, row)
		if row.Logits {
			b.asked[i] = after
		}
	}
	return nil
}

// check refuses what the contract forbids.
func (b *Backend) check(rows []engine.Row) error {
	if b.closed {
		return fmt.Errorf("%w: it is closed", engine.ErrBackend)
	}
	if len(rows) < 1 || len(rows) > b.opts.Batch {
		return fmt.Errorf("%w: %d rows in a step of at most %d", engine.ErrInvalid, len(rows), b.opts.Batch)
	}
	clear(b.pending)
	for i, row := range rows {
		if row.Token < 0 || int(row.Token) >= b.vocabulary.Size() {
			return fmt.Errorf("%w: row %d: token %d of a vocabulary of %d", engine.ErrInvalid, i, row.Token, b.vocabulary.Size())
		}
		if err := b.checkSequence(row.Seq); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
		next := len(b.cells.sequences[row.Seq]) + b.pending[row.Seq]
		if int(row.Pos) != next || next >= b.opts.Context {
			return fmt.Errorf("%w: row %d: position %d of sequence %d, which has %d of at most %d",
				engine.ErrInvalid, i, row.Pos, row.Seq, next, b.opts.Context)
		}
		b.pending[row.Seq]++
	}
	if len(rows) > len(b.cells.free) {
		return fmt.Errorf("%w: %d rows, %d cells are free", engine.ErrNoRoom, len(rows), len(b.cells.free))
	}
	return nil
}

func (b *Backend) checkSequence(seq engine.SeqID) error {
	if seq < 0 || int(seq) >= b.opts.Sequences {
		return fmt.Errorf("%w: sequence %d of %d", engine.ErrInvalid, seq, b.opts.Sequences)
	}
	return nil
}

// pass lets the time of a step pass; false when it was interrupted.
func (b *Backend) pass(rows []engine.Row) bool {
	d := b.opts.DecodeStep
	if b.opts.PrefillTokensPerSecond > 0 {
		prefill := 0
		for _, row := range rows {
			if !row.Logits {
				prefill++
			}
		}
		d += time.Duration(float64(prefill) / b.opts.PrefillTokensPerSecond * float64(time.Second))
	}
	if d == 0 {
		return true
	}
	running := make(chan struct{})
	b.mu.Lock()
	b.running = running
	b.mu.Unlock()
	done := b.opts.Clock.Sleep(d, running)
	b.mu.Lock()
	b.running = nil
	b.mu.Unlock()
	return done
}

// Interrupt implements engine.Backend.
func (b *Backend) Interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running != nil {
		close(b.running)
		b.running = nil
	}
}

// Logits implements engine.Backend.
func (b *Backend) Logits(i int) ([]float32, error) {
	if row, ok := b.rows[i]; ok {
		return row, nil
	}
	after, ok := b.asked[i]
	if !ok {
		return nil, fmt.Errorf("%w: the last step has no row %d that asked for logits", engine.ErrInvalid, i)
	}
	n := len(b.rows)
	if n == len(b.buffers) {
		b.buffers = append(b.buffers, make([]float32, b.vocabulary.Size()))
	}
	b.vocabulary.logits(b.buffers[n], after, b.opts.Words)
	b.rows[i] = b.buffers[n]
	return b.buffers[n], nil
}

// Remove implements engine.Backend.
func (b *Backend) Remove(seq engine.SeqID, from int32) error {
	if err := b.checkSequence(seq); err != nil {
		return err
	}
	if from < 0 {
		return fmt.Errorf("%w: position %d", engine.ErrInvalid, from)
	}
	if resident := len(b.cells.sequences[seq]); b.whole() && from > 0 && int(from) < resident {
		return fmt.Errorf("%w: positions from %d of sequence %d, which has %d and is removed as a whole only",
			engine.ErrInvalid, from, seq, resident)
	}
	b.cells.remove(seq, int(from))
	return nil
}

// Share implements engine.Backend.
func (b *Backend) Share(dst, src engine.SeqID, n int32) error {
	if err := b.checkSequence(dst); err != nil {
		return err
	}
	if err := b.checkSequence(src); err != nil {
		return err
	}
	if resident := len(b.cells.sequences[src]); n < 1 || int(n) > resident {
		return fmt.Errorf("%w: %d positions of sequence %d, which has %d", engine.ErrInvalid, n, src, resident)
	}
	if resident := len(b.cells.sequences[src]); b.whole() && int(n) != resident {
		return fmt.Errorf("%w: %d positions of sequence %d, which has %d and is shared as a whole only", engine.ErrInvalid, n, src, resident)
	}
	if len(b.cells.sequences[dst]) > 0 {
		return fmt.Errorf("%w: sequence %d is not empty", engine.ErrInvalid, dst)
	}
	b.cells.share(dst, src, int(n))
	return nil
}

// Save implements engine.Backend.
func (b *Backend) Save(seq engine.SeqID, n int32) ([]byte, error) {
	if err := b.checkSequence(seq); err != nil {
		return nil, err
	}
	positions := b.cells.sequences[seq]
	if n < 1 || int(n) > len(positions) {
		return nil, fmt.Errorf("%w: %d positions of sequence %d, which has %d", engine.ErrInvalid, n, seq, len(positions))
	}
	if b.whole() && int(n) != len(positions) {
		return nil, fmt.Errorf("%w: %d positions of sequence %d, which has %d and is saved as a whole only",
			engine.ErrInvalid, n, seq, len(positions))
	}
	saved := binary.LittleEndian.AppendUint64(make([]byte, 0, countBytes+int(n)*stateBytes), uint64(n))
	for _, p := range positions[:n] {
		saved = p.after.append(saved)
	}
	return saved, nil
}

// Restore implements engine.Backend.
func (b *Backend) Restore(seq engine.SeqID, saved []byte) error {
	if err := b.checkSequence(seq); err != nil {
		return err
	}
	n := (len(saved) - countBytes) / stateBytes
	switch {
	case n < 1 || len(saved) != countBytes+n*stateBytes || binary.LittleEndian.Uint64(saved) != uint64(n):
		return fmt.Errorf("%w: a state of %d bytes", engine.ErrInvalid, len(saved))
	case len(b.cells.sequences[seq]) > 0:
		return fmt.Errorf("%w: sequence %d is not empty", engine.ErrInvalid, seq)
	case n > len(b.cells.free):
		return fmt.Errorf("%w: %d positions, %d cells are free", engine.ErrNoRoom, n, len(b.cells.free))
	}
	for saved = saved[countBytes:]; len(saved) > 0; saved = saved[stateBytes:] {
		b.cells.restore(seq, stateOf(saved))
	}
	return nil
}

// CellsUsed implements engine.Backend.
func (b *Backend) CellsUsed() int { return b.cells.used() }

// Close implements engine.Backend.
func (b *Backend) Close() error {
	b.closed = true
	return nil
}

var (
	_ engine.Backend        = (*Backend)(nil)
	_ engine.MemoryReporter = (*Backend)(nil)
)
