// Package libffi says what to install where libffi.so.8 is missing.
//
// The foreign function interface loads it when the program is initialised, long
// before main, and panics without it: no error can be returned from there. So
// this package looks first, and writes one line that names the packages, above
// the panic. It is initialised first because it imports nothing but what
// everything needs: of the packages that are ready, Go takes the first by
// import path, and the interface waits for fmt.
package libffi
