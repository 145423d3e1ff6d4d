"""Writes golden_tools.json: the tools and the conversation of toolcalls.json
with every template in tools/, rendered by Jinja2 itself as golden.py does."""
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
    golden[os.path.basename(path).removesuffix(".jinja")] = template.render(
        messages=case["messages"], tools=case["tools"], add_generation_prompt=True, bos_token="<s>", eos_token="</s>", documents=None)
json.dump(golden, open("golden_tools.json", "w"), indent=1, ensure_ascii=False)
