// Package llama is the engine's backend on llama.cpp's shared libraries,
// through github.com/hybridgroup/yzma and without cgo.
//
// # Who owns what
//
// The goroutine that calls Step, Logits, Remove, Share, Save, Restore, CellsUsed
// and Close owns the native context; it is locked to its OS thread by the engine.
// Vocabulary, Info, Limits, Status and Interrupt are safe from any goroutine.
// The libraries themselves belong to the process: they are loaded once, by the
// first Open, and never unloaded; a later Open must name the same folder.
//
// # Calls that would kill the process
//
// llama.cpp aborts, or throws a C++ exception through the foreign call, when it
// is used wrongly. So nothing reaches it unchecked. These are refused with an
// error that wraps engine.ErrInvalid:
//
//   - a step without rows or with more than Limits.Batch;
//   - a token outside of the vocabulary, a sequence outside of 0 …
//     Limits.Sequences-1;
//   - a position that does not continue its sequence, or reaches Limits.Context;
//   - logits of a row that did not ask for them, or of a step that failed;
//   - Share with an empty source range, onto itself or onto a sequence in use;
//   - Remove of a sequence or position that cannot be;
//   - Save of positions that are not there, Restore of anything that Save of such
//     a backend has not returned, or that was damaged since;
//   - with engine.MemoryWhole, everything with a part of a sequence, and with
//     a sequence that an interrupted step has left half changed but Remove of it;
//   - any call after Close or after ErrBackend.
//
// The KV cache is always unified, without which a partial seq_cp aborts. The
// abort callback is given once, with the context's parameters, and never set
// again: yzma makes a new native callback at each SetAbortCallback, of which a
// process has 2,000. Text is made valid UTF-8 before it is tokenized.
//
// # Threads and bits
//
// How many threads compute does not change a bit of a step of two rows or more.
// A step of one row is computed otherwise if there are several threads and the
// highest cell in use is beyond the first 256: llama.cpp then splits the cache
// between them. So with several threads a stream's bits may depend on whether
// others decode beside it; with one thread they do not. The number of threads is
// measured and changes with what else needs the cores, unless Options.Threads
// fixes it: see governor.
//
// Cells that are out of order change the bits too: a sequence that grows into
// cells which another has left of it. A saved state keeps the order of its cells.
//
// # Cells
//
// The backend keeps a shadow of the KV cache: which cell each position of each
// sequence uses, and how many sequences use each cell. CellsUsed is the count
// of cells in use there. It costs one addition a row; tests compare it with the
// state that llama.cpp exports. A step that fails leaves both as they were.
package llama
