package llama

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/ebitengine/purego"
	binding "github.com/hybridgroup/yzma/pkg/llama"
	"github.com/jupiterrider/ffi"

	"github.com/semantic-worker/semantic/engine"
)

// llama_decode's results.
const (
	decodeOK      = 0
	decodeNoRoom  = 1
	decodeAborted = 2
)

// Backend is a loaded model with its KV cache: see engine.Backend. What the
// owner's goroutine uses has no lock; interrupting and the vocabulary do.
type Backend struct {
	lib     *library
	model   binding.Model
	context binding.Context
	memory  binding.Memory

	info   engine.ModelInfo
	limits engine.Limits
	status Status
	vocab  *vocabulary

	cells *cellTable
	batch batch
	// pending counts the rows of each sequence in the step that is checked or
	// running; all 0 between steps.
	pending []int32
	// spoiled are the sequences of a model with engine.MemoryWhole that an
	// interrupted step has left half changed: they can only be removed.
	spoiled []bool
	// threading is nil while the number of threads stays as it is.
	threading *threading
	// dead is why nothing can be called any more.
	dead error

	// interruptLock orders Interrupt against the beginning and end of a step.
	interruptLock sync.Mutex
	stepping      bool
	// interrupt is read by C as a string: see library.truth. It is on the heap
	// as long as the backend is, and Go's heap does not move.
	interrupt *interruptFlag
}

// interruptFlag is 8 bytes, of which the first is set and the rest stay 0, so
// that strlen of it is 0 or 1.
type interruptFlag struct {
	set atomic.Uint32
	_   uint32
}

// batch is the native batch, in memory that is used at every step.
type batch struct {
	native binding.BatchData
	tokens []binding.Token
	pos    []binding.Pos
	seq    []binding.SeqId
	logits []int8
	counts []int32
	seqs   []*binding.SeqId
	// rows and ok are the last step's: how many, and whether there are logits.
	rows int
	ok   bool
	// context, result and args are what llama_decode is called with.
	context uintptr
	result  ffi.Arg
	args    [2]unsafe.Pointer
	// logitsArgs are the last arguments of llama_get_logits_ith: a list of them
	// that is made for the call is an allocation.
	logitsArgs [2]uintptr
}

func (b *batch) init(size int) {
	b.tokens, b.pos, b.seq = make([]binding.Token, size), make([]binding.Pos, size), make([]binding.SeqId, size)
	b.logits, b.counts, b.seqs = make([]int8, size), make([]int32, size), make([]*binding.SeqId, size)
	for i := range size {
		b.counts[i], b.seqs[i] = 1, &b.seq[i]
	}
	b.native = binding.BatchData{
		Token: &b.tokens[0], Pos: &b.pos[0], NSeqId: &b.counts[0], SeqId: &b.seqs[0], Logits: &b.logits[0],
	}
}

// decode calls llama_decode. libffi replaces the address of an argument that is
// a large structure by that of its copy, so the addresses are set every time.
func (b *batch) decode(f ffi.Fun) int32 {
	b.args = [2]unsafe.Pointer{unsafe.Pointer(&b.context), unsafe.Pointer(&b.native)}
	ffi.Call(f.Cif, f.Addr, unsafe.Pointer(&b.result), b.args[:]...)
	return int32(b.result)
}

// Info describes the model.
func (b *Backend) Info() engine.ModelInfo { return b.info }

// Limits are the backend's bounds.
func (b *Backend) Limits() engine.Limits { return b.limits }

// Status says how the model was loaded.
func (b *Backend) Status() Status { return b.status }

// Vocabulary is the model's.
func (b *Backend) Vocabulary() engine.Vocabulary { return b.vocab }

// CellsUsed is the number of distinct cells in use.
func (b *Backend) CellsUsed() int { return b.cells.used() }

// Step decodes rows; if it fails, everything is as it was before, except after
// engine.ErrBackend.
func (b *Backend) Step(rows []engine.Row) error {
	b.batch.ok = false
	if b.dead != nil {
		return b.dead
	}
	if err := b.check(rows); err != nil {
		b.settle(rows, false)
		return err
	}
	if len(rows) > len(b.cells.free) {
		b.settle(rows, false)
		return fmt.Errorf("llama: %d rows with %d of %d cells free: %w", len(rows), len(b.cells.free), b.limits.Cells, engine.ErrNoRoom)
	}
	t := &b.batch
	for i := range rows {
		r := &rows[i]
		t.tokens[i], t.pos[i], t.seq[i] = binding.Token(r.Token), binding.Pos(r.Pos), binding.SeqId(r.Seq)
		t.logits[i] = 0
		if r.Logits {
			t.logits[i] = 1
		}
	}
	t.rows = len(rows)
	t.native.NTokens = int32(len(rows))
	b.setStepping(true)
	b.threading.stepBegins()
	result := t.decode(b.lib.decode)
	b.stepEnds()
	b.setStepping(false)

	switch result {
	case decodeOK:
		b.settle(rows, true)
		t.ok = true
		return nil
	case decodeNoRoom:
		b.undo(rows)
		return fmt.Errorf("llama: the library found no room for %d rows: %w", len(rows), engine.ErrNoRoom)
	case decodeAborted:
		b.undo(rows)
		return engine.ErrInterrupted
	default:
		b.settle(rows, false)
		b.dead = fmt.Errorf("llama: decode of %d rows failed with %d %s: %w", len(rows), result, b.lib.logs.takeErrors(), engine.ErrBackend)
		return b.dead
	}
}

// check refuses what would kill the process. It counts the rows in pending.
func (b *Backend) check(rows []engine.Row) error {
	refuse := func(i int, format string, args ...any) error {
		return fmt.Errorf("llama: row %d of the step: "+format+": %w", append(append([]any{i}, args...), engine.ErrInvalid)...)
	}
	if len(rows) == 0 || len(rows) > b.limits.Batch {
		return fmt.Errorf("llama: a step of %d rows, not 1 … %d: %w", len(rows), b.limits.Batch, engine.ErrInvalid)
	}
	vocabulary := int32(b.vocab.Size())
	for i := range rows {
		r := &rows[i]
		switch {
		case r.Seq < 0 || int(r.Seq) >= b.limits.Sequences:
			return refuse(i, "sequence %d is not within 0 … %d", r.Seq, b.limits.Sequences-1)
		case r.Token < 0 || r.Token >= vocabulary:
			return refuse(i, "token %d is not within 0 … %d", r.Token, vocabulary-1)
		case b.spoiled[r.Seq]:
			return refuse(i, "sequence %d was spoiled by an interrupted step", r.Seq)
		case int(r.Pos) >= b.limits.Context:
			return refuse(i, "position %d is beyond the context of %d", r.Pos, b.limits.Context)
		}
		if next := b.cells.length(r.Seq) + b.pending[r.Seq]; r.Pos != next {
			return refuse(i, "position %d of sequence %d, which continues at %d", r.Pos, r.Seq, next)
		}
		b.pending[r.Seq]++
	}
	return nil
}

// settle ends the bookkeeping of a step: its rows have cells if done.
func (b *Backend) settle(rows []engine.Row, done bool) {
	for i := range rows {
		seq := rows[i].Seq
		// check may have stopped at a sequence that is none.
		if seq < 0 || int(seq) >= len(b.pending) {
			continue
		}
		if done {
			b.cells.grow(seq)
		}
		b.pending[seq] = 0
	}
}

// undo removes what a step that failed may have left in the native cache. A
// recurrent state cannot be taken back: that sequence is spoiled.
func (b *Backend) undo(rows []engine.Row) {
	for i := range rows {
		if seq := rows[i].Seq; b.pending[seq] != 0 {
			b.pending[seq] = 0
			b.spoiled[seq] = !b.removeNative(seq, b.cells.length(seq))
		}
	}
}

// removeNative reports whether the library could.
func (b *Backend) removeNative(seq engine.SeqID, from int32) bool {
	const toEnd = ^uintptr(0)
	r, _, _ := purego.SyscallN(b.lib.seqRm, uintptr(b.memory), uintptr(seq), uintptr(from), toEnd)
	return byte(r) != 0
}

// Logits returns the logits of row i of the last step, in native memory.
func (b *Backend) Logits(i int) ([]float32, error) {
	t := &b.batch
	switch {
	case b.dead != nil:
		return nil, b.dead
	case !t.ok:
		return nil, fmt.Errorf("llama: logits without a step that succeeded: %w", engine.ErrInvalid)
	case i < 0 || i >= t.rows:
		return nil, fmt.Errorf("llama: logits of row %d of a step of %d: %w", i, t.rows, engine.ErrInvalid)
	case t.logits[i] == 0:
		return nil, fmt.Errorf("llama: row %d did not ask for logits: %w", i, engine.ErrInvalid)
	}
	t.logitsArgs = [2]uintptr{uintptr(b.context), uintptr(i)}
	r, _, _ := purego.SyscallN(b.lib.logitsIth, t.logitsArgs[:]...)
	if r == 0 {
		return nil, fmt.Errorf("llama: no logits for row %d: %s: %w", i, b.lib.logs.takeErrors(), engine.ErrBackend)
	}
	return unsafe.Slice(*(**float32)(unsafe.Pointer(&r)), b.vocab.Size()), nil
}

// Remove drops the positions from … end of a sequence; what is not there is
// dropped already.
func (b *Backend) Remove(seq engine.SeqID, from int32) error {
	if b.dead != nil {
		return b.dead
	}
	if err := b.checkSequence("remove", seq); err != nil {
		return err
	}
	switch {
	case from < 0:
		return fmt.Errorf("llama: remove from position %d: %w", from, engine.ErrInvalid)
	case from > 0 && b.spoiled[seq]:
		return fmt.Errorf("llama: remove a part of sequence %d, which an interrupted step has spoiled: %w", seq, engine.ErrInvalid)
	case from >= b.cells.length(seq) && !b.spoiled[seq]:
		return nil
	case from > 0 && b.info.Memory == engine.MemoryWhole:
		return fmt.Errorf("llama: cut sequence %d back to %d tokens with a model whose state cannot be cut: %w", seq, from, engine.ErrInvalid)
	}
	b.spoiled[seq] = false
	if !b.removeNative(seq, from) {
		b.dead = fmt.Errorf("llama: cannot cut sequence %d back to %d tokens: %w", seq, from, engine.ErrBackend)
		return b.dead
	}
	b.cells.cut(seq, from)
	return nil
}

// Share makes dst hold the first n positions of src, in the same cells.
func (b *Backend) Share(dst, src engine.SeqID, n int32) error {
	if err := b.checkWhole("share", src, n); err != nil {
		return err
	}
	if err := b.checkSequence("share to", dst); err != nil {
		return err
	}
	if dst == src || b.cells.length(dst) != 0 || b.spoiled[dst] {
		return fmt.Errorf("llama: share to sequence %d, which is not empty: %w", dst, engine.ErrInvalid)
	}
	purego.SyscallN(b.lib.seqCp, uintptr(b.memory), uintptr(src), uintptr(dst), 0, uintptr(n))
	b.cells.share(dst, src, n)
	return nil
}

// MemoryUsed implements engine.MemoryReporter: the weights, and the KV cache as
// it was made, which is taken whole however few of its cells are in use.
func (b *Backend) MemoryUsed() (weights, cache int64) {
	return int64(b.status.Weights), int64(b.status.KV)
}

// Interrupt ends the step that is running; on Metal, after the device is done
// with it.
func (b *Backend) Interrupt() {
	b.interruptLock.Lock()
	defer b.interruptLock.Unlock()
	if b.stepping {
		b.interrupt.set.Store(1)
	}
}

func (b *Backend) setStepping(on bool) {
	b.interruptLock.Lock()
	defer b.interruptLock.Unlock()
	b.stepping = on
	b.interrupt.set.Store(0)
}

// Close frees the context and the model. It is idempotent; a step must not be
// running.
func (b *Backend) Close() error {
	b.vocab.close()
	b.batch.ok = false
	b.dead = errClosed
	if b.context != 0 {
		err := binding.Free(b.context)
		b.context = 0
		if err != nil {
			return fmt.Errorf("llama: free context: %w", err)
		}
	}
	if b.model != 0 {
		err := binding.ModelFree(b.model)
		b.model = 0
		if err != nil {
			return fmt.Errorf("llama: free model: %w", err)
		}
	}
	b.lib.logs.use(nil)
	return nil
}

var (
	_ engine.Backend        = (*Backend)(nil)
	_ engine.MemoryReporter = (*Backend)(nil)
)

// Open loads the libraries and the model and makes its KV cache. ctx ends a
// load in progress. The errors are *VersionError, *MissingLibraryError,
// *DeviceError, *ThreadsError, *ContextFitError, *LoadError, *UnsupportedError,
// or wrap engine.ErrInvalid.
func Open(ctx context.Context, o Options) (*Backend, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	measure := o.Threads == 0
	if measure {
		o.Threads = Threads()
	} else if usable := UsableCores(); o.Threads > usable {
		return nil, &ThreadsError{Threads: o.Threads, Cores: usable}
	}
	for _, path := range []string{o.ModelPath, o.CPUModelPath} {
		if err := checkFile(path); path != "" && err != nil {
			return nil, err
		}
	}
	lib, err := libraryOf(o.LibDir, o.RuntimeVersion)
	if err != nil {
		return nil, err
	}
	l := opening{lib: lib, o: o, interrupt: new(interruptFlag)}
	b, err := l.load(ctx)
	if err != nil {
		l.free()
		return nil, err
	}
	if measure && b.info.Backend == BackendCPU {
		if err := b.measureThreads(ctx, o.Threads, o.Logger); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b, nil
}
