"""Trim discovery documents to what the cloud offers: `python -m tests.support.fakes.cloud.refresh WHEEL [ID...]`.

WHEEL is google-api-python-client's; it carries the documents of every Google API. What the trimmed documents have stays
offered, and so are from now on the methods with these ids. What they do not have is answered with 404, as Google does.
"""

import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

DISCOVERY = Path(__file__).with_name("discovery")
INSIDE = "googleapiclient/discovery_cache/documents"
KEPT_OF_A_SCHEMA = ("type", "format", "enum", "pattern", "$ref", "default")
KEPT_OF_A_PARAMETER = ("type", "format", "enum", "pattern", "location", "required", "repeated")
OUTPUT_ONLY = re.compile(r"^\W*output[ -]only", re.IGNORECASE)

Json = dict[str, Any]


def methods_of(node: Json) -> Iterator[Json]:
    """Every method of a document, at any depth of its resources."""
    yield from node.get("methods", {}).values()
    for inner in node.get("resources", {}).values():
        yield from methods_of(inner)


def trimmed_schema(schema: Json, method_ids: Iterable[str]) -> Json:
    """What tells right from wrong, without the prose; prose is where Google says "output only" for Compute."""
    kept = {key: schema[key] for key in KEPT_OF_A_SCHEMA if key in schema}
    if schema.get("readOnly") or OUTPUT_ONLY.match(schema.get("description", "")):
        kept["readOnly"] = True
    needed = sorted(set(schema.get("annotations", {}).get("required", [])) & set(method_ids))
    if needed:
        kept["required"] = needed
    if "properties" in schema:
        kept["properties"] = {key: trimmed_schema(inner, method_ids) for key, inner in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            kept[key] = trimmed_schema(schema[key], method_ids)
    return kept


def references(node: object) -> Iterator[str]:
    """Names of the schemas that a schema mentions."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)


def trimmed(document: Json, method_ids: frozenset[str]) -> Json:
    """One document with the given methods and the schemas that they reach."""
    methods: Json = {}
    for method in methods_of(document):
        if method["id"] in method_ids:
            parameters = {
                name: {key: parameter[key] for key in KEPT_OF_A_PARAMETER if key in parameter}
                for name, parameter in method.get("parameters", {}).items()
            }
            methods[method["id"]] = {
                "httpMethod": method["httpMethod"],
                "path": document["servicePath"] + method["path"],
                "parameters": parameters,
                **{key: method[key]["$ref"] for key in ("request", "response") if key in method},
            }
    unknown = method_ids - set(methods)
    assert not unknown, f"{document['id']} has no {sorted(unknown)}"
    wanted = {method[key] for method in methods.values() for key in ("request", "response") if key in method}
    schemas: Json = {}
    while wanted:
        name = wanted.pop()
        schemas[name] = trimmed_schema(document["schemas"][name], method_ids)
        wanted |= set(references(schemas[name])) - set(schemas)
    head = {key: document[key] for key in ("name", "version", "revision", "rootUrl")}
    return {
        **head,
        "parameters": sorted(document["parameters"]),
        "methods": dict(sorted(methods.items())),
        "schemas": dict(sorted(schemas.items())),
    }


def pretty_compact(document: Json) -> str:
    """One line for each method and schema, so that a difference between two revisions can be read."""
    lines = []
    for key, value in document.items():
        if key in ("methods", "schemas"):
            inner = ",\n".join(
                f"  {json.dumps(name)}: {json.dumps(body, separators=(',', ':'))}" for name, body in value.items()
            )
            lines.append(f"{json.dumps(key)}: {{\n{inner}\n}}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{" + ",\n".join(lines) + "}\n"


def main() -> None:
    """Write all documents again and say how large they are."""
    total = 0
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        for path in sorted(DISCOVERY.glob("*.json")):
            whole = json.loads(wheel.read(f"{INSIDE}/{path.name}"))
            more = {method["id"] for method in methods_of(whole)} & set(sys.argv[2:])
            method_ids = frozenset(json.loads(path.read_text())["methods"]) | more
            text = pretty_compact(trimmed(whole, method_ids))
            path.write_text(text)
            total += len(text)
            print(f"{path.stem}: {len(method_ids)} methods, {len(text)} bytes")
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
