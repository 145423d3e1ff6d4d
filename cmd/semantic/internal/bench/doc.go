// Package bench puts a load on a gateway or a queue and says what its users feel.
//
//	schedule, scenario ──▶ Run ──▶ Target ──▶ recorder ──▶ Report ──▶ JSON, Markdown, SVG
//	                                                         └──────▶ Compare, Summarize
//
// # What is measured
//
//   - Open loop (Config.Rate): requests have times at which they are due, drawn by
//     the seed before anything is sent, and are sent then whatever became of the
//     earlier ones. Every latency counts from the time the request was due, so a
//     server that stalls is charged for all who would have come meanwhile
//     (coordinated omission), and so is a late generator; how late it was is
//     reported.
//   - Closed loop (Config.Concurrency): so many users, each of whom asks again when
//     it has been answered. Latencies count from the moment of sending: a slow
//     server is asked less, which is what such users do.
//   - Warm-up requests are sent and not counted. What is due within Duration behind
//     it is counted, whenever it ends; the load goes on until the last of these has
//     ended, so that none of them runs on an emptier machine than the others.
//   - A request that takes longer than Timeout is cut, and stays in the quantiles as
//     longer than any other: those it reaches are "longer than the timeout", not
//     left out. Requests that were refused or failed are counted by their code, and
//     have no latency.
//   - Quantiles are exact (nearest rank over all samples), but for the inter-token
//     latency, whose histogram is off by at most [HistogramError].
//   - What only the server knows (the wait in the queue) is what the server said at
//     the end of an answer, and is absent where it said nothing.
//
// # Who owns what
//
// A round has one dispatcher (open) or one goroutine a user (closed), and one
// goroutine for each request under way; Run joins them all. The recorder's mutex
// guards everything that they write.
package bench
