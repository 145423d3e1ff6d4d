package openai

import (
	"encoding/json"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// chatTable is every known parameter of POST /v1/chat/completions. The order of
// its sections is that of the documentation.
var chatTable = concat(
	openAIParameters(), messageParameters(), vllmParameters(), llamaParameters(), clientParameters(),
)

func openAIParameters() []Parameter {
	return from("OpenAI",
		[]Parameter{
			modelParameter(),
			required(honoured("messages", "a list of at least one message", "The conversation, oldest first.", readMessages)),
		},
		samplingParameters(),
		[]Parameter{
			boundParameter("max_completion_tokens", "Bounds the generated tokens. Default: what the context has room for."),
			boundParameter("max_tokens", "The older name; if both are given they must be equal."),
			countParameter(),
			honoured("logprobs", "true, false",
				"The log probability of each generated token, also of reasoning and of calls, in the model's own distribution.",
				flag(func(d *decoder) *bool { return &d.job.Logprobs })),
			honoured("top_logprobs", "0 … 20, with logprobs true only",
				"Those of as many tokens that were likeliest in its place.", readTopLogprobs),
		},
		streamParameters(), formatParameters(), toolParameters(),
		[]Parameter{
			honoured("reasoning_effort", "up to 40 characters", "Reaches the model's chat template; refused where that does not know it.",
				text(func(d *decoder) *string { return &d.job.ReasoningEffort })),
			honoured("service_tier", "auto, default, flex, priority, fast",
				"The job's class: flex is batch, priority and fast are interactive, the others normal.", readServiceTier),

			bookkeeping("prompt_cache_key", "a string", "Names the agent; it wins over user.",
				text(func(d *decoder) *string { return &d.req.PromptCacheKey })),
			userParameter(),
			bookkeeping("safety_identifier", "a string", "Ignored.", ofKind(strictjson.String)),
			bookkeeping("metadata", "an object", "Ignored.", ofKind(strictjson.Object)),
			bookkeeping("store", "true, false", "Ignored: answers are kept as long as their job's log.", ofKind(strictjson.Bool)),
			bookkeeping("prompt_cache_retention", "a string", "Ignored: caches are kept by use.", ofKind(strictjson.String)),
			bookkeeping("prompt_cache_options", "an object", "Ignored: caches are kept by use.", ofKind(strictjson.Object)),

			neutral("modalities", `["text"]`, noOtherMedia, isTextOnly),
			neutral("verbosity", "medium", "the prompt is the way to ask for a short answer", isWord("medium")),
			neutral("functions", "[]", noFunctions, isEmptyList),
			neutral("function_call", "none, auto", noFunctions, isWord("none", "auto")),
		},
		refused(noOtherMedia, "audio"),
		refused("predicted outputs are not built", "prediction"),
		refused("the web is not searched", "web_search_options"),
		refused("nothing is moderated", "moderation"),
	)
}

func formatParameters() []Parameter {
	return concat([]Parameter{
		honoured("response_format", "an object", "What the answer keeps to, behind its reasoning, where no tool is called. "+
			"Not together with a tool_choice that enforces a call.", readResponseFormat),
		required(honoured("response_format.type", "text, json_object, json_schema", "text is free.",
			text(func(d *decoder) *string { return &d.job.ResponseFormat.Type }))),
		honoured("response_format.json_schema", "an object, with the type json_schema only", "See its fields.", nested(scopeJSONSchema)),
		required(honoured("response_format.json_schema.name", "up to 64 characters", "Changes nothing.",
			text(func(d *decoder) *string { return &d.job.ResponseFormat.Name }))),
		required(honoured("response_format.json_schema.schema", "a JSON Schema",
			"Every answer that ends by itself is valid by it; docs/structured-output.md says what is kept. "+
				"What cannot be kept is refused with its path.",
			raw(func(d *decoder) *json.RawMessage { return &d.job.ResponseFormat.Schema }))),
		bookkeeping("response_format.json_schema.strict", "true, false", "Changes nothing: a schema is always kept to.", ofKind(strictjson.Bool)),
		bookkeeping("response_format.json_schema.description", "a string",
			"Ignored: the model is not told of the schema.", ofKind(strictjson.String)),
	},
		refused("response_format.json_schema is the way to give a schema", "response_format.schema"),
	)
}

func toolParameters() []Parameter {
	return []Parameter{
		honoured("tools", "a list of up to 128 tools", "What the model may call; docs/tool-calls.md says how.", readTools),
		honoured("tools[].type", "function", "Other types are refused.", readFunctionType),
		required(honoured("tools[].function", "an object", "See its fields.", nested(scopeFunction))),
		required(honoured("tools[].function.name", "1 … 64 characters of A-Z a-z 0-9 _ -, each once", "What the model calls.",
			text(func(d *decoder) *string { return &d.tool.Name }))),
		honoured("tools[].function.description", "a string", "Is told to the model.",
			text(func(d *decoder) *string { return &d.tool.Description })),
		honoured("tools[].function.parameters", "a JSON Schema", "The arguments. Left out, there are none.",
			raw(func(d *decoder) *json.RawMessage { return &d.tool.Parameters })),
		honoured("tools[].function.strict", "true, false", "The arguments keep to the schema, also where no call is enforced. Default false.",
			flag(func(d *decoder) *bool { return &d.tool.Strict })),
		honoured("tool_choice", "auto, none, required, or an object that names a function",
			"Whether the model calls a tool; a call that is asked for is enforced by grammar. Default auto.", readToolChoice),
		honoured("tool_choice.type", "function", "Other types are refused.", readFunctionType),
		required(honoured("tool_choice.function", "an object", "See its field.", nested(scopeChosen))),
		required(honoured("tool_choice.function.name", "the name of a tool", "Which one is called.",
			text(func(d *decoder) *string { return &d.job.ToolChoice.Name }))),
		honoured("parallel_tool_calls", "true, false", "Whether an answer may have several calls. Default true.", readParallel),
	}
}

func messageParameters() []Parameter {
	reasoning := func(name string) Parameter {
		return honoured(name, "a string, in messages of role assistant only",
			"What the model thought before it spoke, for templates that show it.", readReasoning)
	}
	return concat(
		from("OpenAI",
			[]Parameter{
				required(honoured("messages[].role", "system, developer, user, assistant, tool", "The author.", readRole)),
				honoured("messages[].content", "a string, or a list of text parts; null beside tool_calls",
					"The text; parts are joined without a separator.", readContent),
				honoured("messages[].name", "up to 200 characters", "The participant, for templates that know names.",
					text(func(d *decoder) *string { return &d.message.Name })),
				honoured("messages[].tool_call_id", "a string, in messages of role tool only", "The call that the message answers.",
					text(func(d *decoder) *string { return &d.message.ToolCallID })),
				honoured("messages[].tool_calls", "a list of up to 128 calls, in messages of role assistant only",
					"The calls that the model made.", readToolCalls),
				required(honoured("messages[].tool_calls[].id", "up to 200 characters", "Is repeated by the message that answers.",
					text(func(d *decoder) *string { return &d.call.ID }))),
				honoured("messages[].tool_calls[].type", "function", "Other types are refused.", readFunctionType),
				required(honoured("messages[].tool_calls[].function", "an object", "See its fields.", nested(scopeCalled))),
				required(honoured("messages[].tool_calls[].function.name", "up to 200 characters", "The tool that was called.",
					text(func(d *decoder) *string { return &d.call.Name }))),
				required(honoured("messages[].tool_calls[].function.arguments", "a JSON object as a string, or an empty one", "The arguments.",
					text(func(d *decoder) *string { return &d.call.Arguments }))),
				bookkeeping("messages[].tool_calls[].index", "a number", "Ignored: calls are in order.", ofKind(strictjson.Number)),
				neutral("messages[].refusal", "an empty string", "refusals are not rendered", isEmpty),
				neutral("messages[].annotations", "[]", "annotations are not rendered", isEmpty),
				required(honoured("messages[].content[].type", "text", "Other types (images, audio, files) are refused.", ofKind(strictjson.String))),
				required(honoured("messages[].content[].text", "a string", "The text.", text(func(d *decoder) *string { return d.part }))),
				bookkeeping("messages[].content[].prompt_cache_breakpoint", "an object",
					"Ignored: prefixes are found by themselves.", ofKind(strictjson.Object)),
			},
			refused(noOtherMedia, "messages[].audio"),
			refused(noFunctions, "messages[].function_call"),
		),
		from("Anthropic-style clients",
			[]Parameter{
				bookkeeping("messages[].cache_control", "an object",
					"Ignored: prefixes are found by themselves.", ofKind(strictjson.Object)),
				bookkeeping("messages[].content[].cache_control", "an object",
					"Ignored: prefixes are found by themselves.", ofKind(strictjson.Object)),
				bookkeeping("tools[].cache_control", "an object",
					"Ignored: prefixes are found by themselves.", ofKind(strictjson.Object)),
				neutral("messages[].thinking_blocks", "[]", noMarks, isEmpty),
			},
		),
		from("DeepSeek, vLLM",
			[]Parameter{
				reasoning("messages[].reasoning_content"),
				reasoning("messages[].reasoning"),
				neutral("messages[].prefix", "false", noContinuing, isBool(false)),
			},
		),
		from("OpenRouter, LiteLLM",
			[]Parameter{
				neutral("messages[].reasoning_details", "[]", noMarks, isEmpty),
				neutral("messages[].provider_specific_fields", "{}, or nulls only", noRouting, isEmpty),
				neutral("messages[].images", "[]", noOtherMedia, isEmpty),
			},
		),
	)
}

func vllmParameters() []Parameter {
	return from("vLLM", vllmSampling(),
		[]Parameter{
			honoured("chat_template_kwargs", "an object", "Variables of the model's chat template by name, like enable_thinking; "+
				"refused where it does not know one, or the server sets it.", readTemplateVars),
			neutral("best_of", "1", noOtherCount, isNumber(1)),
			neutral("echo", "false", noContinuing, isBool(false)),
			neutral("add_generation_prompt", "true", noTemplate, isBool(true)),
			neutral("continue_final_message", "false", noContinuing, isBool(false)),
			neutral("add_special_tokens", "false", noTemplate, isBool(false)),
			neutral("documents", "[]", noTemplate, isEmptyList),
			neutral("mm_processor_kwargs", "{}", noOtherMedia, isEmptyMap),
			neutral("media_io_kwargs", "{}", noOtherMedia, isEmptyMap),
			neutral("include_reasoning", "true", noReasoning, isBool(true)),
		},
		vllmRefused(),
		refused(noTemplate, "chat_template"),
		refused(noReasoning, "thinking_token_budget"),
	)
}

func llamaParameters() []Parameter {
	return from("llama.cpp", llamaSampling(),
		[]Parameter{
			neutral("reasoning_budget_tokens", "−1", noReasoning, isNumber(-1)),
			neutral("preserved_tokens", "[]", noTools, isEmptyList),
		},
		refused(noReasoning, "reasoning_format", "reasoning_control", "reasoning_budget_message", "thinking_forced_open"),
		refused(noTools, "parse_tool_calls"),
		refused(noTemplate, "generation_prompt", "chat_format"),
	)
}

func clientParameters() []Parameter {
	return concat(
		from("Ollama",
			[]Parameter{
				bookkeeping("keep_alive", "anything", "Ignored: a worker keeps its model.", anything),
				neutral("options", "{}", noTopLevel, isEmptyMap),
			},
			refused(noSchemaHere, "format"),
			refused(noReasoning, "think"),
			refused(noModelSwap, "num_ctx"),
			refused(noOtherBound, "num_predict"),
		),
		from("LM Studio",
			[]Parameter{
				bookkeeping("ttl", "a number", "Ignored: a worker keeps its model.", ofKind(strictjson.Number)),
			},
			refused(noModelSwap, "draft_model", "preset"),
		),
		from("OpenRouter, LiteLLM",
			[]Parameter{
				neutral("top_a", "0", noSampler, isNumber(0)),
				neutral("transforms", "[]", noTruncation, isEmptyList),
				neutral("models", "[]", noRouting, isEmptyList),
				neutral("plugins", "[]", noRouting, isEmptyList),
				neutral("extra_body", "{}", noTopLevel, isEmptyMap),
			},
			refused(noReasoning, "reasoning"),
			refused(noRouting, "provider", "route", "fallbacks"),
			refused("stream_options.include_usage asks for the usage", "usage"),
		),
		from("Anthropic-style clients", refused(noReasoning, "thinking")),
		from("Qwen", refused(noReasoning, "enable_thinking", "thinking_budget")),
		from("Mistral",
			[]Parameter{
				neutral("safe_prompt", "false", noTemplate, isBool(false)),
			},
			refused("seed is the way to repeat an answer", "random_seed"),
		),
	)
}
