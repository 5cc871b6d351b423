"""Hold a JSON value against a schema of a discovery document, in the words that Google's front end uses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
WHOLE = {
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
}
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "object": (dict,),
    "array": (list,),
}


def snake(name: str) -> str:
    """A field as Google's messages write it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def shown(value: object) -> str:
    """A value as Google's messages write it."""
    return f'"{value}"' if isinstance(value, str) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The rules for one body: a request must leave output-only fields out and required ones in; an answer need not."""

    schemas: dict[str, Json]
    package: str
    request_of: str = ""

    def problems(self, reference: str, value: object, path: str) -> Iterator[str]:
        """Everything that is wrong with a value of a named schema."""
        yield from self._any({"$ref": reference}, value, path, reference)

    def _any(self, schema: Json, value: object, path: str, owner: str) -> Iterator[str]:
        if "$ref" in schema:
            owner = schema["$ref"]
            schema = {**self.schemas[owner], **({"readOnly": True} if schema.get("readOnly") else {})}
        kind = schema.get("type", "any")
        if kind == "any":
            return
        if kind == "object":
            yield from self._object(schema, value, path, owner)
        elif kind == "array":
            if not isinstance(value, list):
                yield f"Invalid value at '{path}' (TYPE_ARRAY), {shown(value)}"
                return
            for index, item in enumerate(value):
                yield from self._any(schema["items"], item, f"{path}[{index}]", owner)
        else:
            yield from self._scalar(schema, value, path, owner)

    def _object(self, schema: Json, value: object, path: str, owner: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"Invalid value at '{path}' (type.googleapis.com/{self.package}.{owner}), {shown(value)}"
            return
        properties = schema.get("properties", {})
        for name, inner in value.items():
            if name not in properties and "additionalProperties" in schema:
                yield from self._any(schema["additionalProperties"], inner, f"{path}[{name}]", owner)
            elif name not in properties:
                if properties or "$" not in schema:
                    yield f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
            elif self.request_of and inner is None:
                continue  # protobuf's JSON takes null for a field that is not set, and gcloud sends some
            elif self.request_of and properties[name].get("readOnly") and inner != properties[name].get("default"):
                yield f"Invalid value for field '{path}.{name}': '{inner}'. The field is output only."
            else:
                yield from self._any(properties[name], inner, f"{path}.{snake(name)}", owner)
        for name, inner_schema in properties.items():
            if self.request_of in inner_schema.get("required", ()) and name not in value:
                yield f"Invalid value for field '{path}.{name}': ''. Required field is missing."

    def _scalar(self, schema: Json, value: object, path: str, owner: str) -> Iterator[str]:
        kind, form = schema["type"], schema.get("format", "")
        type_name = form or kind
        if kind == "integer":
            fits = isinstance(value, int) and not isinstance(value, bool)
        elif kind == "number":
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        else:
            fits = isinstance(value, PYTHON_TYPES[kind])
        if fits and form in WHOLE:
            low, high = WHOLE[form]
            fits = re.fullmatch(r"-?\d+", str(value)) is not None and low <= int(str(value)) <= high
        if not fits:
            yield f"Invalid value at '{path}' (TYPE_{type_name.upper()}), {shown(value)}"
        elif "enum" in schema and value not in schema["enum"]:
            field = path.rpartition(".")[2].partition("[")[0].title().replace("_", "")
            yield f"Invalid value at '{path}' (type.googleapis.com/{self.package}.{owner}.{field}), {shown(value)}"
        elif "pattern" in schema and not re.fullmatch(schema["pattern"], str(value)):
            yield f"Invalid value for field '{path}': '{value}'. Must be a match of regex '{schema['pattern']}'"
