// Package engine batches: many sequences decode together on one backend.
//
// It knows no HTTP, no NATS and no wire types. One goroutine, the loop, locked
// to its OS thread, owns the backend, its KV cache and every sequence; others
// hand it requests and read snapshots. It never waits for a reader.
//
// # A sequence's life
//
//	Submit → waiting → prefill → replay → decode ⇄ blocked → end
//	            ↑         │         │        │        │
//	            └─────────┴─────────┴────────┴────────┘ preempted
//
// A waiting sequence holds no cells and no place. Admitted, it reads its prompt
// (prefill), reads again what it generated before (replay: Request.Emitted, or
// its own tokens after a preemption), and generates (decode). While its output
// is not being read it sits out (blocked), with its cells. It ends by itself
// (Finish), or by Cancel, Drain, Close, a slow consumer or a failed backend; its
// place and cells are free again before the next step.
//
// Rank orders sequences: by Request.Class, then by arrival. Places are given in
// that order, room is taken in the reverse one: who waits takes the place of a worse
// class, if that makes room enough. Who was overtaken 15 times by better classes
// has the next place, and keeps it, so that no class waits without bound.
//
// # Planning a step
//
// The planner is a pure function of planInput. What it keeps:
//
//   - A step has at most Limits.Batch (Config.StepRows) rows, and a cell is free
//     for each of them before the backend is called.
//   - The positions of a sequence are contiguous with what is resident.
//   - Every running sequence that is not blocked has one decode row in each step,
//     before any other row is planned.
//   - Where a cell for one is missing, the last in rank of all resident sequences
//     behind it is preempted, or else the last blocked one before it: its stream
//     pauses and goes on with the same tokens. In every step somebody who is not
//     blocked advances, and nothing fails for want of room.
//   - While one that is to be alone (Request.Alone) can advance, the others sit out
//     as if they were blocked.
//   - Prompts take what rows are left, the one with the fewest rows left first, so
//     that those of equal length are read one after the other. One that was passed
//     over in four steps for each prompt there is has its turn before: every prompt
//     advances within a bounded number of steps.
//   - Prompts are cut at multiples of Config.PrefillChunk, a function of the
//     prompt and nothing else; where a step has not that many rows or cells for
//     them, at multiples of 64; elsewhere only where nothing else is possible.
//   - While others decode, a step has as many pieces of 64 prompt rows as the
//     pace allows: it takes at most Config.InterTokenBound times as long as one
//     without any will take once those whose prompts are read decode too, by the
//     medians of measured steps. Where one piece alone takes longer, the steps
//     that follow go without any until the mean keeps to the bound, but at most 8
//     in a row. When nothing decodes there is no such cap.
//   - From Limits.Apart rows on, a step with decode rows and prompt rows is made as
//     two, the decode rows first: on a CPU that takes less time, and tokens do not
//     wait for prompts. For every rule here the two count as one.
//   - A step that replays tokens has no prefill rows and at most 32 rows (with 32
//     and more decoding, one beside them). Steps that replay and steps that
//     prefill take turns.
//
// The cuts and the size of replays are why a resumed stream continues as the
// uninterrupted one would have: small steps of any size give the same bits, large
// ones others.
//
// # Room
//
// Cells are given out one by one and accounted for in blocks of up to 256
// consecutive positions; cells that several sequences share count once. The sum
// is the backend's own count.
//
//   - A waiting sequence is admitted when what it must compute fits beside what
//     the resident ones were promised and a reserve. Nobody behind it overtakes.
//     Those that are blocked make way for it, and come back when they are read.
//   - Its prompt begins with the cells of whoever has the most of it resident: all
//     but the last token, or a multiple of 64 tokens (Usage.Cached).
//   - While another is just reading what both have in common it waits for that
//     one, and stands in nobody's way; when that one is gone it, or the first of
//     those that waited, reads instead.
//   - The state of a preempted sequence is kept in RAM (Config.SpillBytes) if
//     bringing it back takes less time than computing it again, as measured, and
//     no cell of it is shared.
//   - With MemoryWhole a sequence is shared only as a whole, and an interrupted
//     one is computed again from its beginning.
//
// # Faults
//
// What a backend refuses (ErrInvalid) is tried again with each sequence alone,
// and only those end whose rows it refuses then. What it fails at (ErrBackend)
// ends every sequence and the engine: Failed is closed, and the process should be
// replaced.
//
// # What is a function of what
//
// A token is a function of the logits, Sampling, its position and the tokens
// before it. Text is a function of the token ids (ReplayText); what the end
// releases of it comes in one Chunk with Finish. So a sequence that is cut anywhere
// and submitted again with what it had generated as Request.Emitted gives the same
// tokens, text and usage, as far as the backend gives the same logits: always in
// the simulation; on a CPU with f16 KV and a model in Q4_0, Q4_1 or Q8_0 when it
// is alone or Config.StepRows is at most 63.
package engine
