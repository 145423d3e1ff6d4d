package grammar

import (
	"bytes"
	"slices"
)

// Trie is a vocabulary, ordered so that tokens with a common beginning are looked
// at once. It is immutable and safe for concurrent use.
type Trie struct {
	size int
	// nodes are in preorder: a node, then what continues it, in order of bytes.
	nodes []trieNode
	// depth is that of the deepest node, the length of the longest token.
	depth int
}

type trieNode struct {
	// end is the index behind the nodes that continue this one.
	end int32
	// token ends here, or noToken. Tokens with the same bytes have a node each.
	token int32
	// at is the node's depth (from 1) and its byte: depth<<8 | byte.
	at uint32
}

const (
	noToken = -1
	// maxTokenBytes is how long a token may be that can be matched at all.
	maxTokenBytes = 1<<24 - 1
)

// NewTrie builds the trie of the tokens 0 … size-1. piece appends the bytes of a
// token to dst; tokens without bytes are never allowed.
func NewTrie(size int, piece func(dst []byte, token int32) []byte) *Trie {
	var text []byte
	ends := make([]int, size)
	tokens := make([]int32, 0, size)
	for i := range ends {
		start := len(text)
		text = piece(text, int32(i))
		ends[i] = len(text)
		if n := len(text) - start; n > 0 && n <= maxTokenBytes {
			tokens = append(tokens, int32(i))
		}
	}
	bytesOf := func(token int32) []byte {
		if token == 0 {
			return text[:ends[0]]
		}
		return text[ends[token-1]:ends[token]]
	}
	slices.SortStableFunc(tokens, func(x, y int32) int { return bytes.Compare(bytesOf(x), bytesOf(y)) })
	b := trieBuilder{trie: &Trie{size: size}}
	for _, token := range tokens {
		b.add(bytesOf(token), token)
	}
	b.cut(0)
	return b.trie
}

// Size is the number of tokens, with and without bytes.
func (t *Trie) Size() int { return t.size }

// Words is how many words a set of tokens has.
func (t *Trie) Words() int { return (t.size + 63) / 64 }

// trieBuilder adds tokens in the order of their bytes.
type trieBuilder struct {
	trie *Trie
	// last is the token added last, and path the nodes of its bytes.
	last []byte
	path []int32
}

func (b *trieBuilder) add(text []byte, token int32) {
	common := 0
	for common < len(b.last) && common < len(text) && b.last[common] == text[common] {
		common++
	}
	// A token with the same bytes as the last one gets a node beside it.
	common = min(common, len(text)-1)
	b.cut(common)
	for i, c := range text[common:] {
		depth := common + i + 1
		b.path = append(b.path, int32(len(b.trie.nodes)))
		b.trie.nodes = append(b.trie.nodes, trieNode{token: noToken, at: uint32(depth)<<8 | uint32(c)})
	}
	b.trie.nodes[b.path[len(b.path)-1]].token = token
	b.trie.depth = max(b.trie.depth, len(text))
	b.last = text
}

// cut ends the nodes of the path beyond a depth.
func (b *trieBuilder) cut(depth int) {
	for _, n := range b.path[depth:] {
		b.trie.nodes[n].end = int32(len(b.trie.nodes))
	}
	b.path = b.path[:depth]
}
