// Asks with the official OpenAI SDK for what is more than text, and prints what came as JSON.
//
//     node features.mjs SDK_FOLDER BASE_URL MODEL
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, base, model] = process.argv.slice(2);
const require = createRequire(pathToFileURL(folder + "/"));
const { OpenAI, BadRequestError } = require("openai");
const { makeParseableResponseFormat } = require("openai/lib/parser");

const client = new OpenAI({ baseURL: base + "/v1", apiKey: "none", maxRetries: 0 });
const say = (content) => [{ role: "user", content }];

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city.",
    strict: true,
    parameters: {
      type: "object",
      properties: {
        city: { type: "string", enum: ["Paris", "Rome"] },
        days: { type: "integer", minimum: 1, maximum: 3 },
      },
      required: ["city", "days"],
      additionalProperties: false,
    },
  },
};
const callOf = (completion) => {
  const choice = completion.choices[0];
  const call = choice.message.tool_calls[0];
  return {
    id: call.id, type: call.type, name: call.function.name, arguments: JSON.parse(call.function.arguments),
    calls: choice.message.tool_calls.length, finish: choice.finish_reason,
  };
};

const ask = { model, messages: say("How is the weather in Rome?"), tools: [weather], temperature: 0, parallel_tool_calls: false, max_tokens: 200 };
const whole = await client.chat.completions.create({ ...ask, tool_choice: "required" });
const streamed = await client.chat.completions.stream({ ...ask, tool_choice: "required" }).finalChatCompletion();
const named = await client.chat.completions.create({ ...ask, tool_choice: { type: "function", function: { name: "get_weather" } } });
const back = whole.choices[0].message;
const answer = await client.chat.completions.create({
  ...ask,
  messages: [...ask.messages, back, { role: "tool", tool_call_id: back.tool_calls[0].id, content: "Sunny." }],
  tool_choice: "none",
  max_tokens: 8,
});

const person = {
  model, messages: say("Who are you?"), temperature: 0, max_tokens: 300,
  response_format: makeParseableResponseFormat({
    type: "json_schema",
    json_schema: {
      name: "person",
      strict: true,
      schema: {
        type: "object",
        properties: { name: { type: "string", maxLength: 12 }, mood: { type: "string", enum: ["glad", "sad"] }, children: { type: "integer" } },
        required: ["name", "mood", "children"],
        additionalProperties: false,
      },
    },
  }, JSON.parse),
};
const parsed = await client.chat.completions.parse(person);
const parsedStreamed = await client.chat.completions.stream(person).finalChatCompletion();

const plain = { model, messages: say("Say something. words=9"), max_tokens: 12 };
const probs = await client.chat.completions.create({ ...plain, temperature: 0, logprobs: true, top_logprobs: 3 });
const entries = probs.choices[0].logprobs.content;

const many = { ...plain, n: 3, temperature: 1, seed: 7 };
const three = await client.chat.completions.create(many);
const texts = ["", "", ""];
for await (const chunk of await client.chat.completions.create({ ...many, stream: true })) {
  for (const choice of chunk.choices) texts[choice.index] += choice.delta.content ?? "";
}

const legacy = { model, prompt: ["one two", "three four"], max_tokens: 8, temperature: 0 };
const completions = await client.completions.create({ ...legacy, logprobs: 2 });
const echoed = await client.completions.create({ ...legacy, echo: true });
const legacyTexts = ["", ""];
for await (const chunk of await client.completions.create({ ...legacy, stream: true })) {
  for (const choice of chunk.choices) legacyTexts[choice.index] += choice.text;
}

let refusal = null;
try {
  await client.chat.completions.create({
    ...plain,
    response_format: {
      type: "json_schema",
      json_schema: { name: "x", schema: { type: "object", properties: { a: { not: { type: "string" } } } } },
    },
  });
} catch (e) {
  if (!(e instanceof BadRequestError)) throw e;
  refusal = { param: e.param, code: e.code };
}

console.log(JSON.stringify({
  whole: callOf(whole),
  streamed: callOf(streamed),
  named: callOf(named),
  answer: answer.choices[0].message.content,
  parsed: parsed.choices[0].message.parsed,
  parsed_streamed: parsedStreamed.choices[0].message.parsed,
  logprobs: entries.length,
  logprobs_top: Math.min(...entries.map((e) => e.top_logprobs.length)),
  logprobs_text: Buffer.from(entries.flatMap((e) => e.bytes)).toString(),
  logprobs_content: probs.choices[0].message.content,
  tokens: probs.usage.completion_tokens,
  three: three.choices.map((c) => c.message.content),
  three_streamed: texts,
  completions: completions.choices.map((c) => c.text),
  completions_streamed: legacyTexts,
  completions_echoed: echoed.choices.map((c) => c.text),
  completions_logprobs: completions.choices.map((c) => c.logprobs.tokens.length),
  completions_tokens: completions.usage.completion_tokens,
  refusal,
}));
