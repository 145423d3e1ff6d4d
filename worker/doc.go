// Package worker joins the queue and the engine: it claims jobs of one model
// as fast as the engine has room, and turns each into sequences, one for every
// choice, whose tokens go into the job's log.
//
// # One delivery
//
// A claimed job is served by one goroutine, which alone appends its events and
// acknowledges it:
//
//	claim ─ decode ─ read the log ─ plan ─── Submit ──── started ─ delta … ─ done ─┬─ ack
//	          │           │           │        │            │         │            │
//	          │           │           │        │            └─────────┴ cancelled ─┤
//	          │           │           │        │                        expired ───┤
//	          ├───────────┴───────────┴────────┴─────────────────────── failed ────┘
//	          │           │           │        │            │         │
//	          │           │           └────────┴ hand back  └─────────┴ requeued, hand back
//	          │           ├ the log has its end: ack
//	          │           └ started under another fingerprint: hand back for later
//	          ├ condemned: kept among the dead jobs, then failed
//	          └ newer schema: requeued, hand back for later
//
// The invariants:
//
//   - The message is acknowledged only after the terminal event is in the log.
//   - An event goes into the log before anybody sees it. One append is in flight
//     at a time; what is generated meanwhile goes into the next.
//   - A refused append (queue.ErrFenced) means that another writer has the job:
//     the sequence is dropped and nothing else is written or acknowledged.
//   - A resume is bound to the log: fingerprint and seed are those of the first
//     started event, the tokens in the log are replayed and never emitted again,
//     and what they say must be what the log says (see Choices).
//   - A job that a worker's death interrupted keeps its started event without a
//     requeued one. What comes before the start can kill, too (a prompt in the
//     tokenizer): a worker that is offered a job again first appends requeued with
//     the reason "preparing", which counts the same if nothing of that worker
//     follows. Who gives such a job back says so by another requeued. A job's first
//     delivery goes without, so the first death before a start is not counted.
//   - A job that another worker left so, and did not bring forward, is a suspect:
//     it runs alone (see Suspects). One that queue.Guilt condemns is not tried: it
//     is kept among the dead jobs with its evidence, then it fails as worker_lost.
//   - A job that is offered again while it runs here is adopted: the run goes on
//     and answers for both deliveries.
//
// # Choices
//
// A job has n choices of every prompt; choice k of a prompt draws with the job's
// seed + k. The engine shares the prompt's cells among them. Their deltas
// interleave in the one log, which has the end of each in its last delta, and of
// the last one in done; when one fails, or the job is stopped, all end with it.
//
// What a choice says is a function of all its tokens: the engine's text of them,
// split into reasoning, text and calls. Tokens come into the log with or before
// what they say; where that needs several events, the first has the tokens. So
// what is in a log that was cut anywhere is the beginning of what its tokens and
// the end say: what is missing is logged next, and what is there already is not
// logged again; anything else is a contradiction, and the job fails. A choice that
// has ended in the log is not submitted again.
//
// # Claims
//
// The claim loop alone decides when to claim, of each class: when the engine has a
// free sequence and free cells after everything claimed before of no worse class
// has its place, and none of these is still on its way into the engine. What
// worse classes hold counts as free: the engine takes it from them, and they go on
// later (at most 15 times each, then they keep it). A prompt's size is unknown
// before the claim, so one job may turn out not to fit now; it then waits inside
// the engine, heartbeating, and nothing of its class or a worse one is claimed
// until it has its cells. There is thus at most one claimed, unstarted job without
// a place in each class.
// A job takes as many places as it has choices; one with more of them than there
// are places runs all the same, and its choices wait inside the engine.
//
// A job pays for its prompt in its flow's turns (queue.Delivery.Charge): for all of
// it once its length is known, and what was in the cache is given back when it
// starts; of several prompts that of the first.
//
// A job that is longer than this worker's context is passed on to a worker that can
// hold it, if one lives. If none does it fails as context_length_exceeded; but a
// stream that began elsewhere waits for such a worker, until its deadline.
//
// Any other job that this worker cannot serve goes back at once, for the server to offer
// it again after a delay that doubles from Config.RetryDelay to MaxRetryDelay. It
// holds no place here meanwhile and does not keep its flow from moving. One that
// nobody takes ends at its deadline, also where only that much of it can be read.
//
// # Suspects
//
// When a worker dies each of the jobs in its hands may have done it, and a death
// alone is the only proof (docs/adr/0015). From the claim of a suspect on nothing is
// claimed beside it; those that are here keep their cells, and the engine computes
// nothing of them while the suspect advances. It says in its preparing and started
// events that it is alone. Its first new token ends that.
//
// # Deadlines and clocks
//
// A job's deadline counts from the time the server stored it, read on the
// worker's clock: machines are expected to agree within a fraction of the
// deadline, as NTP makes them.
//
// # Stop
//
// When Run's context ends, or a control message asks for a drain: the registry
// entry says draining and claiming stops; jobs that have not started go back; the
// engine is drained: running sequences finish until the limit (Config.DrainTimeout,
// or what the message says; of several the earliest counts); what is left gets its
// requeued event and goes back, so
// that another worker continues at the same token; the last events and
// acknowledgements are flushed within Config.FlushTimeout; the registry entry is
// removed and every goroutine joined, but for one that waits for an engine which
// hangs in native code. The engine, which takes nothing more, and the queue stay
// open: they are the caller's, to be closed after Run.
package worker
