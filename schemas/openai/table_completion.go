package openai

import (
	"math"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// completionTable is every known parameter of POST /v1/completions.
var completionTable = concat(
	from("OpenAI",
		[]Parameter{
			modelParameter(),
			required(honoured("prompt", "a string, a list of token ids, or a list of up to 16 of either, none empty",
				"What is continued, as it is: no chat template is applied. Several prompts have n choices each, in their order.", readPrompt)),
		},
		samplingParameters(),
		[]Parameter{
			boundParameter("max_tokens", "Bounds the generated tokens of each choice. Default 16, as OpenAI's."),
			honoured("n", "1 … 16, of all prompts together at most 16",
				"How many choices each prompt has. They share it. Default 1.", countParameter().read),
			honoured("best_of", "the value of n", "Nothing is thrown away.", whole(1, math.MaxInt32, func(d *decoder) **int { return &d.bestOf })),
			honoured("echo", "true, false; not together with logprobs", "Puts the prompt's text in front of each choice. Default false.",
				flag(func(d *decoder) *bool { return &d.job.Echo })),
			honoured("logprobs", "0 … 5",
				"The log probability of each generated token, in the model's own distribution, and those of as many likeliest ones.",
				readLegacyLogprobs),
			neutral("suffix", "an empty string", "text is continued at its end, not filled in", isWord("")),
		},
		streamParameters(),
		[]Parameter{userParameter()},
	),
	from("vLLM", vllmSampling(), formatParameters(),
		[]Parameter{
			neutral("add_special_tokens", "true", "a text begins as the model's vocabulary has it", isBool(true)),
		},
		vllmRefused(),
	),
	from("llama.cpp", llamaSampling()),
	from("Ollama",
		[]Parameter{
			bookkeeping("keep_alive", "anything", "Ignored: a worker keeps its model.", anything),
			neutral("options", "{}", noTopLevel, isEmptyMap),
		},
	),
	from("LM Studio",
		[]Parameter{bookkeeping("ttl", "a number", "Ignored: a worker keeps its model.", ofKind(strictjson.Number))},
	),
	from("OpenRouter, LiteLLM",
		[]Parameter{neutral("extra_body", "{}", noTopLevel, isEmptyMap)},
	),
)
