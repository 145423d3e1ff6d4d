// Package openai is the OpenAI dialect of the wire contract: it reads the
// bodies of POST /v1/chat/completions and POST /v1/completions into
// [schemas.Job] values, and turns a job's log of [schemas.Event] values into
// what OpenAI's clients expect.
//
// Reading is exact. Every parameter that OpenAI, or one of the servers that
// speak its dialect, knows is in the route's table ([Parameters],
// [CompletionParameters]): it is honoured, it
// is bookkeeping that changes no answer, or it is refused by name unless its
// value changes nothing. docs/api-parameters.md is generated from the tables.
// Refusals, also those of a worker, name a field by its path in the request.
//
// Writing is a pure function of the log from its start: a [Stream] that is
// given the same events makes the same chunks with the same ids, on any
// gateway, however often the client came back.
package openai

//go:generate go run ./internal/gen testdata/clients ../../docs/api-parameters.md
