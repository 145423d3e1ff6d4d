// Package chaos is the fault suite: processes of semantic under load, killed,
// stopped, drained, cut off and filled up at random, and a checker that knows the
// right answer of every request.
//
// A broker, gateways and workers run as processes of their own, gateways and
// workers behind a TCP proxy each. Clients send requests over HTTP, streaming and
// not, and publish jobs to NATS. What the simulated model says is a function of
// the request, so each has one right answer, taken from a run without faults
// (and, where the request is plain, from the simulation itself). The checker holds
// every stream against it at every chunk, and at the end every log of the broker:
// events without a gap, one end and the right one, no message left.
//
// TestChaos runs for some seconds, or for CHAOS, a duration in the environment,
// or until CHAOS_KILLS workers were killed and a tenth as many faults of the broker
// were made. CHAOS_SEED repeats the load and the faults that were drawn; when they
// meet is up to the machine. It ends with a report; a failure names the job, its
// log with the faults near it, and where the processes' own logs are (CHAOS_KEEP=1
// keeps them in any case).
package chaos
