package openai

import (
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// Why parameters are refused.
const (
	noPenalties  = "penalties are not built yet"
	noSampler    = "this sampler is not built yet"
	noBias       = "logit bias is not built yet"
	noLogprobs   = "log probabilities are not built yet"
	noTools      = "tools are not built yet"
	noStructure  = "structured output is not built yet"
	noReasoning  = "reasoning control is not built yet"
	noTemplate   = "the model's own chat template is used as it is"
	noRaw        = "the answer has no such field"
	noOtherMedia = "only text goes in and comes out"
	noEnd        = "a stream ends at the model's end of turn, a stop string or max_tokens"
	noTruncation = "nothing is truncated: what does not fit is refused"
	noModelSwap  = "how a model is loaded is its worker's configuration"
	noRouting    = "there is one model, and no provider to choose"
)

// table is every known parameter. The order of its sections is that of the
// documentation.
var table = concat(
	openAIParameters(), messageParameters(), vllmParameters(), llamaParameters(), clientParameters(),
)

func concat(sections ...[]Parameter) []Parameter {
	var all []Parameter
	for _, s := range sections {
		all = append(all, s...)
	}
	return all
}

func honoured(name, accepts, note string, read reader) Parameter {
	return Parameter{Name: name, Disposition: Honoured, Accepts: accepts, Note: note, read: read}
}

func required(p Parameter) Parameter {
	p.Required = true
	return p
}

func bookkeeping(name, accepts, note string, read reader) Parameter {
	return Parameter{Name: name, Disposition: Bookkeeping, Accepts: accepts, Note: note, read: read}
}

func neutral(name, accepts, why string, is func(strictjson.Value) bool) Parameter {
	return Parameter{Name: name, Disposition: NeutralOnly, Accepts: accepts, Note: why, neutral: is}
}

func refused(why string, names ...string) []Parameter {
	rows := make([]Parameter, len(names))
	for i, name := range names {
		rows[i] = Parameter{Name: name, Disposition: Refused, Accepts: "null", Note: why, neutral: isNull}
	}
	return rows
}

func from(origin string, sections ...[]Parameter) []Parameter {
	rows := concat(sections...)
	for i := range rows {
		rows[i].Origin = origin
	}
	return rows
}

func openAIParameters() []Parameter {
	return from("OpenAI",
		[]Parameter{
			required(honoured("model", "the name of a model, or an alias", "Which model answers.",
				text(func(d *decoder) *string { return &d.req.Model }))),
			required(honoured("messages", "a list of at least one message", "The conversation, oldest first.", readMessages)),
			honoured("temperature", "0 … 2", "Scales the logits; 0 is greedy. Default 1.",
				number(schemas.MaxTemperature, func(r *ChatRequest) **float64 { return &r.Temperature })),
			honoured("top_p", "0 … 1", "Keeps the smallest set of tokens whose probability reaches it. Default 1.",
				number(1, func(r *ChatRequest) **float64 { return &r.TopP })),
			honoured("seed", "an integer of 64 bits", "Makes sampling repeatable on the same model fingerprint.", readSeed),
			honoured("max_completion_tokens", "1 … 2147483647",
				"Bounds the generated tokens. Default: what the context has room for.", readMaxTokens),
			honoured("max_tokens", "1 … 2147483647", "The older name; if both are given they must be equal.", readMaxTokens),
			honoured("stop", "a string, or a list of up to 4, none empty", "Ends the answer before any of them; they are never shown.", readStop),
			honoured("stream", "true, false", "Answers with server-sent events.", flag(func(r *ChatRequest) *bool { return &r.Stream })),
			honoured("stream_options", "an object, with stream true only", "See its fields.", readStreamOptions),
			honoured("stream_options.include_usage", "true, false", "A last chunk without choices carries the usage.",
				flag(func(r *ChatRequest) *bool { return &r.IncludeUsage })),
			neutral("stream_options.include_obfuscation", "false", "chunks are not padded", isBool(false)),
			honoured("service_tier", "auto, default, flex, priority, fast",
				"The job's class: flex is batch, priority and fast are interactive, the others normal.", readServiceTier),

			bookkeeping("prompt_cache_key", "a string", "Names the agent, for fairness and cache affinity.",
				text(func(d *decoder) *string { return &d.req.PromptCacheKey })),
			bookkeeping("user", "a string", "Names the agent where prompt_cache_key does not.",
				text(func(d *decoder) *string { return &d.req.User })),
			bookkeeping("safety_identifier", "a string", "Ignored.", ofKind(strictjson.String)),
			bookkeeping("metadata", "an object", "Ignored.", ofKind(strictjson.Object)),
			bookkeeping("store", "true, false", "Ignored: answers are kept as long as their job's log.", ofKind(strictjson.Bool)),
			bookkeeping("prompt_cache_retention", "a string", "Ignored: caches are kept by use.", ofKind(strictjson.String)),
			bookkeeping("prompt_cache_options", "an object", "Ignored: caches are kept by use.", ofKind(strictjson.Object)),

			neutral("n", "1", "one answer a request", isNumber(1)),
			neutral("frequency_penalty", "0", noPenalties, isNumber(0)),
			neutral("presence_penalty", "0", noPenalties, isNumber(0)),
			neutral("logit_bias", "{}", noBias, isEmptyMap),
			neutral("logprobs", "false", noLogprobs, isBool(false)),
			neutral("top_logprobs", "0", noLogprobs, isNumber(0)),
			honoured("response_format", `{"type": "text"}`, "Other types are refused: "+noStructure+".", readResponseFormat),
			required(neutral("response_format.type", "text", noStructure, isWord("text"))),
			neutral("modalities", `["text"]`, noOtherMedia, isTextOnly),
			neutral("tools", "[]", noTools, isEmptyList),
			neutral("tool_choice", "none, auto", noTools, isWord("none", "auto")),
			bookkeeping("parallel_tool_calls", "true, false", "Changes nothing without tools.", ofKind(strictjson.Bool)),
			neutral("functions", "[]", noTools, isEmptyList),
			neutral("function_call", "none, auto", noTools, isWord("none", "auto")),
		},
		refused(noReasoning, "reasoning_effort", "verbosity"),
		refused(noOtherMedia, "audio"),
		refused("predicted outputs are not built yet", "prediction"),
		refused("the web is not searched", "web_search_options"),
		refused("nothing is moderated", "moderation"),
	)
}

func messageParameters() []Parameter {
	return concat(
		from("OpenAI",
			[]Parameter{
				required(honoured("messages[].role", "system, developer, user, assistant, tool", "The author.", readRole)),
				honoured("messages[].content", "a string, or a list of text parts",
					"The text; parts are joined without a separator. Never null.", readContent),
				honoured("messages[].name", "up to 200 characters", "The participant, for templates that know names.",
					text(func(d *decoder) *string { return &d.message.Name })),
				honoured("messages[].tool_call_id", "a string, in messages of role tool only", "The call that the message answers.",
					text(func(d *decoder) *string { return &d.message.ToolCallID })),
				neutral("messages[].tool_calls", "[]", noTools, isEmptyList),
				neutral("messages[].refusal", "an empty string", "refusals are not rendered", isEmpty),
				neutral("messages[].annotations", "[]", "annotations are not rendered", isEmpty),
				required(honoured("messages[].content[].type", "text", "Other types (images, audio, files) are refused.", ofKind(strictjson.String))),
				required(honoured("messages[].content[].text", "a string", "The text.", text(func(d *decoder) *string { return d.part }))),
				bookkeeping("messages[].content[].prompt_cache_breakpoint", "an object",
					"Ignored: prefixes are found by themselves.", ofKind(strictjson.Object)),
			},
			refused(noOtherMedia, "messages[].audio"),
			refused(noTools, "messages[].function_call"),
		),
		from("Anthropic-style clients",
			[]Parameter{
				bookkeeping("messages[].cache_control", "an object",
					"Ignored: prefixes are found by themselves.", ofKind(strictjson.Object)),
				bookkeeping("messages[].content[].cache_control", "an object",
					"Ignored: prefixes are found by themselves.", ofKind(strictjson.Object)),
				neutral("messages[].thinking_blocks", "[]", noReasoning, isEmpty),
			},
		),
		from("DeepSeek, vLLM",
			[]Parameter{
				neutral("messages[].reasoning_content", "an empty string", noReasoning, isEmpty),
				neutral("messages[].reasoning", "an empty string", noReasoning, isEmpty),
				neutral("messages[].prefix", "false", "an answer is not continued", isBool(false)),
			},
		),
		from("OpenRouter, LiteLLM",
			[]Parameter{
				neutral("messages[].reasoning_details", "[]", noReasoning, isEmpty),
				neutral("messages[].provider_specific_fields", "{}, or nulls only", noRouting, isEmpty),
				neutral("messages[].images", "[]", noOtherMedia, isEmpty),
			},
		),
	)
}

func vllmParameters() []Parameter {
	return from("vLLM",
		[]Parameter{
			honoured("stream_options.continuous_usage_stats", "true, false", "Every chunk carries the usage so far.",
				flag(func(r *ChatRequest) *bool { return &r.ContinuousUsage })),
			honoured("top_k", "−1 or 0 (all) … 2147483647", "Keeps the k likeliest tokens. Default 0.", readTopK),
			honoured("min_p", "0 … 1", "Drops tokens less likely than min_p × the likeliest. Default 0.",
				number(1, func(r *ChatRequest) **float64 { return &r.MinP })),
			bookkeeping("request_id", "a string", "Ignored: the header X-Request-Id is the way to name a request.", ofKind(strictjson.String)),
			neutral("best_of", "1", "one answer a request", isNumber(1)),
			neutral("use_beam_search", "false", noSampler, isBool(false)),
			neutral("length_penalty", "1", noPenalties, isNumber(1)),
			neutral("repetition_penalty", "1", noPenalties, isNumber(1)),
			neutral("stop_token_ids", "[]", noEnd, isEmptyList),
			neutral("include_stop_str_in_output", "false", noEnd, isBool(false)),
			neutral("ignore_eos", "false", noEnd, isBool(false)),
			neutral("min_tokens", "0", noEnd, isNumber(0)),
			neutral("skip_special_tokens", "true", noRaw, isBool(true)),
			neutral("spaces_between_special_tokens", "true", noRaw, isBool(true)),
			neutral("bad_words", "[]", noBias, isEmptyList),
			neutral("logits_processors", "[]", noSampler, isEmptyList),
			neutral("echo", "false", noRaw, isBool(false)),
			neutral("add_generation_prompt", "true", noTemplate, isBool(true)),
			neutral("continue_final_message", "false", "an answer is not continued", isBool(false)),
			neutral("add_special_tokens", "false", noTemplate, isBool(false)),
			neutral("documents", "[]", noTemplate, isEmptyList),
			neutral("chat_template_kwargs", "{}", noTemplate, isEmptyMap),
			neutral("mm_processor_kwargs", "{}", noOtherMedia, isEmptyMap),
			neutral("media_io_kwargs", "{}", noOtherMedia, isEmptyMap),
			neutral("include_reasoning", "true", noReasoning, isBool(true)),
			neutral("priority", "0", "service_tier chooses the class", isNumber(0)),
			neutral("return_tokens_as_token_ids", "false", noRaw, isBool(false)),
			neutral("return_token_ids", "false", noRaw, isBool(false)),
			neutral("return_prompt_text", "false", noRaw, isBool(false)),
		},
		refused(noTruncation, "truncate_prompt_tokens", "truncation_side"),
		refused(noLogprobs, "prompt_logprobs"),
		refused(noBias, "allowed_token_ids"),
		refused(noTemplate, "chat_template"),
		refused(noReasoning, "thinking_token_budget"),
		refused(noStructure, "structured_outputs", "structural_tag", "guided_json", "guided_regex", "guided_choice",
			"guided_grammar", "guided_decoding_backend", "guided_whitespace_pattern"),
		refused("caches are not partitioned by the client", "cache_salt"),
		refused("this server moves its caches itself", "kv_transfer_params", "ec_transfer_params"),
		refused(noEnd, "repetition_detection"),
		refused(noSampler, "vllm_xargs"),
	)
}

func llamaParameters() []Parameter {
	return from("llama.cpp",
		[]Parameter{
			bookkeeping("cache_prompt", "true, false", "Ignored: a cached prefix changes no answer.", ofKind(strictjson.Bool)),
			neutral("n_predict", "−1", "max_tokens is the way to bound an answer", isNumber(-1)),
			neutral("n_cmpl", "1", "one answer a request", isNumber(1)),
			neutral("n_keep", "0", noTruncation, isNumber(0)),
			neutral("n_indent", "0", noEnd, isNumber(0)),
			neutral("n_probs", "0", noLogprobs, isNumber(0)),
			neutral("n_cache_reuse", "0", "a cache is reused only where it changes no answer", isNumber(0)),
			neutral("min_keep", "0", noSampler, isNumber(0)),
			neutral("id_slot", "−1", "there are no slots to choose", isNumber(-1)),
			neutral("typical_p", "1", noSampler, isNumber(1)),
			neutral("tfs_z", "1", noSampler, isNumber(1)),
			neutral("top_n_sigma", "−1", noSampler, isNumber(-1)),
			neutral("xtc_probability", "0", noSampler, isNumber(0)),
			neutral("dynatemp_range", "0", noSampler, isNumber(0)),
			neutral("mirostat", "0", noSampler, isNumber(0)),
			neutral("adaptive_target", "−1", noSampler, isNumber(-1)),
			neutral("repeat_penalty", "1", noPenalties, isNumber(1)),
			neutral("repeat_last_n", "0", noPenalties, isNumber(0)),
			neutral("dry_multiplier", "0", noPenalties, isNumber(0)),
			neutral("backend_sampling", "false", noSampler, isBool(false)),
			neutral("post_sampling_probs", "false", noLogprobs, isBool(false)),
			neutral("grammar", "an empty string", noStructure, isWord("")),
			neutral("grammar_lazy", "false", noStructure, isBool(false)),
			neutral("grammar_triggers", "[]", noStructure, isEmptyList),
			neutral("lora", "[]", noModelSwap, isEmptyList),
			neutral("response_fields", "[]", noRaw, isEmptyList),
			neutral("timings_per_token", "false", noRaw, isBool(false)),
			neutral("return_tokens", "false", noRaw, isBool(false)),
			neutral("return_progress", "false", noRaw, isBool(false)),
			neutral("verbose", "false", noRaw, isBool(false)),
			neutral("reasoning_budget_tokens", "−1", noReasoning, isNumber(-1)),
			neutral("preserved_tokens", "[]", noTools, isEmptyList),
		},
		refused(noStructure, "json_schema"),
		refused(noTruncation, "n_discard"),
		refused(noEnd, "t_max_predict_ms"),
		refused("the gateway chooses when to send a keep-alive", "sse_ping_interval"),
		refused(noSampler, "xtc_threshold", "dynatemp_exponent", "mirostat_tau", "mirostat_eta", "adaptive_decay", "samplers"),
		refused(noPenalties, "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers"),
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
				neutral("options", "{}", "its fields belong to the top level", isEmptyMap),
			},
			refused(noStructure, "format"),
			refused(noReasoning, "think"),
			refused(noModelSwap, "num_ctx"),
			refused("max_tokens is the way to bound an answer", "num_predict"),
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
				neutral("extra_body", "{}", "its fields belong to the top level", isEmptyMap),
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
