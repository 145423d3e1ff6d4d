// Package queue is everything that semantic does with NATS: where jobs wait,
// who has claimed them, and the log of each job's events. It is the only
// package that imports nats.go.
//
// # A job's way
//
//	Submit ──submitted──▶ EVENTS          the log's first event takes the job id
//	   └─────job────────▶ JOBS_<CLASS>    one work queue per class, 16 flows per model
//	                          │ doorbell (RePublish, headers only), or the poll
//	Claimer.Next ◀────────────┘
//	   └ Delivery.Append ──▶ EVENTS       each event fenced by the sequence of the one before
//	                          │ live feed (RePublish)
//	Follower.Next ◀───────────┘           gaps are read from the log
//	Delivery.Ack                          only after the terminal event is stored
//
// subjects.go is the subject grammar and topology.go declares the streams;
// nothing else names a subject or a stream's property.
//
// # What holds
//
//   - A job's log has one writer at a time. Every append names the sequence it
//     follows; who is overtaken gets [ErrFenced] and stops. Exactly one event of
//     a log is terminal, and it is the last.
//   - A sole broker that loses its power comes back without what it had not synced,
//     and gives the sequences to other events: they prove nothing across a
//     reconnect. Who appends, or follows, first sees that the event it knows last is
//     still there, else it is fenced ([ErrFenced]) or told ([ErrLogRewound]).
//   - The live feed carries what the log accepted and nothing else; it may lose
//     messages, the log may not. A [Follower] trusts a message of the feed only
//     if it is the one that follows.
//   - A publish whose answer is lost is repeated until its fate is known: the
//     fence, and for jobs the message id, let it in once.
//   - A job's message leaves its stream after its terminal event is in the log,
//     never before. A crash between the two is harmless: the next claimer sees
//     the end and acks.
//   - Owner, model, class and flow are read from the subject of a job, never
//     from its body. Events go to a job's reply_to only under its owner's inbox.
//   - Entries of a log that are no event of the job are skipped by readers, and
//     do not fence its writer. Entries of a newer release close the log for this
//     one: it appends nothing, because it cannot number what it would append.
//   - A job on which workers died is judged by its log and the registry alone
//     ([Guilt]): every claimer comes to the same judgement. It is among the dead jobs
//     before its end is in the log.
//   - A large job is in the object store before its message is stored, and removed
//     with its log. Its message says what it must be; what is not is not run.
//   - A claimed job that another worker has by its log is left to that worker
//     while there is news of it: its heartbeats were late, or the job was stored
//     twice. A job published under the id of a gateway's job with another body is
//     dropped.
//
// # Who claims what
//
// Each flow of a model has one home among its live workers, the same for all
// classes (home.go): an agent comes back to the worker that has its cache, and no
// map of that is kept anywhere.
//
//   - A worker claims from its own flows first, within a class. A job of another's
//     flow it takes at once when that one drains, is gone or cannot hold it and
//     this worker is the next; else when the job has waited for Config.StealAfter,
//     or 50 ms after it was handed back.
//     Before it takes one it reads how long the oldest that nobody was offered has
//     waited, so what an idle home can have is left to it. A sole worker
//     is the home of every flow, and does none of this.
//   - A job that is too big for a worker is passed on (Delivery.PassOn): the bell
//     says what it needs, the home among those that have it takes it, and who
//     passed it on does not return it from NextOf as long as one of these lives.
//   - Of 16 claims with all classes waiting and open, 12 are interactive, 3 normal,
//     1 batch.
//   - Within a class the flows are served by deficit round robin, each charged what
//     its jobs cost (Delivery.Charge: uncached prompt tokens). Let Q be 2,048 tokens.
//     At one worker, as long as a flow of its own has a job and the class is open:
//     where the flow owes less than Q, at most one claim of each other flow comes
//     before its own; and between two of its claims any other flow is charged at
//     most c + 2Q + m, where c is what the first of the two cost and m what the
//     other's last claim did. A flow that was idle has saved up nothing.
//   - All this is between flows, of which there are 16: agents that share one, as
//     any two do once in 16 times, are served in the order of arrival. What is
//     charged late, or given back, counts from then on.
//
// # What nobody else ends
//
// One among the gateways, the leader by a lease (lease.go), ends the jobs that
// nobody else ends and purges old logs: Queue.Reconcile. It keeps an index of the
// stored jobs in memory, read once and audited every half minute, looks at a job
// when its deadline or a grace is over, and does a bounded amount in each pass.
// It waits for nothing that a worker or a gateway does, and neither waits for it.
//
//   - Whatever it appends is fenced by the log it read; a message is deleted only
//     when its log has its end, or is not about it; a log is purged up to its end
//     only. So a leader that slept, and is none any more, does no harm.
//   - What it knows it read from one connection. After a reconnect it begins anew.
//   - It compares the broker's times with the broker's clock, and nobody's with its
//     own.
//
// # The connection
//
// A lost connection is restored for ever. While it is away Append, Follower.Next
// and Claimer.Next wait, as long as their context does; Submit gives up after
// Config.SubmitTimeout, and what is read (Depth, Models) fails with
// [ErrUnavailable] at once. Requests under way are given up the moment the
// connection goes and are then settled as above. For one AckWait after a
// reconnect a claimer leaves jobs that another worker was running to that
// worker's heartbeats.
//
// # Who owns what
//
//   - [Queue] owns the connection, the registry's watch (one goroutine, started
//     by the first reader or claimer) and the collectors. Close joins them. Close claimers,
//     registrations and feeds before it.
//   - [Claimer] has no goroutine. Its doorbell writes hints, the jobs' goroutines
//     charges; the caller of Next owns the schedule, the homes and the consumers.
//   - [Delivery] belongs to the job's goroutine. KeepAlive may run beside it;
//     Adopt may come from the claim loop.
//   - [Follower] and [ControlFeed] have no goroutine; the caller of Next owns them.
//   - [Registration] owns one goroutine, the refresher.
//   - [Queue.Reconcile] runs on its caller's goroutine, and joins those it starts.
//
// # Lock order
//
//	Claimer.busy → Claimer.mu
//	Delivery.appendMu → Delivery.messagesMu
//	Registration.mu
//	  → link.mu, registry.mu, pressure.mu, recentTickets.mu
//
// The last line are leaves: nothing is locked, and nobody is waited for, while
// one is held. Claimer.mu and Delivery.messagesMu are leaves, too, and never
// held over a request. Claimer.busy, Delivery.appendMu and Registration.mu are
// held over requests, because they order them.
package queue
