// Package stress puts on `semantic serve`, a process of the built binary with its
// worker child, more than it can bear: more jobs than its pool and its queue hold,
// several times as many agents as it has places, a load without a pause, clients
// that are slow or vanish, and thousands of streams on which nothing happens.
//
// Nothing is asserted about time. What is: nobody is lost or starved, who is refused
// is told so (429 with Retry-After) and gets in later, what was accepted says exactly
// what the simulated model says to that prompt, and afterwards the processes are as
// they were: goroutines, files, memory within the tolerances of this package.
//
// Short by default; STRESS, a duration, makes it full, with a sustained load for so
// long. It ends with a table of what was measured, and STRESS_OUT names a file for
// the same as JSON.
package stress
