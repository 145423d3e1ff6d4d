// Package gguf reads what the header of a GGUF file says about a model: not
// the weights, and of the long tables only how long they are.
//
// Every length is checked against what is left of the file before it is
// believed, so reading costs no more memory than a few strings and no more
// time than the header is long, whatever the file holds.
package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"
)

// Magic is how every GGUF file begins.
const Magic = "GGUF"

// Bounds of what is believed. The largest known models stay far below.
const (
	maxPairs   = 1 << 16
	maxTensors = 1 << 18
	maxKey     = 1 << 16
	maxString  = 1 << 16 // of a value that is kept
	maxDims    = 8
	maxNesting = 4
)

// ErrFormat is wrapped by every refusal of a file that is not GGUF, or not as
// the format says.
var ErrFormat = errors.New("not a valid GGUF file")

// TruncatedError says that the file ends before its last tensor does.
type TruncatedError struct {
	// Have is the file's size in bytes, Want how long it must be at least.
	Have, Want int64
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("the file is truncated: it has %d bytes and its header promises %d", e.Have, e.Want)
}

// Info is what a header says.
type Info struct {
	// Architecture is like "llama".
	Architecture string
	// Name is the model's own name; Licence its licence's. Often empty.
	Name, Licence string
	// Context is the context length the model was trained for, in tokens; 0
	// where the file does not say (as in the later files of a split set).
	Context int
	// Quantisation is like "Q4_K_M".
	Quantisation string
	// Parameters is the number of weights in this file.
	Parameters int64
	// Split is how many files the set has; 0 where it is not split.
	Split int
}

// ReadFile reads the header of a file and checks that the file is as long as
// the header promises. Errors wrap [ErrFormat] or are [*TruncatedError], or
// they are the system's.
func ReadFile(path string) (Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, err //nolint:wrapcheck // names the path
	}
	defer func() { _ = f.Close() }()
	stat, err := f.Stat()
	if err != nil {
		return Info{}, err //nolint:wrapcheck // names the path
	}
	info, err := Read(f, stat.Size())
	if err != nil {
		return Info{}, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

// Read reads the header of a file of this size. See [ReadFile].
func Read(r io.Reader, size int64) (Info, error) {
	d := &decoder{r: bufio.NewReaderSize(r, 1<<16), left: size}
	info, err := d.read(size)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Info{}, &TruncatedError{Have: size, Want: size + 1}
	}
	return info, err
}

type decoder struct {
	r    *bufio.Reader
	left int64
	buf  [8]byte

	texts   map[string]string
	numbers map[string]uint64
}

func formatf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

func (d *decoder) read(size int64) (Info, error) {
	magic, err := d.bytes(4)
	if err != nil {
		return Info{}, err
	}
	if string(magic) != Magic {
		return Info{}, formatf("it begins with %q", magic)
	}
	version, err := d.u32()
	if err != nil {
		return Info{}, err
	}
	switch {
	case version == 2 || version == 3:
	case bits.ReverseBytes32(version) <= 3:
		return Info{}, formatf("it is big-endian")
	default:
		return Info{}, formatf("version %d is not known", version)
	}
	tensors, err := d.u64()
	if err != nil {
		return Info{}, err
	}
	pairs, err := d.u64()
	if err != nil {
		return Info{}, err
	}
	if tensors > maxTensors || pairs > maxPairs {
		return Info{}, formatf("%d tensors and %d metadata entries", tensors, pairs)
	}
	d.texts, d.numbers = map[string]string{}, map[string]uint64{}
	for range pairs {
		if err := d.pair(); err != nil {
			return Info{}, err
		}
	}
	info := Info{
		Architecture: d.texts["general.architecture"],
		Name:         d.texts["general.name"],
		Licence:      d.texts["general.license"],
		Split:        int(min(d.numbers["split.count"], math.MaxInt32)),
	}
	info.Context = int(min(d.numbers[info.Architecture+".context_length"], math.MaxInt32))
	if err := d.tensors(tensors, size, &info); err != nil {
		return Info{}, err
	}
	return info, nil
}

// tensors reads the tensor table: it tells the number of weights, how long the
// file must be, and the type of most weights.
func (d *decoder) tensors(n uint64, size int64, info *Info) error {
	weights := map[uint32]uint64{}
	var end, total uint64
	for range n {
		if err := d.skipString(); err != nil {
			return err
		}
		dims, err := d.u32()
		if err != nil {
			return err
		}
		if dims > maxDims {
			return formatf("a tensor of %d dimensions", dims)
		}
		count := uint64(1)
		for range dims {
			dim, err := d.u64()
			if err != nil {
				return err
			}
			hi, lo := bits.Mul64(count, dim)
			if hi != 0 || lo > math.MaxInt64/64 {
				return formatf("a tensor of more weights than any disk holds")
			}
			count = lo
		}
		kind, err := d.u32()
		if err != nil {
			return err
		}
		offset, err := d.u64()
		if err != nil {
			return err
		}
		if offset > math.MaxInt64/2 {
			return formatf("a tensor at %d", offset)
		}
		weights[kind] += count
		total = min(total+count, math.MaxInt64)
		end = max(end, offset+types[kind].bytes(count))
	}
	info.Parameters = int64(total)
	info.Quantisation = quantisation(d.numbers, weights)
	if n == 0 {
		return nil
	}
	alignment := d.numbers["general.alignment"]
	if alignment == 0 || alignment > 1<<20 {
		alignment = 32
	}
	start := uint64(size - d.left)
	start += (alignment - start%alignment) % alignment
	if want := start + end; want > uint64(size) {
		return &TruncatedError{Have: size, Want: int64(min(want, math.MaxInt64))}
	}
	return nil
}

// pair reads one metadata entry and keeps it if it is a number, or one of the
// texts that Info needs.
func (d *decoder) pair() error {
	n, err := d.length(1)
	if err != nil {
		return err
	}
	if n > maxKey {
		return formatf("a metadata key of %d bytes", n)
	}
	key, err := d.bytes(n)
	if err != nil {
		return err
	}
	name := string(key)
	kind, err := d.u32()
	if err != nil {
		return err
	}
	switch kind {
	case kindString:
		switch name {
		case "general.architecture", "general.name", "general.license":
		default:
			return d.skipString()
		}
		n, err := d.length(1)
		if err != nil {
			return err
		}
		if n > maxString {
			return formatf("%s of %d bytes", name, n)
		}
		text, err := d.bytes(n)
		if err != nil {
			return err
		}
		d.texts[name] = string(text)
		return nil
	case kindArray:
		return d.skipArray(0)
	}
	width, ok := widths[kind]
	if !ok {
		return formatf("%s has the unknown type %d", name, kind)
	}
	raw, err := d.bytes(int64(width))
	if err != nil {
		return err
	}
	if kind == kindFloat32 || kind == kindFloat64 {
		return nil
	}
	var wide [8]byte
	copy(wide[:], raw)
	d.numbers[name] = binary.LittleEndian.Uint64(wide[:])
	return nil
}

func (d *decoder) skipArray(depth int) error {
	kind, err := d.u32()
	if err != nil {
		return err
	}
	if width, ok := widths[kind]; ok {
		n, err := d.length(int64(width))
		if err != nil {
			return err
		}
		return d.skip(n * int64(width))
	}
	if kind != kindString && (kind != kindArray || depth >= maxNesting) {
		return formatf("an array of the type %d", kind)
	}
	// Each element begins with a length of its own.
	n, err := d.length(8)
	if err != nil {
		return err
	}
	for range n {
		if kind == kindString {
			err = d.skipString()
		} else {
			err = d.skipArray(depth + 1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) skipString() error {
	n, err := d.length(1)
	if err != nil {
		return err
	}
	return d.skip(n)
}

// length reads a count of elements of this width, which the rest of the file
// must have room for.
func (d *decoder) length(width int64) (int64, error) {
	n, err := d.u64()
	if err != nil {
		return 0, err
	}
	if n > uint64(d.left/width) {
		return 0, io.ErrUnexpectedEOF
	}
	return int64(n), nil
}

func (d *decoder) skip(n int64) error {
	for n > 0 {
		// Discard takes an int.
		step := min(n, 1<<30)
		if _, err := d.r.Discard(int(step)); err != nil {
			return err //nolint:wrapcheck // io.EOF is looked for
		}
		n, d.left = n-step, d.left-step
	}
	return nil
}

func (d *decoder) bytes(n int64) ([]byte, error) {
	if n > d.left {
		return nil, io.ErrUnexpectedEOF
	}
	b := d.buf[:]
	if n > int64(len(b)) {
		b = make([]byte, n)
	}
	if _, err := io.ReadFull(d.r, b[:n]); err != nil {
		return nil, err //nolint:wrapcheck // io.EOF is looked for
	}
	d.left -= n
	return b[:n], nil
}

func (d *decoder) u32() (uint32, error) {
	b, err := d.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (d *decoder) u64() (uint64, error) {
	b, err := d.bytes(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}
