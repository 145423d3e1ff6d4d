package llama

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/semantic-worker/semantic/engine"
)

// A state is a header of ours and what llama.cpp exports of a sequence. That
// says nothing of the model, and llama.cpp aborts on some numbers that cannot
// be, so nothing reaches it that this package has not made:
//
//	0   magic and version
//	8   identity: what the state can be restored into, see stateIdentity
//	24  number of positions
//	28  CRC-32C of all that follows
const stateHeader = 32

// stateMagic changes with the header and with what llama.cpp's part means.
const stateMagic = "semstat1"

// stateIdentity names what a state depends on: model, runtime and type of the
// KV cache.
func stateIdentity(fingerprint, kvType string) [16]byte {
	sum := sha256.Sum256([]byte(stateMagic + "\x00" + fingerprint + "\x00" + kvType))
	return [16]byte(sum[:16])
}

func stateSum(payload []byte) uint32 {
	return crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli))
}

// Save returns the state of the first n positions of a sequence: bit for bit,
// in the order in which their cells are. It allocates the state and nothing
// else of its size.
func (b *Backend) Save(seq engine.SeqID, n int32) ([]byte, error) {
	if err := b.checkWhole("save", seq, n); err != nil {
		return nil, err
	}
	// The export is of whole sequences, and names the sequence at every cell. So
	// the part becomes one for a moment, always the same, so that equal contents
	// are equal bytes; it takes no cells.
	scratch := engine.SeqID(b.limits.Sequences)
	purego.SyscallN(b.lib.seqCp, uintptr(b.memory), uintptr(seq), uintptr(scratch), 0, uintptr(n))
	defer b.removeNative(scratch, 0)
	size, _, _ := purego.SyscallN(b.lib.stateSize, uintptr(b.context), uintptr(scratch))
	if size == 0 {
		return nil, fmt.Errorf("llama: size of the state of sequence %d: %s: %w", seq, b.lib.logs.takeErrors(), engine.ErrInvalid)
	}
	state := make([]byte, stateHeader+int(size))
	payload := state[stateHeader:]
	written, _, _ := purego.SyscallN(b.lib.stateGet, uintptr(b.context), uintptr(unsafe.Pointer(&payload[0])), size, uintptr(scratch))
	if written != size {
		return nil, fmt.Errorf("llama: state of sequence %d: %d of %d bytes: %s: %w",
			seq, written, size, b.lib.logs.takeErrors(), engine.ErrInvalid)
	}
	copy(state, stateMagic)
	identity := stateIdentity(b.info.Fingerprint, b.status.KVType)
	copy(state[8:], identity[:])
	binary.LittleEndian.PutUint32(state[24:], uint32(n))
	binary.LittleEndian.PutUint32(state[28:], stateSum(payload))
	return state, nil
}

// Restore makes an empty sequence hold what Save returned, of this or another
// process with the same model and type of the KV cache. On an error the
// sequence is empty and the others are as they were.
func (b *Backend) Restore(seq engine.SeqID, state []byte) error {
	if b.dead != nil {
		return b.dead
	}
	if err := b.checkSequence("restore", seq); err != nil {
		return err
	}
	if b.cells.length(seq) != 0 || b.spoiled[seq] {
		return fmt.Errorf("llama: restore sequence %d, which is not empty: %w", seq, engine.ErrInvalid)
	}
	n, err := b.checkState(state)
	if err != nil {
		return err
	}
	if free := len(b.cells.free); int(n) > free {
		return fmt.Errorf("llama: restore %d positions with %d of %d cells free: %w", n, free, b.limits.Cells, engine.ErrNoRoom)
	}
	payload := state[stateHeader:]
	size := uintptr(len(payload))
	read, _, _ := purego.SyscallN(b.lib.stateSet, uintptr(b.context), uintptr(unsafe.Pointer(&payload[0])), size, uintptr(seq))
	last, _, _ := purego.SyscallN(b.lib.seqPosMax, uintptr(b.memory), uintptr(seq))
	if read != size || int32(last) != n-1 {
		// What it has set before it failed is still there.
		b.removeNative(seq, 0)
		return fmt.Errorf("llama: the library refused the state of %d positions: %s: %w", n, b.lib.logs.takeErrors(), engine.ErrInvalid)
	}
	for range n {
		b.cells.grow(seq)
	}
	return nil
}

// checkState refuses what Save of such a backend has not returned, or what was
// damaged since, and tells how many positions it has.
func (b *Backend) checkState(state []byte) (int32, error) {
	refuse := func(why string) (int32, error) {
		return 0, fmt.Errorf("llama: restore %d bytes: %s: %w", len(state), why, engine.ErrInvalid)
	}
	if len(state) <= stateHeader || string(state[:8]) != stateMagic {
		return refuse("they are no state of a sequence")
	}
	if [16]byte(state[8:24]) != stateIdentity(b.info.Fingerprint, b.status.KVType) {
		return refuse("the state is of another model or type of the KV cache")
	}
	if binary.LittleEndian.Uint32(state[28:]) != stateSum(state[stateHeader:]) {
		return refuse("the state is damaged")
	}
	n := binary.LittleEndian.Uint32(state[24:])
	if n < 1 || int64(n) > int64(b.limits.Context) {
		return refuse(fmt.Sprintf("the state has %d positions, not 1 … %d", n, b.limits.Context))
	}
	return int32(n), nil
}

// checkSequence refuses a sequence that is none.
func (b *Backend) checkSequence(what string, seq engine.SeqID) error {
	if seq < 0 || int(seq) >= b.limits.Sequences {
		return fmt.Errorf("llama: %s sequence %d, not within 0 … %d: %w", what, seq, b.limits.Sequences-1, engine.ErrInvalid)
	}
	return nil
}

// checkWhole refuses what cannot be done with the first n positions of a
// sequence.
func (b *Backend) checkWhole(what string, seq engine.SeqID, n int32) error {
	if b.dead != nil {
		return b.dead
	}
	if err := b.checkSequence(what, seq); err != nil {
		return err
	}
	length := b.cells.length(seq)
	switch {
	case b.spoiled[seq]:
		return fmt.Errorf("llama: %s sequence %d, which an interrupted step has spoiled: %w", what, seq, engine.ErrInvalid)
	case n < 1 || n > length:
		return fmt.Errorf("llama: %s %d positions of a sequence of %d: %w", what, n, length, engine.ErrInvalid)
	case n != length && b.info.Memory == engine.MemoryWhole:
		return fmt.Errorf("llama: %s %d of %d positions with a model whose state cannot be taken in part: %w", what, n, length, engine.ErrInvalid)
	}
	return nil
}
