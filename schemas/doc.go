// Package schemas is the wire contract of semantic: what travels between
// clients, gateways, the queue and workers. It is a leaf: it imports the
// standard library only, and every other package may import it.
//
// A [Job] is one request as stored in the queue. Its life is an append-only
// log of [Event] values, numbered from 1, of which exactly one, the last, is
// terminal ([EventType.Terminal]):
//
//	submitted → started(attempt) → delta… → done | failed | cancelled | expired
//	               ↑         │ worker dies, drains or hands over (requeued)
//	               └─────────┘
//
// Jobs submitted through a gateway begin with submitted; jobs published
// straight to NATS begin with started, or with their end.
//
// Decoding is strict: an unknown field, a wrong type or a value out of range
// is a [*FieldError] that names the field by its JSON path. A document whose
// version is newer than [Version] is [ErrNewerVersion], so that an old worker
// hands it back instead of failing it.
//
// Every type in this package is a plain value: safe to copy and to read
// concurrently, not safe to change concurrently.
package schemas

// Version is the newest version of [Job] and [Event] that this build reads
// and the one it writes. Additive changes raise it too, so that a reader can
// tell "made by a newer release" from "wrong".
const Version = 1
