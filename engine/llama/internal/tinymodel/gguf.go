package tinymodel

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// pair is a metadata entry: a string, uint32, int32, float32, bool or a slice of
// string, uint32, int32 or float32.
type pair struct {
	key   string
	value any
}

type tensor struct {
	name string
	dims []uint64
	// kind is ggml's number of the type.
	kind uint32
	data []byte
}

// writer makes a GGUF file of version 3.
type writer struct {
	pairs   []pair
	tensors []tensor
	source  *rand.Rand
	out     bytes.Buffer
}

// random is uniform between -1 and 1, the same numbers every time.
func (w *writer) random() float32 {
	if w.source == nil {
		w.source = rand.New(rand.NewPCG(1, 2))
	}
	return 2*w.source.Float32() - 1
}

// set replaces the value of a key.
func (w *writer) set(key string, value any) {
	for i := range w.pairs {
		if w.pairs[i].key == key {
			w.pairs[i].value = value
		}
	}
}

const alignment = 32

func (w *writer) bytes() []byte {
	w.out.WriteString("GGUF")
	w.put(uint32(3), uint64(len(w.tensors)), uint64(len(w.pairs)))
	for _, p := range w.pairs {
		w.text(p.key)
		w.value(p.value)
	}
	offset := uint64(0)
	for _, t := range w.tensors {
		w.text(t.name)
		w.put(uint32(len(t.dims)), t.dims, t.kind, offset)
		offset += uint64(len(t.data)+alignment-1) / alignment * alignment
	}
	w.pad()
	for _, t := range w.tensors {
		w.out.Write(t.data)
		w.pad()
	}
	return w.out.Bytes()
}

func (w *writer) put(values ...any) {
	for _, v := range values {
		_ = binary.Write(&w.out, binary.LittleEndian, v) // a buffer does not fail
	}
}

func (w *writer) text(s string) {
	w.put(uint64(len(s)))
	w.out.WriteString(s)
}

func (w *writer) pad() { w.out.Write(make([]byte, (alignment-w.out.Len()%alignment)%alignment)) }

// The numbers of GGUF's value types.
const (
	typeUint32  = uint32(4)
	typeInt32   = uint32(5)
	typeFloat32 = uint32(6)
	typeBool    = uint32(7)
	typeString  = uint32(8)
	typeArray   = uint32(9)
)

func (w *writer) value(v any) {
	switch v := v.(type) {
	case string:
		w.put(typeString)
		w.text(v)
	case uint32:
		w.put(typeUint32, v)
	case float32:
		w.put(typeFloat32, v)
	case bool:
		w.put(typeBool, v)
	case []string:
		w.put(typeArray, typeString, uint64(len(v)))
		for _, s := range v {
			w.text(s)
		}
	case []uint32:
		w.put(typeArray, typeUint32, uint64(len(v)), v)
	case []int32:
		w.put(typeArray, typeInt32, uint64(len(v)), v)
	case []float32:
		w.put(typeArray, typeFloat32, uint64(len(v)), v)
	}
}
