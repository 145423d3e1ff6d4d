// Package jsonschema turns a JSON Schema into a grammar in GBNF, llama.cpp's
// notation, so that a model can only write what the schema allows.
//
//   - Everything that the grammar accepts is valid by the schema. A keyword that
//     cannot be kept is refused with its path; nothing is left out silently.
//     [Keywords] lists them all.
//   - The grammar may accept less than the schema: one way of writing a value is
//     enough. Properties come in declared order, numbers have a bounded count of
//     digits, strings with a pattern are escaped in one way only.
//   - An answer can always end: white space between tokens and digits of numbers
//     are bounded, so that nothing but strings, arrays and maps without a limit of
//     their own can be made longer for ever.
//   - What the schema leaves open is closed where a person would mean it so: an
//     object with declared properties has no others unless additionalProperties
//     says so, prefixItems are all the items unless items says so, and a schema
//     without type, but with keywords that concern one type, means that type.
//
// How it works: a place in the answer has a goal, a set of schemas that must all
// hold there. A goal is expanded (references followed, allOf merged, anyOf and
// oneOf multiplied out) into alternatives, each of which is a set of plain
// schemas and becomes one shape: what is left for each type of value. The goals
// of the children are found from the shape; equal goals are one rule, which makes
// recursive schemas finite. Then goals without any finite value are found, and
// the rest is written out.
package jsonschema

//go:generate go run ./internal/gen ../../../docs/structured-output.md
