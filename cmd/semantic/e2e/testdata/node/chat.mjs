// Speaks to a server with the official OpenAI SDK, and prints what came as JSON.
//
//     node chat.mjs SDK_FOLDER BASE_URL MODEL PROMPT
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, base, model, prompt] = process.argv.slice(2);
const require = createRequire(pathToFileURL(folder + "/"));
const { OpenAI, BadRequestError, NotFoundError } = require("openai");

const client = new OpenAI({ baseURL: base + "/v1", apiKey: "none", maxRetries: 0 });
const ask = { model, messages: [{ role: "user", content: prompt }], temperature: 0, max_tokens: 24 };

const whole = await client.chat.completions.create(ask);
let text = "", finish = null, usage = null, chunks = 0;
for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) {
  for (const choice of chunk.choices) {
    text += choice.delta.content ?? "";
    chunks += choice.delta.content ? 1 : 0;
    finish = choice.finish_reason ?? finish;
  }
  usage = chunk.usage ?? usage;
}

let refusal = null, unknown = null;
try {
  await client.chat.completions.create({ ...ask, verbosity: "low" });
} catch (e) {
  if (!(e instanceof BadRequestError)) throw e;
  refusal = { param: e.param, code: e.code };
}
try {
  await client.chat.completions.create({ ...ask, model: "no-such-model" });
} catch (e) {
  if (!(e instanceof NotFoundError)) throw e;
  unknown = e.code;
}

const models = [];
for await (const m of client.models.list()) models.push(m.id);

console.log(JSON.stringify({
  models,
  whole: whole.choices[0].message.content,
  whole_finish: whole.choices[0].finish_reason,
  whole_tokens: whole.usage.completion_tokens,
  text, finish, tokens: usage.completion_tokens, chunks, refusal, unknown,
}));
