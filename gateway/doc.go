// Package gateway is the HTTP face of semantic: it turns requests into jobs,
// and the jobs' events into responses. It knows the queue and the wire
// contract, and nothing of engines.
//
// # The way of a request
//
//	identify    X-Request-Id: the client's, if harmless, else a new one; trace context
//	observe     metrics, span and one log line at the end, whatever the end is
//	recover     a panic becomes a 500; after the first byte, a broken connection
//	guard       Host (DNS rebinding), Origin, CORS
//	track       counted as open, from when on; or 503 server_restarting while stopping
//	authenticate  whose request it is: the owner of its job
//	handler     body → job → queue → events → response
//
// A chat request's body is read within its limits, decoded strictly, and mapped
// to a known model, or refused by name. The job gets its class, agent and
// deadline, and is stored; its id goes into X-Semantic-Job. From then on the
// handler follows the job's event log until one of these happens:
//
//   - the job ends: the answer, or the error that its last event names;
//   - its deadline passes: the gateway writes the end itself (a running job's
//     worker first has Config.DeadlineGrace to do it, since it knows the usage);
//   - the client leaves, or does not read for Config.WriteTimeout: the job is
//     cancelled, on a context of its own;
//   - the gateway stops and its time to drain is over: the client is told
//     server_restarting, and the job goes on without it.
//
// A stream's head (200, and the job's id) is sent once a worker has taken the job
// up, or after Config.StatusHold. Until then an error has a real HTTP status:
// all that the gateway refuses, and what a worker refuses at once. After it an
// error is an event in the stream, which then ends without [DONE]. During
// silence, comments keep the connection alive. A request that is not streamed
// waits, and always has a real status.
//
// A client that closes its sending side counts as gone: HTTP/1.1 knows no other
// sign of one that left. In case it still reads, it is told that its job was
// cancelled.
//
// A request counts by its outcome: a stream that fails after its 200 under the
// status of its error, a client that left as cancelled. What waiting, prompt and
// answer took is by this gateway's clock alone, from the events as they came.
//
// # Who owns what
//
//   - A handler goroutine owns its ResponseWriter, its call, its Follower and
//     the decision to cancel its job. No write happens anywhere else.
//   - The one goroutine beside it reads the Follower, is one event ahead at
//     most, and is joined before the handler returns. A slow client therefore
//     holds up its own handler and nothing else.
//   - The tracker owns the set of open requests. Only it may shorten a
//     handler's read and write deadlines, when it cuts.
//   - Options.Queue is the caller's, to be closed after [Gateway.Drain].
//   - The probe asks the broker for all who ask for health, on the goroutine of one
//     of them; requests tell it what they meet.
//
// Errors have one table, in errors.go, from codes to statuses. What net/http
// refuses before there is a request (see [NewHTTPServer]) is not among them.
package gateway
