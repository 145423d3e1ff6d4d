"""Speaks to a server with the official OpenAI SDK, and prints what came as JSON.

    chat.py BASE_URL MODEL PROMPT
"""
import json
import sys

import openai

base, model, prompt = sys.argv[1:]
client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
ask = dict(model=model, messages=[{"role": "user", "content": prompt}], temperature=0, max_tokens=24)

whole = client.chat.completions.create(**ask)
text, finish, usage, chunks = "", None, None, 0
for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
    for choice in chunk.choices:
        text += choice.delta.content or ""
        chunks += bool(choice.delta.content)
        finish = choice.finish_reason or finish
    usage = chunk.usage or usage

try:
    client.chat.completions.create(**ask, verbosity="low")
    refusal = None
except openai.BadRequestError as e:
    refusal = {"param": e.param, "code": e.code}
try:
    client.chat.completions.create(**{**ask, "model": "no-such-model"})
    unknown = None
except openai.NotFoundError as e:
    unknown = e.code

json.dump({
    "models": [m.id for m in client.models.list()],
    "whole": whole.choices[0].message.content,
    "whole_finish": whole.choices[0].finish_reason,
    "whole_tokens": whole.usage.completion_tokens,
    "text": text,
    "finish": finish,
    "tokens": usage.completion_tokens,
    "chunks": chunks,
    "refusal": refusal,
    "unknown": unknown,
}, sys.stdout)
