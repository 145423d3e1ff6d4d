//go:build !darwin

package doctor

// osVersion is empty: nothing depends on it.
func osVersion() string { return "" }
