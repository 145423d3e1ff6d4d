"""Writes golden.json: every template with every conversation, rendered by
Jinja2 itself (pip install jinja2) with the settings of transformers'
apply_chat_template. The date is 2026-02-03. Run it in this folder."""
import datetime, glob, json
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

class Refused(Exception):
    pass

def refuse(message):
    raise Refused(message)

environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
environment.filters["tojson"] = lambda x, indent=None: json.dumps(x, ensure_ascii=False, indent=indent)
environment.globals["raise_exception"] = refuse
environment.globals["strftime_now"] = datetime.datetime(2026, 2, 3, 4, 5, 6).strftime
golden = {}
for path in sorted(glob.glob("*.jinja")):
    template = environment.from_string(open(path, newline="").read())
    for name, messages in json.load(open("conversations.json")).items():
        for message in messages:
            if message["role"] == "developer":
                message["role"] = "system"
        try:
            result = {"prompt": template.render(messages=messages, add_generation_prompt=True, bos_token="<s>", eos_token="</s>", tools=None, documents=None)}
        except Refused as e:
            result = {"refused": str(e)}
        golden.setdefault(path.removesuffix(".jinja"), {})[name] = result
json.dump(golden, open("golden.json", "w"), indent=1, ensure_ascii=False)
