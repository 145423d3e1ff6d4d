// Package chat turns conversations into prompts with a model's own chat
// template, a Jinja program inside of its GGUF file, and what the model generates
// into reasoning, content and calls of tools. [Template.Prepare] plans both.
//
// # Templates
//
// The language is rendered by github.com/ardanlabs/jinja. Whitespace control
// (the "-" and "+" of tags, and the trim_blocks and lstrip_blocks under which
// all published templates are written) is done here, before it sees a template:
// see plain. So are a few filters that it renders otherwise than Jinja2: see
// names. What a template can do with tools, calls and results is found out by
// rendering small conversations: see manners.
//
// # Formats
//
// Each family writes calls in its own way; a format is one file, recognised by
// what the template's text says of it, and has three parts that must agree: a
// parser, a grammar, and a writer for templates that cannot write calls. Where
// nothing is recognised, the format is the generic one, which the prompt
// explains.
//
// The grammar of a plan is of everything that is generated, from the first token
// on: of what is thought (any text up to the tag that ends it), of what is said
// (any text in which no call begins) and of calls. So no tag that the model only
// thinks of begins a call, a call that is required cannot be missed by thinking
// of none, and no token is too long to be judged. It says:
//
//   - with tools, a call is always one of a tool that there is, and its arguments
//     are a JSON object; they keep to the tool's schema if it is strict or the
//     call is enforced; there are at most 16;
//   - with tool_choice required or a function, there is nothing but reasoning
//     before the call; with none, the template is not told of the tools;
//   - with an answer's grammar, what is said keeps to it. A call is still
//     possible where tools are.
//
// # Parsing
//
// A [Parser] holds back what could still become something else: the beginning of
// a tag, blanks before one, the head of a call up to its name. Arguments are
// handed on while they are generated: the very text where the format writes JSON,
// and converted by the tool's schema where it does not. Of a call that was cut
// short there is what arrived, and nothing else.
package chat
