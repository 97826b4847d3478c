"""Holds every example of a description to its schema."""

import json
import sys

import jsonschema_rs

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
examples = 0


def check(schema, example, where):
    global examples
    examples += 1
    rooted = {**schema, "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(rooted, validate_formats=True)
    for error in validator.iter_errors(example):
        sys.exit(f"{where}: {error}")


def walk(node, where):
    if isinstance(node, dict):
        if "schema" in node and "example" in node:
            check(node["schema"], node["example"], where)
        for key, value in node.items():
            walk(value, f"{where}/{key}")
    elif isinstance(node, list):
        for at, value in enumerate(node):
            walk(value, f"{where}/{at}")


walk(document, "#")
print(examples)
