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
// # Planning a step
//
// The planner is a pure function of planInput. What it keeps:
//
//   - A step has at most Limits.Batch (Config.StepRows) rows, and a cell is free
//     for each of them before the backend is called.
//   - The positions of a sequence are contiguous with what is resident.
//   - Every running sequence that is not blocked has one decode row in each step,
//     before any other row is planned.
//   - Where a cell for one is missing, the latest of all resident sequences is
//     preempted: its cells are removed, it waits and is computed again later; its
//     stream pauses and goes on with the same tokens. The earliest unblocked
//     sequence always advances, and nothing fails for want of room.
//   - A waiting sequence is admitted in the order of arrival, when its tokens fit
//     beside what the resident ones were promised and a reserve.
//   - Prompts prefill in chunks. While others decode, all chunks of a step are
//     capped; otherwise they share it. Every prompt advances within as many steps
//     of its kind as there are prompts.
//   - A prompt that prefills alone is cut at multiples of Config.PrefillChunk, a
//     function of the prompt and nothing else; in company at multiples of 64 as
//     far as there are rows and cells for them.
//   - A step that replays tokens has no prefill rows and at most 32 rows (with 32
//     and more decoding, one beside them). Steps that replay and steps that
//     prefill take turns.
//
// The last two are why a resumed stream continues as the uninterrupted one would
// have: small steps of any size give the same bits, large ones others.
//
// # What is a function of what
//
// A token is a function of the logits, Sampling and its position. Text is a
// function of the token ids (ReplayText). So a sequence that is cut anywhere and
// submitted again with what it had generated as Request.Emitted gives the same
// tokens, text and usage, as far as the backend gives the same logits: always in
// the simulation; on a CPU with f16 KV and a model in Q4_0, Q4_1 or Q8_0 when it
// is alone or Config.StepRows is at most 63.
package engine
