// Package symbols checks, without running them, that the native libraries of
// every platform fit this program: that each symbol the binding and our own
// code look up at run time is exported by the library it is looked up in, that
// every backend can be registered, and that the libraries load on the oldest
// macOS that the lock names. It is the only proof a Linux machine has about the
// Mac's libraries.
//
// What is looked up is read from the Go source of the binding and of
// engine/llama; what is exported, from where the dynamic linker reads it: the
// dynamic symbol table of ELF, the export trie of Mach-O.
package symbols
