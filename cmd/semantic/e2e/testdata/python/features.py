"""Asks with the official OpenAI SDK for what is more than text, and prints what came as JSON.

    features.py BASE_URL MODEL
"""
import json
import sys
from typing import Literal

import openai
from pydantic import BaseModel, Field

base, model = sys.argv[1:]
client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)


class Person(BaseModel):
    name: str = Field(max_length=12)
    mood: Literal["glad", "sad"]
    children: int


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Paris", "Rome"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 3},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}


def say(text):
    return [{"role": "user", "content": text}]


def call_of(completion):
    choice = completion.choices[0]
    call = choice.message.tool_calls[0]
    return {
        "id": call.id, "type": call.type, "name": call.function.name, "arguments": json.loads(call.function.arguments),
        "calls": len(choice.message.tool_calls), "finish": choice.finish_reason,
    }


ask = dict(model=model, messages=say("How is the weather in Rome?"), tools=[WEATHER], temperature=0, parallel_tool_calls=False)
whole = client.chat.completions.create(**ask, tool_choice="required", max_tokens=200)
with client.chat.completions.stream(**ask, tool_choice="required", max_tokens=200) as stream:
    streamed = stream.get_final_completion()
named = client.chat.completions.create(
    **ask, tool_choice={"type": "function", "function": {"name": "get_weather"}}, max_tokens=200)
back = whole.choices[0].message
answer = client.chat.completions.create(**{**ask, "messages": ask["messages"] + [
    back.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": back.tool_calls[0].id, "content": "Sunny."},
]}, tool_choice="none", max_tokens=8)

person = dict(model=model, messages=say("Who are you?"), response_format=Person, temperature=0, max_tokens=300)
parsed = client.chat.completions.parse(**person)
with client.chat.completions.stream(**person) as stream:
    parsed_streamed = stream.get_final_completion()

plain = dict(model=model, messages=say("Say something. words=9"), max_tokens=12)
probs = client.chat.completions.create(**plain, temperature=0, logprobs=True, top_logprobs=3)
entries = probs.choices[0].logprobs.content

many = dict(plain, n=3, temperature=1, seed=7)
three = client.chat.completions.create(**many)
texts = ["", "", ""]
for chunk in client.chat.completions.create(**many, stream=True):
    for choice in chunk.choices:
        texts[choice.index] += choice.delta.content or ""

legacy = dict(model=model, prompt=["one two", "three four"], max_tokens=8, temperature=0)
completions = client.completions.create(**legacy, logprobs=2)
echoed = client.completions.create(**legacy, echo=True)
legacy_texts = ["", ""]
for chunk in client.completions.create(**legacy, stream=True):
    for choice in chunk.choices:
        legacy_texts[choice.index] += choice.text

try:
    client.chat.completions.create(**plain, response_format={"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}}})
    refusal = None
except openai.BadRequestError as e:
    refusal = {"param": e.param, "code": e.code}

json.dump({
    "whole": call_of(whole),
    "streamed": call_of(streamed),
    "named": call_of(named),
    "answer": answer.choices[0].message.content,
    "parsed": parsed.choices[0].message.parsed.model_dump(),
    "parsed_streamed": parsed_streamed.choices[0].message.parsed.model_dump(),
    "logprobs": len(entries),
    "logprobs_top": min(len(e.top_logprobs) for e in entries),
    "logprobs_text": bytes(b for e in entries for b in e.bytes).decode("utf-8", "replace"),
    "logprobs_content": probs.choices[0].message.content,
    "tokens": probs.usage.completion_tokens,
    "three": [c.message.content for c in three.choices],
    "three_streamed": texts,
    "completions": [c.text for c in completions.choices],
    "completions_streamed": legacy_texts,
    "completions_echoed": [c.text for c in echoed.choices],
    "completions_logprobs": [len(c.logprobs.tokens) for c in completions.choices],
    "completions_tokens": completions.usage.completion_tokens,
    "refusal": refusal,
}, sys.stdout)
