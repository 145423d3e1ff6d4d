package llama

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
	binding "github.com/hybridgroup/yzma/pkg/llama"

	"github.com/semantic-worker/semantic/engine"
)

// vocabulary keeps every token's bytes, so that turning tokens into text is a
// slice expression and needs no native call.
type vocabulary struct {
	lib *library
	// mu keeps the native vocabulary alive while a text is split: Close takes it
	// for writing.
	mu     sync.RWMutex
	handle binding.Vocab

	// piece i is pieces[ends[i-1]:ends[i]]. Immutable.
	pieces []byte
	ends   []uint32
	eog    []bool
	// special are the texts of the tokens that have none among the pieces:
	// control tokens and the unknown token.
	special map[engine.Token]string
}

func newVocabulary(lib *library, model binding.Model) (*vocabulary, error) {
	handle := binding.ModelGetVocab(model)
	n := int(binding.VocabNTokens(handle))
	if handle == 0 || n <= 0 {
		return nil, errors.New("llama: the model has no vocabulary")
	}
	v := &vocabulary{
		lib: lib, handle: handle, ends: make([]uint32, n), eog: make([]bool, n), special: make(map[engine.Token]string),
	}
	for id := range n {
		start := len(v.pieces)
		v.pieces = v.appendNative(v.pieces, engine.Token(id), false)
		v.ends[id] = uint32(len(v.pieces))
		if len(v.pieces) == start {
			if text := v.appendNative(nil, engine.Token(id), true); len(text) > 0 {
				v.special[engine.Token(id)] = string(text)
			}
		}
		r, _, _ := purego.SyscallN(lib.vocabIsEOG, uintptr(handle), uintptr(id))
		v.eog[id] = byte(r) != 0
	}
	return v, nil
}

// appendNative asks the library for a token's text, with the text of control
// tokens if special.
func (v *vocabulary) appendNative(dst []byte, token engine.Token, special bool) []byte {
	flag := uintptr(0)
	if special {
		flag = 1
	}
	room := 64
	for {
		start := len(dst)
		dst = append(dst, make([]byte, room)...)
		r, _, _ := purego.SyscallN(v.lib.tokenToPiece, uintptr(v.handle), uintptr(token),
			uintptr(unsafe.Pointer(&dst[start])), uintptr(room), 0, flag)
		n := int(int32(r))
		if n >= 0 {
			return dst[:start+n]
		}
		// A negative number is the room that it needs.
		dst, room = dst[:start], -n
	}
}

// text is a token's text as templates need it; empty for no token.
func (v *vocabulary) text(token binding.Token) string {
	if token < 0 || int(token) >= len(v.ends) {
		return ""
	}
	return string(v.appendNative(nil, engine.Token(token), true))
}

// Size is the number of tokens.
func (v *vocabulary) Size() int { return len(v.ends) }

// Tokenize splits text. Bytes that are not UTF-8 become U+FFFD: the native
// tokenizer may throw on them.
func (v *vocabulary) Tokenize(text string, special bool) ([]engine.Token, error) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if text == "" {
		return nil, nil
	}
	if len(text) > math.MaxInt32/2 {
		return nil, fmt.Errorf("llama: a text of %d bytes is too long to tokenize: %w", len(text), engine.ErrInvalid)
	}
	flag := uintptr(0)
	if special {
		flag = 1
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.handle == 0 {
		return nil, errClosed
	}
	// A token is seldom shorter than two bytes, never than none.
	tokens := make([]engine.Token, len(text)/2+8)
	for {
		r, _, _ := purego.SyscallN(v.lib.tokenize, uintptr(v.handle),
			uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)),
			uintptr(unsafe.Pointer(&tokens[0])), uintptr(len(tokens)), 0, flag)
		runtime.KeepAlive(text)
		n := int(int32(r))
		switch {
		case n >= 0:
			return tokens[:n:n], nil
		case n == math.MinInt32:
			return nil, fmt.Errorf("llama: a text of %d bytes has too many tokens: %w", len(text), engine.ErrInvalid)
		case -n <= len(tokens):
			return nil, fmt.Errorf("llama: tokenizing %d bytes: unexpected result %d", len(text), n)
		}
		tokens = make([]engine.Token, -n)
	}
}

// AppendPiece appends the bytes of a token, those of a control token if special;
// nothing for a token that is not.
func (v *vocabulary) AppendPiece(dst []byte, token engine.Token, special bool) []byte {
	if token < 0 || int(token) >= len(v.ends) {
		return dst
	}
	if special {
		if text, ok := v.special[token]; ok {
			return append(dst, text...)
		}
	}
	start := uint32(0)
	if token > 0 {
		start = v.ends[token-1]
	}
	return append(dst, v.pieces[start:v.ends[token]]...)
}

// EndOfGeneration reports whether the model ends its turn with the token.
func (v *vocabulary) EndOfGeneration(token engine.Token) bool {
	return token >= 0 && int(token) < len(v.eog) && v.eog[token]
}

func (v *vocabulary) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.handle = 0
}
