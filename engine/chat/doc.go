// Package chat turns conversations into prompts with a model's own chat
// template, a Jinja program inside of its GGUF file.
//
// The language is rendered by github.com/ardanlabs/jinja. Whitespace control
// (the "-" and "+" of tags, and the trim_blocks and lstrip_blocks under which
// all published templates are written) is done here, before it sees a template:
// see plain.
package chat
