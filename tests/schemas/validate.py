#!/usr/bin/env python3
"""What verbs print with --json is what doc/schema says.

    validate.py calls DIR          each call that tests/kvm/cli.bash has kept in DIR: NAME.args, a word a line, and
                                   NAME.out; prints what is wrong, and which schemas were used
    validate.py lines SCHEMA FILE  each line of a file
    validate.py verbs TORPOR       each verb of the program that has --json has a schema, which torpor(1) names, and
                                   each schema is one

An object may have no member that its schema does not name: programs should ignore what they do not know, but the
schemas are to know all that there is.
"""
import json
import pathlib
import re
import subprocess
import sys
import warnings

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "doc/schema"
STREAMS = {"save", "convert", "flatten"}  # `-o -`: the file is on standard output
NAME = re.compile("[a-z]+(-[a-z]+)*")
warnings.simplefilter("ignore", DeprecationWarning)  # RefResolver: Debian 12 has nothing else


def closed(schema):
    """The schema, whose objects have no other members."""
    if isinstance(schema, list):
        return [closed(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    # (Not a member that is called so.)
    if isinstance(made.get("properties"), dict) and "type" in made:
        made.setdefault("additionalProperties", False)
    return made


def load():
    return {path.stem: closed(json.loads(path.read_text())) for path in FOLDER.glob("*.json")}


def wrong(schemas, name, value):
    """What is wrong with a value, or None."""
    base = FOLDER.as_uri() + "/"
    store = {f"{base}{n}.json": s for n, s in schemas.items()}
    resolver = jsonschema.RefResolver(f"{base}{name}.json", schemas[name], store=store)
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schemas[name], resolver=resolver).iter_errors(value))
    return error and f"/{'/'.join(map(str, error.absolute_path))}: {error.message[:400]}"


def schema_of(words, schemas):
    """The schema of a call, None for one that is no verb's with --json."""
    words = words[:words.index("--")] if "--" in words else words
    verb = words[0]
    if verb == "volume" and words[1:2] == ["inspect"]:
        return "volume-inspect"
    if "--json" not in words:
        return None
    pair = [f"{verb}-{word}" for word in words[1:] if f"{verb}-{word}" in schemas]
    return pair[0] if pair else verb


def documents(text):
    """One document, or one a line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


def check_calls(folder):
    schemas, used = load(), set()
    for args in sorted(pathlib.Path(folder).glob("*.args")):
        words = args.read_text().splitlines()
        name = schema_of(words, schemas)
        out = args.with_suffix(".out").read_bytes()
        if name is None or not out or (name in STREAMS and "-" in words):
            continue
        if name not in schemas:
            print(f"{words}: there is no schema for '{name}'")
            continue
        used.add(name)
        try:
            said = [wrong(schemas, name, value) for value in documents(out.decode())]
        except ValueError as error:
            said = [f"no JSON: {error}"]
        for what in filter(None, said):
            print(f"{' '.join(words)}: {what}")
    print("used:", *sorted(used))


def check_lines(name, path):
    schemas = load()
    for line in pathlib.Path(path).read_text().splitlines():
        what = wrong(schemas, name, json.loads(line))
        if what:
            print(f"{line}: {what}")


def members(schema):
    if isinstance(schema, list):
        schema = dict(enumerate(schema))
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from schema["properties"]
        for value in schema.values():
            yield from members(value)


def words_of(torpor, *verb):
    return subprocess.run([torpor, "help", *verb], check=True, text=True, stdout=subprocess.PIPE).stdout


def check_verbs(torpor):
    schemas = load()
    manual = (ROOT / "cli/torpor.1").read_text()
    wanted = {"common", "progress", "volume-inspect"}
    completion = (ROOT / "cli/completion.bash").read_text()
    for verb, subs in re.findall(r"^\t([a-z]+)\)\n\t\tsubcommands='([^']*)'", completion, re.M):
        calls = [(verb, sub) for sub in subs.split()] or [(verb,)]
        wanted |= {"-".join(call) for call in calls if re.search(r"--json\b", words_of(torpor, *call))}
    for name in sorted(wanted | set(schemas)):
        if name not in schemas:
            print(f"{name}: there is no schema")
            continue
        if name not in wanted:
            print(f"{name}: no verb has --json")
        jsonschema.Draft202012Validator.check_schema(schemas[name])
        for member in members(schemas[name]):
            if not NAME.fullmatch(member):
                print(f"{name}: '{member}' is not in lower case with hyphens")
        if name != "common" and not re.search(rf"\b{re.escape(name)}(?!\w)", manual):
            print(f"{name}: not in torpor(1)")
    if len(wanted) < 20:
        print("the verbs were not found:", *wanted)


if __name__ == "__main__":
    {"calls": check_calls, "lines": check_lines, "verbs": check_verbs}[sys.argv[1]](*sys.argv[2:])
