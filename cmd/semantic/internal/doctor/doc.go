// Package doctor looks whether this machine can do what the configuration
// wants, and says what would mend it. It changes nothing: it installs nothing,
// fetches nothing, and makes no stream on the broker.
//
// A check that needs what an earlier one found missing says that it was not
// tried, as a warning, so that the failure is told once.
package doctor
