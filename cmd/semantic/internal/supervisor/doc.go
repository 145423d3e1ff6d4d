// Package supervisor keeps one child process running: `semantic worker`, where
// native code can die.
//
// The child has its own process group, so that Ctrl-C at a terminal reaches
// only the supervisor, which stops the child in its turn. Between the two run
// a pipe and a stream of messages:
//
//   - the child's stdin is a pipe that only the supervisor holds open. When the
//     supervisor is gone, however it went, the child reads the end of the file
//     and exits at once ([WatchParent]): no orphan keeps the model's memory. The
//     supervisor writes a byte into it now and then, a ping;
//   - the child's stdout carries [Message] lines ([Announce]): where it serves
//     metrics, that it is ready, why it cannot start, and the answers to pings.
//
// A child that answers no ping for Config.HangTimeout is stopped (SIGSTOP, a
// debugger) or beyond help, and is killed. What this does not notice is native
// code that hangs in one thread while the others answer: the child watches that
// itself, since it knows whether it has work.
//
// A child's life, as [Supervisor.Run] sees it:
//
//	starting → ready → (ctx ends) stopping → gone
//	    │        │                    └ not gone after StopTimeout: killed
//	    │        ├ died, or hung and was killed: started again after a backoff
//	    │        └ said that it was drained, exit 0: not started again
//	    ├ died or hung: started again after a backoff, a few times
//	    └ exit [ExitPermanent], or it said why: Run ends with an [*ExitError]
//
// One goroutine (Run's caller) owns the child; one more, joined before Run
// returns, reads its messages.
package supervisor
