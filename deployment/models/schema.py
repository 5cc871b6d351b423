"""Print the JSON schema of models.yaml, with which editors complete and check it: `python -m deployment.models.schema`.

The schema knows single values; what several values mean together, only `fab plan` knows. A key is described by what it
does, the sentence below its field, and by what to give.
"""

import json
from typing import Any

from pydantic import ByteSize, TypeAdapter

from deployment.documented import kinds_below, sentences
from deployment.models.spec import ModelsFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Pydantic's own pattern for sizes has no end: an editor would accept `12 apples`.
SIZE_PATTERN = r"^\s*\d*\.?\d+\s*([kKmMgGtT][iI]?)?[bB]\s*$"
EXAMPLES = ["512MiB", "12GiB"]
PYDANTIC_SIZE = TypeAdapter(ByteSize).json_schema()["anyOf"]
# Values below these keys belong to the file, and are no schemas themselves.
DATA = frozenset({"default", "enum", "examples", "required"})


def models_schema() -> str:
    """Return the schema of a models file, as its text."""
    schema = ModelsFile.model_json_schema()
    definitions = {ModelsFile.__name__: schema, **schema["$defs"]}
    for name, kind in kinds_below(ModelsFile).items():
        properties = definitions[name]["properties"]
        for key, does in sentences(kind).items():
            properties[key]["description"] = f"{does} Give {properties[key]['description']}."
    schema = _for_editors(schema)
    return json.dumps({"$schema": DIALECT, **schema, "title": "models.yaml"}, indent=1)


def _for_editors(node: Any, *, is_names: bool = False) -> Any:
    """Drop titles that pydantic makes up, and say what a size and a model's name look like.

    Below `properties` and `$defs` the keys are names; a field called `title` would be one of them.
    """
    if isinstance(node, list):
        return [_for_editors(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: value if key in DATA and not is_names else _for_editors(value, is_names=key in ("properties", "$defs"))
        for key, value in node.items()
        if is_names or key != "title"
    }
    if is_names:
        return kept
    if kept.get("anyOf") == PYDANTIC_SIZE:
        kept["anyOf"] = [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "exclusiveMinimum": 0}]
        kept = {**kept, "examples": EXAMPLES}
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    return kept


if __name__ == "__main__":
    print(models_schema())
