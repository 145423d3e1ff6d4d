package main

import (
	"encoding/json"
	"strconv"

	"github.com/invopop/jsonschema"

	"github.com/semantic-worker/semantic/schemas"
)

// refineJob adds what tags cannot say.
func refineJob(s *jsonschema.Schema) {
	get(s, "stop").Items.MinLength = ptr(uint64(1))
	tokenIDs(get(s, "stop_token_ids"))
	tokenIDs(get(s.Definitions["Prompt"], "tokens"))
	get(s.Definitions["Prompt"], "text").MinLength = ptr(uint64(1))
	get(s.Definitions["Prompt"], "tokens").MinItems = ptr(uint64(1))
	s.Definitions["Prompt"].OneOf = []*jsonschema.Schema{{Required: []string{"text"}}, {Required: []string{"tokens"}}}

	bias := get(s, "logit_bias")
	bias.MaxProperties = ptr(uint64(schemas.MaxLogitBias))
	bias.PropertyNames = &jsonschema.Schema{MinLength: ptr(uint64(1))}
	bias.AdditionalProperties = &jsonschema.Schema{
		Type: "number", Minimum: json.Number(strconv.Itoa(-schemas.MaxBias)), Maximum: json.Number(strconv.Itoa(schemas.MaxBias)),
	}
	reserved := &jsonschema.Schema{}
	for _, name := range schemas.ReservedTemplateVars() {
		reserved.Enum = append(reserved.Enum, name)
	}
	get(s, "chat_template_kwargs").PropertyNames = &jsonschema.Schema{MinLength: ptr(uint64(1)), Not: reserved}

	get(s.Definitions["Tool"], "parameters").Type = "object"
	refineMessage(s.Definitions["Message"])
	refineFormat(s.Definitions["ResponseFormat"])
	refineChoice(s.Definitions["ToolChoice"])
	s.If = required(property("kind", &jsonschema.Schema{Const: schemas.KindCompletion}), "kind")
	s.Then, s.Else = completion(), chat()
	s.AllOf = append(s.AllOf, when(
		required(property("top_logprobs", &jsonschema.Schema{ExclusiveMinimum: "0"}), "top_logprobs"),
		required(property("logprobs", &jsonschema.Schema{Const: true}), "logprobs"),
	))
}

// completion is what a completion has, and has not.
func completion() *jsonschema.Schema {
	s := required(property("prompts", &jsonschema.Schema{MinItems: ptr(uint64(1))}), "prompts")
	for _, list := range []string{"messages", "tools"} {
		s.Properties.Set(list, &jsonschema.Schema{MaxItems: ptr(uint64(0))})
	}
	for _, none := range []string{"tool_choice", "parallel_tool_calls"} {
		s.Properties.Set(none, jsonschema.FalseSchema)
	}
	s.Properties.Set("reasoning_effort", &jsonschema.Schema{MaxLength: ptr(uint64(0))})
	s.Properties.Set("chat_template_kwargs", &jsonschema.Schema{MaxProperties: ptr(uint64(0))})
	s.Properties.Set("api", property("format", &jsonschema.Schema{Const: schemas.FormatOpenAICompletions}))
	s.If = required(property("echo", &jsonschema.Schema{Const: true}), "echo")
	s.Then = property("logprobs", &jsonschema.Schema{Const: false})
	return s
}

// chat is the same for a chat.
func chat() *jsonschema.Schema {
	s := required(property("messages", &jsonschema.Schema{MinItems: ptr(uint64(1))}), "messages")
	s.Properties.Set("prompts", &jsonschema.Schema{MaxItems: ptr(uint64(0))})
	s.Properties.Set("echo", &jsonschema.Schema{Const: false})
	s.Properties.Set("api", property("format", &jsonschema.Schema{Const: schemas.FormatOpenAIChat}))
	return s
}

// refineMessage says which fields belong to which role.
func refineMessage(s *jsonschema.Schema) {
	s.If = property("role", &jsonschema.Schema{Const: schemas.RoleTool})
	s.Else = property("tool_call_id", &jsonschema.Schema{MaxLength: ptr(uint64(0))})
	others := property("tool_calls", &jsonschema.Schema{MaxItems: ptr(uint64(0))})
	others.Properties.Set("reasoning_content", &jsonschema.Schema{MaxLength: ptr(uint64(0))})
	s.AllOf = []*jsonschema.Schema{{If: property("role", &jsonschema.Schema{Const: schemas.RoleAssistant}), Else: others}}
}

// refineFormat says which fields belong to which type.
func refineFormat(s *jsonschema.Schema) {
	get(s, "schema").Type = "object"
	s.If = property("type", &jsonschema.Schema{Const: schemas.FormatJSONSchema})
	s.Then = &jsonschema.Schema{Required: []string{"schema"}}
	s.Else = property("schema", jsonschema.FalseSchema)
	s.Else.Properties.Set("name", &jsonschema.Schema{MaxLength: ptr(uint64(0))})
}

// refineChoice says that only one mode has a name.
func refineChoice(s *jsonschema.Schema) {
	s.If = property("mode", &jsonschema.Schema{Const: schemas.ToolFunction})
	s.Then = required(property("name", &jsonschema.Schema{MinLength: ptr(uint64(1))}), "name")
	s.Else = property("name", &jsonschema.Schema{MaxLength: ptr(uint64(0))})
}

// base64Pattern is base64 with padding, and with nothing in the bits that pad.
const base64Pattern = `^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$`

// refineEvent lists the types, and says that an event has exactly the payload of
// its own.
func refineEvent(s *jsonschema.Schema) {
	for _, name := range []string{"Delta", "Done"} {
		tokenIDs(get(s.Definitions[name], "tokens"))
	}
	for _, name := range []string{"TokenLogprob", "TopLogprob"} {
		get(s.Definitions[name], "bytes").Pattern = base64Pattern
	}
	get(s.Definitions["TopLogprob"], "token").Maximum = "2147483647"
	s.MaxProperties = ptr(uint64(len(s.Required) + 1))
	types, _ := s.Properties.Get("type")
	for _, t := range schemas.EventTypes() {
		types.Enum = append(types.Enum, t)
		s.OneOf = append(s.OneOf, required(property("type", &jsonschema.Schema{Const: t}), string(t)))
	}
}

// refineInput: its version is its own.
func refineInput(s *jsonschema.Schema) {
	get(s, "v").Minimum, get(s, "v").Maximum = versionOf(schemas.InputVersion), versionOf(schemas.InputVersion)
}

// refineWorker: its version is its own, and earlier ones are read.
func refineWorker(s *jsonschema.Schema) { get(s, "v").Maximum = versionOf(schemas.WorkerVersion) }

// refineParked says that a dead job is there in one way.
func refineParked(s *jsonschema.Schema) {
	tokenIDs(get(s, "last_tokens"))
	get(s, "body").MinLength = ptr(uint64(1))
	s.OneOf = []*jsonschema.Schema{{Required: []string{"body"}}, {Required: []string{"input"}}}
}

func versionOf(v int) json.Number { return json.Number(strconv.Itoa(v)) }

// tokenIDs bounds a list of token ids.
func tokenIDs(s *jsonschema.Schema) { s.Items.Minimum, s.Items.Maximum = "0", "2147483647" }

// get is a property of s, which must be there.
func get(s *jsonschema.Schema, name string) *jsonschema.Schema {
	p, ok := s.Properties.Get(name)
	if !ok {
		panic("no property " + name)
	}
	return p
}

func property(name string, is *jsonschema.Schema) *jsonschema.Schema {
	properties := jsonschema.NewProperties()
	properties.Set(name, is)
	return &jsonschema.Schema{Properties: properties}
}

func required(s *jsonschema.Schema, names ...string) *jsonschema.Schema {
	s.Required = append(s.Required, names...)
	return s
}

// when is a schema that asks for then where given holds.
func when(given, then *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{If: given, Then: then}
}

func ptr[T any](v T) *T { return &v }
