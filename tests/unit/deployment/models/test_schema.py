"""The JSON schema that editors use, judged by an implementation that knows nothing of pydantic."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.deployments import document, model

REPOSITORY = Path(__file__).parents[4]
SCHEMA_FILE = REPOSITORY / "docs" / "models.schema.json"
SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def complaints(data: Any) -> list[str]:
    """Where the schema finds something wrong, as dotted paths."""
    return sorted({".".join(str(part) for part in error.absolute_path) for error in VALIDATOR.iter_errors(data)})


def complaints_about_engine(**engine: Any) -> list[str]:
    return complaints(document({"alpha": model(engine=engine)}))


def test_the_committed_schema_is_the_printed_one() -> None:
    """After a change of the specification: `make schema`."""
    command = [sys.executable, "-m", "deployment.models.schema"]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30)
    assert printed.stdout == SCHEMA_FILE.read_text()


def test_the_schema_is_a_schema_that_names_its_dialect() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"] == "models.yaml"


@pytest.mark.parametrize("name", ["models.yaml", "examples/demo/models.yaml", "examples/dev/models.yaml"])
def test_the_files_of_the_checkout_are_valid_and_point_editors_at_the_schema(name: str) -> None:
    path = REPOSITORY / name
    assert complaints(yaml.safe_load(path.read_text())) == []
    (pointer,) = (line for line in path.read_text().splitlines() if line.startswith("# yaml-language-server:"))
    assert (path.parent / pointer.partition("$schema=")[2]).resolve() == SCHEMA_FILE.resolve()


def test_mistakes_that_one_value_shows_are_marked_where_they_stand() -> None:
    ten_mistakes = yaml.safe_load((REPOSITORY / "tests" / "support" / "data" / "ten_mistakes.yaml").read_text())
    assert complaints(ten_mistakes) == [
        "gateway.listen.0",
        "models",  # the slash in a name
        "models.coder",  # coers instead of cores
        "models.coder.engine.kv_cache_memory_bytes",
    ]
    renamed = {**ten_mistakes, "models": {"fast": ten_mistakes["models"]["chat/fast"]}}
    assert complaints(renamed) == [
        "gateway.listen.0",
        "models.fast.cores",
        "models.fast.engine",  # swap_space
        "models.fast.engine.quantization",
    ]


@pytest.mark.parametrize("size", ["12GiB", "512MiB", "64 MiB", "1.5GiB", "800mb", 67108864])
def test_editors_accept_a_size_as_people_write_it(size: str | int) -> None:
    assert complaints_about_engine(kv_cache_memory_bytes=size) == []


@pytest.mark.parametrize("size", ["plenty", "12", "12 apples", "-1GiB", 0, -5, 1.5, True, None])
def test_editors_refuse_what_is_no_size(size: Any) -> None:
    assert complaints_about_engine(kv_cache_memory_bytes=size) == ["models.alpha.engine.kv_cache_memory_bytes"]


def test_every_field_is_described() -> None:
    """An editor shows the description when the pointer rests on a key."""
    definitions = {"top": SCHEMA, **SCHEMA["$defs"]}
    undescribed = [
        f"{owner}.{name}"
        for owner, definition in definitions.items()
        for name, field in definition["properties"].items()
        if len(field.get("description", "")) < 5
    ]
    assert undescribed == []


def test_names_that_editors_complete_are_not_mistaken_for_made_up_titles() -> None:
    assert set(SCHEMA["$defs"]) == {
        *("Adapter", "Engine", "Gateway", "Host", "Kernels", "Model", "RouterSettings", "Routing"),
        *("RoutingRule", "Speculation", "Tls", "Weights"),
    }
    assert '"title": "Kv Cache' not in SCHEMA_FILE.read_text()
