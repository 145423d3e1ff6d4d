package openai

import (
	"math"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// Why parameters are refused.
const (
	noSampler    = "this sampler is not built"
	noPenalties  = "this penalty is not built"
	noBias       = "logit_bias is the way to favour or ban tokens"
	noBeams      = "there is no beam search"
	noSchemaHere = "response_format is the way to give a schema, and grammar to give a grammar in GBNF"
	noFunctions  = "tools are the way to offer functions"
	noTools      = "calls are recognised by the model's own format"
	noReasoning  = "reasoning_effort and chat_template_kwargs are the ways to steer reasoning"
	noMarks      = "reasoning_content is the way to give reasoning back"
	noTemplate   = "the model's own chat template is used as it is"
	noRaw        = "the answer has no such field"
	noOtherMedia = "only text goes in and comes out"
	noEnd        = "an answer ends at the model's end of turn, a stop string or token, or max_tokens"
	noTruncation = "nothing is truncated: what does not fit is refused"
	noModelSwap  = "how a model is loaded is its worker's configuration"
	noRouting    = "there is one model, and no provider to choose"
	noOtherCount = "n is the way to ask for several answers"
	noOtherBound = "max_tokens is the way to bound an answer"
	noOtherProbs = "logprobs is the way to ask for log probabilities"
	noPrompt     = "logprobs are those of the answer, not of the prompt"
	noTopLevel   = "its fields belong to the top level"
	noContinuing = "an answer is not continued"
	allOrSome    = "−1 or 0 (all) … 2147483647"
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

// Rows of both routes.

func modelParameter() Parameter {
	return required(honoured("model", "the name of a model, or an alias", "Which model answers.",
		text(func(d *decoder) *string { return &d.job.Model })))
}

func samplingParameters() []Parameter {
	return []Parameter{
		honoured("temperature", "0 … 2", "Scales the logits; 0 is greedy. Default 1.",
			number(0, schemas.MaxTemperature, func(j *schemas.Job) **float64 { return &j.Temperature })),
		honoured("top_p", "0 … 1", "Keeps the smallest set of tokens whose probability reaches it. Default 1.",
			number(0, 1, func(j *schemas.Job) **float64 { return &j.TopP })),
		honoured("seed", "an integer of 64 bits",
			"Makes sampling repeatable on the same model fingerprint; requests that run beside it may change the wording. "+
				"Choice k draws with seed + k.", readSeed),
		honoured("presence_penalty", "−2 … 2", "Lowers the logits of tokens that were generated. Default 0.",
			number(-schemas.MaxPenalty, schemas.MaxPenalty, func(j *schemas.Job) **float64 { return &j.PresencePenalty })),
		honoured("frequency_penalty", "−2 … 2", "The same, once for each time. Default 0.",
			number(-schemas.MaxPenalty, schemas.MaxPenalty, func(j *schemas.Job) **float64 { return &j.FrequencyPenalty })),
		honoured("logit_bias", "an object of up to 1024 numbers −100 … 100",
			"Added to the logits of tokens: by id or, as an extension, by a text, which means the tokens it is made of.", readBias),
		honoured("stop", "a string, or a list of up to 4, none empty", "Ends the answer before any of them; they are never shown.", readStop),
	}
}

func streamParameters() []Parameter {
	return []Parameter{
		honoured("stream", "true, false", "Answers with server-sent events.", flag(func(d *decoder) *bool { return &d.req.api.Stream })),
		honoured("stream_options", "an object, with stream true only", "See its fields.", nested(scopeStreamOptions)),
		honoured("stream_options.include_usage", "true, false", "A last chunk without choices carries the usage.",
			flag(func(d *decoder) *bool { return &d.req.api.IncludeUsage })),
		neutral("stream_options.include_obfuscation", "false", "chunks are not padded", isBool(false)),
	}
}

func userParameter() Parameter {
	return bookkeeping("user", "a string", "Names the agent that asks, for fairness and cache affinity.",
		text(func(d *decoder) *string { return &d.req.User }))
}

func countParameter() Parameter {
	return honoured("n", "1 … 16", "How many answers. They share the prompt. Default 1.",
		whole(1, schemas.MaxChoices, func(d *decoder) **int { return &d.job.N }))
}

func boundParameter(name, note string) Parameter {
	return honoured(name, "1 … 2147483647", note, whole(1, math.MaxInt32, func(d *decoder) **int { return &d.job.MaxTokens }))
}

func vllmSampling() []Parameter {
	return []Parameter{
		honoured("stream_options.continuous_usage_stats", "true, false", "Every chunk carries the usage so far.",
			flag(func(d *decoder) *bool { return &d.req.api.ContinuousUsage })),
		honoured("top_k", allOrSome, "Keeps the k likeliest tokens. Default 0.", readTopK),
		honoured("min_p", "0 … 1", "Drops tokens less likely than min_p × the likeliest. Default 0.",
			number(0, 1, func(j *schemas.Job) **float64 { return &j.MinP })),
		honoured("repetition_penalty", "above 0, up to 10",
			"Divides the logits of tokens that are in prompt or answer; repeat_penalty is the same with a window. Default 1.",
			number(0, schemas.MaxRepeatPenalty, func(j *schemas.Job) **float64 { return &j.RepeatPenalty })),
		honoured("min_tokens", "0 … 2147483647, at most max_tokens",
			"How many tokens are generated before the model's end of turn or a stop token can come. "+
				"A grammar or schema that is complete ends the answer all the same. Default 0.",
			whole(0, math.MaxInt32, func(d *decoder) **int { return &d.job.MinTokens })),
		honoured("ignore_eos", "true, false", "Goes on behind the model's end of turn, unless a grammar or schema is complete.",
			flag(func(d *decoder) *bool { return &d.job.IgnoreEOS })),
		honoured("stop_token_ids", "a list of up to 64 token ids", "They end the answer like the model's own end of turn.", readStopTokens),
		bookkeeping("request_id", "a string", "Ignored: the header X-Request-Id is the way to name a request.", ofKind(strictjson.String)),
		neutral("use_beam_search", "false", noBeams, isBool(false)),
		neutral("length_penalty", "1", noBeams, isNumber(1)),
		neutral("include_stop_str_in_output", "false", "stop strings are never shown", isBool(false)),
		neutral("skip_special_tokens", "true", noRaw, isBool(true)),
		neutral("spaces_between_special_tokens", "true", noRaw, isBool(true)),
		neutral("bad_words", "[]", noBias, isEmptyList),
		neutral("logits_processors", "[]", noSampler, isEmptyList),
		neutral("priority", "0", "the header X-Semantic-Class chooses the class", isNumber(0)),
		neutral("return_tokens_as_token_ids", "false", noRaw, isBool(false)),
		neutral("return_token_ids", "false", noRaw, isBool(false)),
		neutral("return_prompt_text", "false", noRaw, isBool(false)),
	}
}

func vllmRefused() []Parameter {
	return concat(
		refused(noTruncation, "truncate_prompt_tokens", "truncation_side"),
		refused(noPrompt, "prompt_logprobs"),
		refused(noBias, "allowed_token_ids"),
		refused(noSchemaHere, "structured_outputs", "structural_tag", "guided_json", "guided_regex", "guided_choice",
			"guided_grammar", "guided_decoding_backend", "guided_whitespace_pattern"),
		refused("caches are not partitioned by the client", "cache_salt"),
		refused("this server moves its caches itself", "kv_transfer_params", "ec_transfer_params"),
		refused(noEnd, "repetition_detection"),
		refused(noSampler, "vllm_xargs"),
	)
}

func llamaSampling() []Parameter {
	return concat([]Parameter{
		honoured("typical_p", "0 … 1", "Locally typical sampling. Default 1 (off).",
			number(0, 1, func(j *schemas.Job) **float64 { return &j.TypicalP })),
		honoured("repeat_penalty", "above 0, up to 10",
			"Divides the logits of tokens among the last repeat_last_n of prompt and answer. Default 1 (off).",
			number(0, schemas.MaxRepeatPenalty, func(j *schemas.Job) **float64 { return &j.RepeatPenalty })),
		honoured("repeat_last_n", "−1 (everything) … 2147483647", "How far the penalties look back, in tokens; 0 turns all of them off. "+
			"Default 64 for repeat_penalty, everything for the others.",
			whole(-1, math.MaxInt32, func(d *decoder) **int { return &d.job.RepeatLastN })),
		honoured("grammar", "GBNF", "The answer keeps to it. Not together with another response_format than text, "+
			"nor with a tool_choice that enforces a call.", text(func(d *decoder) *string { return &d.job.Grammar })),
		bookkeeping("cache_prompt", "true, false", "Ignored: a cached prefix changes no answer.", ofKind(strictjson.Bool)),
		neutral("n_predict", "−1", noOtherBound, isNumber(-1)),
		neutral("n_cmpl", "1", noOtherCount, isNumber(1)),
		neutral("n_keep", "0", noTruncation, isNumber(0)),
		neutral("n_indent", "0", noEnd, isNumber(0)),
		neutral("n_probs", "0", noOtherProbs, isNumber(0)),
		neutral("n_cache_reuse", "0", "a cache is reused only where it changes no answer", isNumber(0)),
		neutral("min_keep", "0", noSampler, isNumber(0)),
		neutral("id_slot", "−1", "there are no slots to choose", isNumber(-1)),
		neutral("tfs_z", "1", noSampler, isNumber(1)),
		neutral("top_n_sigma", "−1", noSampler, isNumber(-1)),
		neutral("xtc_probability", "0", noSampler, isNumber(0)),
		neutral("dynatemp_range", "0", noSampler, isNumber(0)),
		neutral("mirostat", "0", noSampler, isNumber(0)),
		neutral("adaptive_target", "−1", noSampler, isNumber(-1)),
		neutral("dry_multiplier", "0", noPenalties, isNumber(0)),
		neutral("backend_sampling", "false", noSampler, isBool(false)),
		neutral("post_sampling_probs", "false", "log probabilities are the model's own, before sampling", isBool(false)),
		neutral("grammar_lazy", "false", noSchemaHere, isBool(false)),
		neutral("grammar_triggers", "[]", noSchemaHere, isEmptyList),
		neutral("lora", "[]", noModelSwap, isEmptyList),
		neutral("response_fields", "[]", noRaw, isEmptyList),
		neutral("timings_per_token", "false", noRaw, isBool(false)),
		neutral("return_tokens", "false", noRaw, isBool(false)),
		neutral("return_progress", "false", noRaw, isBool(false)),
		neutral("verbose", "false", noRaw, isBool(false)),
	},
		refused(noSchemaHere, "json_schema"),
		refused(noTruncation, "n_discard"),
		refused(noEnd, "t_max_predict_ms"),
		refused("the gateway chooses when to send a keep-alive", "sse_ping_interval"),
		refused(noSampler, "xtc_threshold", "dynatemp_exponent", "mirostat_tau", "mirostat_eta", "adaptive_decay", "samplers"),
		refused(noPenalties, "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers"),
	)
}
