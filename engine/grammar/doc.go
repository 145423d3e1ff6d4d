// Package grammar matches text against GBNF, the grammar notation of llama.cpp,
// byte by byte and without native code.
//
// A [Grammar] is compiled once and immutable. A [Matcher] is one text's place in
// it; tokens whose bytes end in the middle of a character are nothing special,
// because characters are matched as the bytes of their UTF-8 form. A [Trie] holds
// a vocabulary, so that all tokens that may come next are found in one walk.
package grammar
