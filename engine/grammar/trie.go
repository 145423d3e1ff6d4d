package grammar

import (
	"bytes"
	"slices"
)

// Trie is a vocabulary, ordered so that tokens with a common beginning are looked
// at once. It is immutable and safe for concurrent use.
type Trie struct {
	size int
	// nodes are in preorder: a node, then what continues it, in order of bytes;
	// one more node ends them.
	nodes []trieNode
	// below has, for each node, the kinds of bytes of the nodes that continue it.
	below []byteKinds
	// order is the tokens in the order of the nodes where they end.
	order []int32
	// depth is that of the deepest node, the length of the longest token.
	depth int
}

type trieNode struct {
	// end is the index behind the nodes that continue this one.
	end int32
	// rank is how many tokens end at the nodes before, which makes it the place
	// in order of the node's own token.
	rank int32
	// at is whether a token ends here, the node's depth (from 1), and its byte.
	// Tokens with the same bytes have a node each.
	at uint32
}

const (
	hasToken uint32 = 1 << 31
	// maxTokenBytes is how long a token may be that can be matched at all.
	maxTokenBytes = 1<<23 - 1
)

func (n *trieNode) depth() int { return int(n.at &^ hasToken >> 8) }

// byteKinds is a set of kinds of bytes, coarse enough for a word.
type byteKinds uint64

// kindOf is the kind of a byte: each punctuation mark is one of its own, because
// grammars tell them apart; letters are not.
func kindOf(b byte) byteKinds {
	switch {
	case b >= 'a' && b <= 'z':
		return 1 << 63
	case b >= 'A' && b <= 'Z':
		return 1 << 62
	case b >= '0' && b <= '9':
		return 1 << 61
	case b >= 0x80:
		return 1 << 60
	case b >= '{':
		return 1 << (b - '{' + 55)
	case b >= '[':
		return 1 << (b - '[' + 48)
	case b >= ':':
		return 1 << (b - ':' + 40)
	case b >= ' ':
		return 1 << (b - ' ' + 20)
	case b >= '\t' && b <= '\r':
		return 1 << (b - '\t' + 10)
	default:
		return 1
	}
}

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
	b := trieBuilder{trie: &Trie{size: size, order: tokens}}
	for i, token := range tokens {
		b.add(bytesOf(token), int32(i))
	}
	b.finish()
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

func (b *trieBuilder) add(text []byte, rank int32) {
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
		b.trie.nodes = append(b.trie.nodes, trieNode{rank: rank, at: uint32(depth)<<8 | uint32(c)})
	}
	b.trie.nodes[b.path[len(b.path)-1]].at |= hasToken
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

func (b *trieBuilder) finish() {
	b.cut(0)
	t := b.trie
	t.below = make([]byteKinds, len(t.nodes))
	above := make([]int, t.depth+1)
	for i := range t.nodes {
		n := &t.nodes[i]
		depth := n.depth()
		above[depth] = i
		for _, parent := range above[1:depth] {
			t.below[parent] |= kindOf(byte(n.at))
		}
	}
	t.nodes = append(t.nodes, trieNode{end: int32(len(t.nodes)), rank: int32(len(t.order))})
}
