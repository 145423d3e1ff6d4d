"""Writes golden_tools.json: the tools and the conversation of toolcalls.json
with every template in tools/, rendered by Jinja2 itself as golden.py does. A
template that cannot add arguments to text has them as text."""
import datetime, glob, json, os
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
environment.filters["tojson"] = lambda x, ensure_ascii=False, indent=None: json.dumps(x, ensure_ascii=ensure_ascii, indent=indent)
environment.globals["strftime_now"] = datetime.datetime(2026, 2, 3, 4, 5, 6).strftime
case = json.load(open("toolcalls.json"))
golden = {}
for path in sorted(glob.glob("tools/*.jinja")):
    template = environment.from_string(open(path, newline="").read())
    def render(messages):
        return template.render(
            messages=messages, tools=case["tools"], add_generation_prompt=True, bos_token="<s>", eos_token="</s>", documents=None)
    try:
        prompt = render(case["messages"])
    except TypeError:
        messages = json.loads(json.dumps(case["messages"]))
        for message in messages:
            for call in message.get("tool_calls", []):
                call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        prompt = render(messages)
    golden[os.path.basename(path).removesuffix(".jinja")] = prompt
json.dump(golden, open("golden_tools.json", "w"), indent=1, ensure_ascii=False)
