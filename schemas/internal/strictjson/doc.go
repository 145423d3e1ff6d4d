// Package strictjson reads JSON the way a wire contract needs it: what
// encoding/json lets pass (repeated keys, keys in another case, unknown
// fields, invalid UTF-8, lone surrogates, null for a number, text after the
// end) is an [*Error] that names the field by its path.
//
// [Parse] turns a document into a [Value]; a [Binder] turns a Value into a Go
// struct by its json tags. Both are pure and safe for concurrent use.
package strictjson
