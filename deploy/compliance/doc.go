// Package compliance answers what semantic is made of and under which terms:
// the Go modules of the shipped binary on every platform, and the native
// libraries and the model that it fetches at first use.
//
// Modules and their licences are found by go-licenses in the import graph of
// ./cmd/semantic on each platform of the runtime lock ([Find]). What no tool can
// see is kept by hand in entries.json: the licences that are allowed, licence
// files that go-licenses cannot read, and what the native libraries and the
// model consist of. [Entries.Check] ties these to the lock file and the module
// graph, so that a new library, model or version fails until somebody looked.
//
// From this one set come the licence check, NOTICE, the THIRD_PARTY folder of a
// release, and the licences in the bills of materials, which syft makes.
//
// Everything runs the go command and pinned tools in the module's folder, writes
// only below the folders it is given and .cache, and asks no address but
// govulncheck's database.
package compliance

//go:generate go run ./cmd/compliance notice ../../NOTICE
