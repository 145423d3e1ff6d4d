// Package gguftest writes small GGUF files for tests. They have the header of
// a model and no meaningful weights.
package gguftest

import (
	"bytes"
	"encoding/binary"
)

// Pair is one metadata entry. Value is a string, uint32, uint64, bool, float32
// or []string.
type Pair struct {
	Key   string
	Value any
}

// Tensor is one tensor of a type by ggml's number, with Bytes of storage.
type Tensor struct {
	Name  string
	Dims  []uint64
	Type  uint32
	Bytes int
}

// Model is a small file of a llama-like model in Q8_0, like no other file with
// another name.
func Model(name string) []byte {
	return File([]Pair{
		{"general.architecture", "llama"},
		{"general.name", name},
		{"general.license", "mit"},
		{"llama.context_length", uint32(4096)},
		{"general.file_type", uint32(7)},
		{"tokenizer.ggml.tokens", []string{"<s>", "a", "b"}},
	}, []Tensor{{Name: "w", Dims: []uint64{32, 64}, Type: 8, Bytes: 34 * 64}})
}

// Part is one file of a split set.
func Part(no, of int) []byte {
	pairs := []Pair{{"split.no", uint32(no)}, {"split.count", uint32(of)}}
	if no == 0 {
		pairs = append(pairs, Pair{"general.architecture", "llama"}, Pair{"llama.context_length", uint32(4096)})
	}
	return File(pairs, []Tensor{{Name: "w", Dims: []uint64{32, 32 + uint64(no)}, Type: 2, Bytes: 18 * (32 + no)}})
}

// File writes a file of version 3.
func File(pairs []Pair, tensors []Tensor) []byte {
	var w writer
	w.WriteString("GGUF")
	w.put(uint32(3), uint64(len(tensors)), uint64(len(pairs)))
	for _, p := range pairs {
		w.text(p.Key)
		w.value(p.Value)
	}
	var offset uint64
	for _, t := range tensors {
		w.text(t.Name)
		w.put(uint32(len(t.Dims)), t.Dims, t.Type, offset)
		offset += uint64(t.Bytes+31) / 32 * 32
	}
	w.pad()
	for _, t := range tensors {
		w.Write(make([]byte, t.Bytes))
		w.pad()
	}
	return w.Bytes()
}

type writer struct{ bytes.Buffer }

func (w *writer) put(values ...any) {
	for _, v := range values {
		_ = binary.Write(w, binary.LittleEndian, v) // a buffer does not fail
	}
}

func (w *writer) text(s string) {
	w.put(uint64(len(s)))
	w.WriteString(s)
}

func (w *writer) pad() { w.Write(make([]byte, (32-w.Len()%32)%32)) }

func (w *writer) value(v any) {
	switch v := v.(type) {
	case string:
		w.put(uint32(8))
		w.text(v)
	case []string:
		w.put(uint32(9), uint32(8), uint64(len(v)))
		for _, s := range v {
			w.text(s)
		}
	case uint32:
		w.put(uint32(4), v)
	case float32:
		w.put(uint32(6), v)
	case bool:
		w.put(uint32(7), v)
	case uint64:
		w.put(uint32(10), v)
	}
}
