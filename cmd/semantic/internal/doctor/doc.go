// Package doctor looks whether this machine can do what the configuration
// wants, and says what would mend it. It changes nothing: it installs nothing,
// fetches nothing, and makes no stream on the broker.
//
// What loads the model, and the conformance suite, runs in processes of its own
// ([Probe]), one after the other, which tell their findings as lines: native
// code that ends such a process ends one check, not the examination.
//
// A check that needs what an earlier one found missing says that it was not
// tried, as a warning, so that the failure is told once.
package doctor
