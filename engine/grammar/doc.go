// Package grammar matches text against GBNF, the grammar notation of llama.cpp,
// byte by byte and without native code.
//
// A [Grammar] is compiled once and immutable. A [Matcher] is one text's place in
// it; tokens whose bytes end in the middle of a character are nothing special,
// because characters are matched as the bytes of their UTF-8 form. A [Trie] holds
// a vocabulary, so that all tokens that may come next are found in one walk.
//
// # Notation
//
// All of GBNF, but for token literals (<name>, <[id]>), which are refused. A rule
// may not be defined twice, may not be left-recursive, and must be able to end: so
// every text that is accepted can be continued to a whole one. Escapes name
// characters (\xE9 is é, never a lone byte); \- and \^ are escapes too. A grammar
// whose text or rules are too many is a [LimitError].
//
// # Cost
//
// The pushdown automaton of a grammar is made deterministic as texts visit it, and
// shared by all matchers of the grammar: a byte costs a look-up where any text has
// been before, about a microsecond elsewhere. What is known is forgotten beyond
// 8 MiB, except what the matchers need, which is how deep they are nested.
//
// Ambiguity cannot multiply states: continuations of the same instruction are
// merged, so a step takes at most polynomial time in the text's length, and beyond
// a fixed amount of work the text is refused with [ErrAmbiguous]. A repeat takes
// the same room in the program whatever its bounds are, since how often it went
// round is part of the state: {0,10000} is as cheap to compile as {0,2}. A mask of
// a vocabulary is remembered for the last 64 different states, and states that
// differ only in how often a repeat went round have one together.
package grammar
