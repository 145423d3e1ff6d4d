// Package embedded runs the NATS server of semantic serve inside this process:
// JetStream on disk, the listener on loopback unless told otherwise.
//
// A [Server] owns its store folder: a lock file in it keeps a second server,
// in this process or another, from opening it. Stop is synchronous and may be
// called from any goroutine, more than once; nothing runs after it returns.
package embedded
