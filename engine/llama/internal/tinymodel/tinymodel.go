// Package tinymodel makes model files of several architectures for tests: a few
// hundred kilobytes, with random weights that are the same every time. What such
// a model says is noise, but llama.cpp computes it as it computes any other.
package tinymodel

import (
	"fmt"
	"math"
	"os"
	"slices"
)

// Architecture is what a file can be made of.
type Architecture string

// The architectures.
const (
	// Qwen3 sees everything: an ordinary one, other than the default model's.
	Qwen3 Architecture = "qwen3"
	// Gemma3 has layers that see the last Window tokens only.
	Gemma3 Architecture = "gemma3"
	// Mamba is recurrent.
	Mamba Architecture = "mamba"
	// LFM2 is a hybrid: recurrent layers and ones that see everything.
	LFM2 Architecture = "lfm2"
)

// All lists the architectures.
func All() []Architecture { return []Architecture{Qwen3, Gemma3, Mamba, LFM2} }

// Window is how many tokens the layers of Gemma3 see.
const Window = 64

// Context is what the models say that they were trained for.
const Context = 2048

// Sizes of the networks. Rows are multiples of 32, the block of Q8_0.
const (
	width   = 64
	layers  = 2
	heads   = 2
	head    = 32
	hidden  = 96
	inner   = 2 * width
	state   = 16
	rank    = 32
	kernel  = 4
	history = 3
)

// Write makes the file of an architecture.
func Write(path string, a Architecture) error {
	content, err := file(a)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("tiny model: %w", err)
	}
	return nil
}

func file(a Architecture) ([]byte, error) {
	v := bytePairs()
	if a == Gemma3 {
		v = sentencePieces()
	}
	key := func(name string) string { return string(a) + "." + name }
	w := writer{pairs: []pair{
		{"general.architecture", string(a)},
		{"general.name", "tiny " + string(a)},
		{"general.file_type", uint32(7)}, // Q8_0
		{"general.quantization_version", uint32(2)},
		{key("context_length"), uint32(Context)},
		{key("embedding_length"), uint32(width)},
		{key("block_count"), uint32(layers)},
		{key("attention.layer_norm_rms_epsilon"), float32(1e-5)},
	}}
	w.pairs = append(w.pairs, v.pairs()...)
	w.matrix("token_embd.weight", width, len(v.tokens), v.mute...)
	switch a {
	case Qwen3:
		w.transformer(key)
		w.ones("output_norm.weight", width)
		for i := range layers {
			w.attention(i, heads*head)
			w.feedForward(i)
		}
	case Gemma3:
		w.transformer(key)
		w.pairs = append(w.pairs, pair{key("attention.sliding_window"), uint32(Window)}, pair{key("attention.sliding_window_pattern"), uint32(2)})
		w.ones("output_norm.weight", width)
		for i := range layers {
			w.attention(i, heads*head)
			w.ones(block(i, "post_attention_norm.weight"), width)
			w.feedForward(i)
			w.ones(block(i, "post_ffw_norm.weight"), width)
		}
	case Mamba:
		w.pairs = append(w.pairs,
			pair{key("attention.head_count"), uint32(0)}, pair{key("feed_forward_length"), uint32(0)},
			pair{key("ssm.conv_kernel"), uint32(kernel)}, pair{key("ssm.inner_size"), uint32(inner)},
			pair{key("ssm.state_size"), uint32(state)}, pair{key("ssm.time_step_rank"), uint32(rank)})
		w.ones("output_norm.weight", width)
		for i := range layers {
			w.scan(i)
		}
	case LFM2:
		w.transformer(key)
		// No heads: a recurrent layer.
		w.set(key("attention.head_count_kv"), []uint32{0, 1})
		w.pairs = append(w.pairs, pair{key("shortconv.l_cache"), uint32(history)})
		w.ones("token_embd_norm.weight", width)
		w.convolution(0)
		w.feedForward(0)
		w.attention(1, width)
		w.feedForward(1)
	default:
		return nil, fmt.Errorf("tiny model: there is no architecture %q", a)
	}
	return w.bytes(), nil
}

func block(i int, name string) string { return fmt.Sprintf("blk.%d.%s", i, name) }

func (w *writer) transformer(key func(string) string) {
	w.pairs = append(w.pairs,
		pair{key("feed_forward_length"), uint32(hidden)},
		pair{key("attention.head_count"), uint32(heads)}, pair{key("attention.head_count_kv"), uint32(1)},
		pair{key("attention.key_length"), uint32(head)}, pair{key("attention.value_length"), uint32(head)},
		pair{key("rope.freq_base"), float32(10000)})
}

// attention has one head of keys and values for all of queries.
func (w *writer) attention(i, queries int) {
	w.ones(block(i, "attn_norm.weight"), width)
	w.matrix(block(i, "attn_q.weight"), width, queries)
	w.matrix(block(i, "attn_k.weight"), width, head)
	w.matrix(block(i, "attn_v.weight"), width, head)
	w.matrix(block(i, "attn_output.weight"), queries, width)
	w.ones(block(i, "attn_q_norm.weight"), head)
	w.ones(block(i, "attn_k_norm.weight"), head)
}

func (w *writer) feedForward(i int) {
	w.ones(block(i, "ffn_norm.weight"), width)
	w.matrix(block(i, "ffn_gate.weight"), width, hidden)
	w.matrix(block(i, "ffn_up.weight"), width, hidden)
	w.matrix(block(i, "ffn_down.weight"), hidden, width)
}

// scan is a layer of Mamba.
func (w *writer) scan(i int) {
	w.ones(block(i, "attn_norm.weight"), width)
	w.matrix(block(i, "ssm_in.weight"), width, 2*inner)
	w.floats(block(i, "ssm_conv1d.weight"), []uint64{kernel, inner}, func(int) float32 { return w.random() / 2 })
	w.floats(block(i, "ssm_conv1d.bias"), []uint64{inner}, func(int) float32 { return w.random() / 8 })
	w.matrix(block(i, "ssm_x.weight"), inner, rank+2*state)
	w.matrix(block(i, "ssm_dt.weight"), rank, inner)
	w.floats(block(i, "ssm_dt.bias"), []uint64{inner}, func(int) float32 { return -2 + w.random() })
	// Decay: negative, slower and faster ones.
	w.floats(block(i, "ssm_a"), []uint64{state, inner}, func(n int) float32 { return -float32(1+n%state) / 4 })
	w.floats(block(i, "ssm_d"), []uint64{inner}, func(int) float32 { return 1 })
	w.matrix(block(i, "ssm_out.weight"), inner, width)
}

// convolution is a recurrent layer of LFM2.
func (w *writer) convolution(i int) {
	w.ones(block(i, "attn_norm.weight"), width)
	w.floats(block(i, "shortconv.conv.weight"), []uint64{history, width}, func(int) float32 { return w.random() })
	w.matrix(block(i, "shortconv.in_proj.weight"), width, 3*width)
	w.matrix(block(i, "shortconv.out_proj.weight"), width, width)
}

func (w *writer) ones(name string, n int) {
	w.floats(name, []uint64{uint64(n)}, func(int) float32 { return 1 })
}

// matrix adds random weights in Q8_0, of columns inputs and rows outputs; the
// rows of zero are 0.
func (w *writer) matrix(name string, columns, rows int, zero ...int) {
	const size = 32
	// The variance of the outputs is about that of the inputs: a uniform byte
	// has a deviation of 73.
	exponent := int(math.Round(math.Log2(1 / (73 * math.Sqrt(float64(columns))))))
	half := uint16(exponent+15) << 10
	var data []byte
	for row := range rows {
		for range columns / size {
			data = append(data, byte(half), byte(half>>8))
			for range size {
				weight := byte(int8(127 * w.random()))
				if slices.Contains(zero, row) {
					weight = 0
				}
				data = append(data, weight)
			}
		}
	}
	w.tensors = append(w.tensors, tensor{name: name, dims: []uint64{uint64(columns), uint64(rows)}, kind: 8, data: data})
}

// floats adds 32-bit floats.
func (w *writer) floats(name string, dims []uint64, value func(i int) float32) {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	var data []byte
	for i := range n {
		bits := math.Float32bits(value(i))
		data = append(data, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
	}
	w.tensors = append(w.tensors, tensor{name: name, dims: dims, data: data})
}
