package gguf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf/gguftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(data []byte) (gguf.Info, error) { return gguf.Read(bytes.NewReader(data), int64(len(data))) }

func TestRead(t *testing.T) {
	got, err := read(gguftest.Model("A Name"))
	want := gguf.Info{
		Architecture: "llama", Name: "A Name", Licence: "mit", Context: 4096, Quantisation: "Q8_0", Parameters: 2048,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	part, err := read(gguftest.Part(1, 3))
	if err != nil || part.Split != 3 || part.Architecture != "" || part.Quantisation != "Q4_0" {
		t.Errorf("got %+v, %v", part, err)
	}
}

func pair(key string, value any) gguftest.Pair { return gguftest.Pair{Key: key, Value: value} }

func tensor(name string, dims []uint64, kind uint32, size int) gguftest.Tensor {
	return gguftest.Tensor{Name: name, Dims: dims, Type: kind, Bytes: size}
}

func TestQuantisation(t *testing.T) {
	for name, test := range map[string]struct {
		pairs   []gguftest.Pair
		tensors []gguftest.Tensor
		want    string
	}{
		"file type":       {[]gguftest.Pair{pair("general.file_type", uint32(15))}, nil, "Q4_K_M"},
		"guessed":         {[]gguftest.Pair{pair("general.file_type", uint32(15+1024))}, nil, "Q4_K_M"},
		"unknown":         {[]gguftest.Pair{pair("general.file_type", uint32(999))}, nil, ""},
		"most weights":    {nil, []gguftest.Tensor{tensor("a", []uint64{32}, 0, 128), tensor("b", []uint64{256, 2}, 12, 288)}, "Q4_K"},
		"newer type":      {nil, []gguftest.Tensor{tensor("a", []uint64{32}, 999, 4)}, ""},
		"other alignment": {[]gguftest.Pair{pair("general.alignment", uint32(32))}, []gguftest.Tensor{tensor("a", []uint64{32}, 1, 64)}, "F16"},
		"everything else": {[]gguftest.Pair{
			pair("a", float32(1)), pair("b", true), pair("c", uint64(7)), pair("d", []string{"x", ""}),
		}, nil, ""},
		"absurd alignment": {
			[]gguftest.Pair{pair("general.alignment", uint32(math.MaxUint32))}, []gguftest.Tensor{tensor("a", []uint64{32}, 1, 64)}, "F16",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(gguftest.File(test.pairs, test.tensors))
			if err != nil || got.Quantisation != test.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	whole := gguftest.Model("x")
	// Any cut is noticed, except in the padding at the end.
	for n := range len(whole) - 32 {
		_, err := read(whole[:n])
		var short *gguf.TruncatedError
		if !errors.As(err, &short) || short.Have != int64(n) || short.Want <= short.Have {
			t.Fatalf("cut to %d of %d bytes: error %v", n, len(whole), err)
		}
	}
}

// header is a file's beginning with these values behind the magic.
func header(values ...any) []byte {
	b := bytes.NewBufferString("GGUF")
	for _, v := range values {
		if s, ok := v.(string); ok {
			_ = binary.Write(b, binary.LittleEndian, uint64(len(s)))
			b.WriteString(s)
			continue
		}
		_ = binary.Write(b, binary.LittleEndian, v)
	}
	return append(b.Bytes(), make([]byte, 1<<17)...)
}

func TestRefused(t *testing.T) {
	u32, u64 := func(n uint32) any { return n }, func(n uint64) any { return n }
	one := []any{u32(3), u64(0), u64(1)}
	weights := []any{u32(3), u64(1), u64(0), "t"}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"a web page":     {[]byte("<!DOCTYPE html><html></html>"), `begins with "<!DO"`},
		"big-endian":     {header(u32(3 << 24)), "big-endian"},
		"version 1":      {header(u32(1)), "version 1"},
		"many entries":   {header(u32(3), u64(0), u64(1<<40)), "metadata entries"},
		"many tensors":   {header(u32(3), u64(1<<40), u64(0)), "tensors"},
		"unknown type":   {header(slices.Concat(one, []any{"k", u32(77)})...), "unknown type 77"},
		"long key":       {header(slices.Concat(one, []any{strings.Repeat("k", 1<<16+1)})...), "key of"},
		"long text":      {header(slices.Concat(one, []any{"general.name", u32(8), u64(1<<16 + 1)})...), "general.name of"},
		"odd array":      {header(slices.Concat(one, []any{"k", u32(9), u32(77), u64(1)})...), "array of the type 77"},
		"nested arrays":  {header(slices.Concat(one, []any{"k", u32(9)}, slices.Repeat([]any{u32(9), u64(1)}, 9))...), "array of the type 9"},
		"dimensions":     {header(slices.Concat(weights, []any{u32(9)})...), "9 dimensions"},
		"huge tensor":    {header(slices.Concat(weights, []any{u32(2), u64(1 << 40), u64(1 << 40)})...), "more weights"},
		"distant tensor": {header(slices.Concat(weights, []any{u32(1), u64(1), u32(0), u64(1 << 63)})...), "a tensor at"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(test.data); !errors.Is(err, gguf.ErrFormat) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	// Nested within bounds is skipped.
	nested := header(slices.Concat(one, []any{"k", u32(9), u32(9), u64(1), u32(9), u64(1), u32(0), u64(5)})...)
	if _, err := read(nested); err != nil {
		t.Error(err)
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	if _, err := gguf.ReadFile(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gguf.ReadFile(path); !errors.Is(err, gguf.ErrFormat) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, gguftest.Model("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := gguf.ReadFile(path); err != nil || info.Name != "x" {
		t.Errorf("%+v, %v", info, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(gguftest.Model("x"))
	f.Add(gguftest.Part(0, 2))
	f.Add([]byte("GGUF"))
	f.Add(gguftest.File([]gguftest.Pair{pair("a", []string{"b"}), pair("c", float32(1)), pair("general.alignment", uint32(64))}, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := read(data)
		if err == nil {
			if info.Context < 0 || info.Parameters < 0 || info.Split < 0 {
				t.Errorf("%+v", info)
			}
			return
		}
		var short *gguf.TruncatedError
		if !errors.As(err, &short) && !errors.Is(err, gguf.ErrFormat) {
			t.Errorf("error %v", err)
		}
		if short != nil && short.Want <= short.Have {
			t.Errorf("%v", short)
		}
	})
}
