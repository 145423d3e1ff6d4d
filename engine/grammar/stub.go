package grammar

// TEMPORARY: the helper who builds this package deletes this file as soon as the
// real ones are there; it only lets package engine compile meanwhile.

func (g *Grammar) Matcher() *Matcher { return &Matcher{} }

func (m *Matcher) Accept([]byte) bool   { return true }
func (m *Matcher) Allows([]byte) bool   { return true }
func (m *Matcher) Complete() bool       { return true }
func (m *Matcher) Finished() bool       { return false }
func (m *Matcher) Mask(*Trie, []uint64) {}

type Trie struct{}

func NewTrie(size int, piece func(dst []byte, token int32) []byte) *Trie { return &Trie{} }
