"""docs/configuration.md: every setting is on it, as the code has it, and every example on it works."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from deployment.documented import kinds_below, sentences
from deployment.models.load import load_deployment
from deployment.models.spec import ModelsFile
from deployment.reference import EXAMPLES, PARTS, VARIABLES, sections
from deployment.stack.file import read_file
from deployment.stack.guardrails import check
from deployment.stack.inventory import Inventory, parse_inventory
from deployment.stack.settings import StackSettings
from tests.support.environment_reads import Read, constants, reads_of
from tests.unit.test_tidy import REPOSITORY, listed, name_of

PAGE_FILE = REPOSITORY / "docs" / "configuration.md"
PAGE = PAGE_FILE.read_text()
KINDS = [kind for root in (ModelsFile, StackSettings, Inventory) for kind in kinds_below(root).values()]
# One of these stands in what is said of every number.
UNITS = re.compile(
    r"second|minute|hour|token|character|core|GiB|size|rank|port|request|sequence|adapter|dollar|whole number a month"
    r"|operations"
)
# Sources that are neither the toolkit's nor a check's that people start.
TESTS = re.compile(r"^tests/(?!support/requirements/|support/rehearse)|^kernels/(bench|mutation|model)/")
# Reads whose names the source does not show, and where those come from.
INDIRECT = {
    "build/cloud/credentials.py": "first(*names), whose calls are read",
    "tests/support/requirements/tools.py": "Tool.variable: AXION_PULUMI_ARCHIVE, AXION_GCLOUD_ARCHIVE",
}
# Words of that form that are no variables of the environment: flags of CMake and of the compiler.
NO_VARIABLES = {"AXION_SERIES", "AXION_STRICT"}


def test_the_committed_page_is_the_printed_one() -> None:
    """After a change of a setting: `make schema`."""
    command = [sys.executable, "-m", "deployment.reference"]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60)
    assert printed.stdout == PAGE


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_key_says_what_it_does_and_what_to_give(kind: type[BaseModel]) -> None:
    told = sentences(kind)
    for name, field in kind.model_fields.items():
        does = told.get(field.alias or name, "")
        assert does.endswith("."), f"{kind.__name__}.{name}: no sentence below it"
        assert not re.search(r"\.\.|\. \.", does), f"{kind.__name__}.{name}: two full stops"
        assert field.description, f"{kind.__name__}.{name}: nothing says what to give"
        assert not field.description.endswith("."), f"{kind.__name__}.{name}: messages end it themselves"


def test_a_key_without_a_sentence_is_noticed() -> None:
    class Silent(BaseModel):
        loud: int = 1
        """It says what it does."""
        silent: int = 2

    assert dict(sentences(Silent)) == {"loud": "It says what it does."}


def test_every_number_says_its_unit() -> None:
    silent = []
    for part in PARTS:
        for section in sections(part.root):
            for key, schema in section.schema.items():
                field = section.kind.model_fields[section.keys[key]]
                kinds = {each.get("type") for each in schema.get("anyOf", [schema])}
                said = f"{field.description} {sentences(section.kind)[key]}"
                if kinds & {"integer", "number"} and not UNITS.search(said):
                    silent.append(f"{section.kind.__name__}.{key}")
    assert silent == []


@pytest.mark.parametrize(
    "key",
    [
        "host.core_policy", "gateway.max_body", "gateway.drain_s", "models.NAME.engine.max_num_queued_reqs",
        "axion:hosts.NAME.publicIp", "axion:network.gatewayCidrs", "axion:hosts.NAME.publicIp.allowCidrs",
        "axion:hubToken",
        "hosts.NAME.ssh_proxy_command", "google.secret_ids.hub_token", "models.NAME.lora.NAME.path", "schema",
    ],
)  # fmt: skip
def test_a_key_stands_on_the_page_under_its_full_name(key: str) -> None:
    assert PAGE.count(f"\n#### `{key}`\n") == 1


def test_an_entry_reads_as_it_should() -> None:
    """One of each form, as literals."""
    assert (
        """
#### `models.NAME.watchdog_s`

When a hanging engine is killed and started again. After a third of that time the gateway sends it nothing new. Raise it
for a model whose longest step takes longer.

- Value: seconds, 10 to 3600, without a finished step after which a busy engine is restarted (systemd) (whole number, 10
  to 3600)
- Default: `180`
- Example: `watchdog_s: 240`
"""
        in PAGE
    )
    assert (
        "- Value: a size with its unit, such as 512MiB or 12GiB\n- Default: `32MiB`\n- Example: `max_body: 64MiB`"
        in PAGE
    )
    assert "- Value: see [Gateway: `gateway`](#gateway-gateway)\n- Default: each key has its own\n" in PAGE
    assert '- Default: `[]`\n- Example: `"gateway_clients": ["10.0.0.0/24"]`\n' in PAGE
    assert "#### `gcp:region`" in PAGE
    assert "- Default: the zone's\n" in PAGE


def test_the_editors_schema_says_what_a_key_does_and_what_to_give() -> None:
    schema = json.loads((REPOSITORY / "docs" / "models.schema.json").read_text())
    said = schema["$defs"]["Gateway"]["properties"]["max_body"]["description"]
    assert said == (
        "The largest request. A larger one gets 413. Pictures are the reason to raise it. "
        "Give a size with its unit, such as 512MiB or 12GiB."
    )


def paths(value: Any, kind: type[BaseModel]) -> set[tuple[str, ...]]:
    """The keys that a file names, with NAME for those that a person chooses."""
    chosen = {section.path for part in PARTS for section in sections(part.root) if section.path[-1:] == ("NAME",)}

    def walk(value: Any, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for key, inner in value.items() if isinstance(value, dict) else ():
            path = (*at, "NAME" if (*at, "NAME") in chosen else key)
            yield path
            yield from walk(inner, path)

    assert issubclass(kind, BaseModel)
    return set(walk(value, ()))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_the_examples_name_every_key(part: Any) -> None:
    named = {path for value in part.values for path in paths(value, part.root)}
    known = {(*section.path, key) for section in sections(part.root) for key in section.keys}
    assert sorted(known - named) == []


def test_the_example_of_a_models_file_loads_and_is_valid_for_editors() -> None:
    served = load_deployment(EXAMPLES / "models.yaml")
    assert list(served.models) == ["assistant", "pictures"]
    schema = json.loads((REPOSITORY / "docs" / "models.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load((EXAMPLES / "models.yaml").read_text()))
    (pointer,) = re.findall(r"\$schema=(.*)", (EXAMPLES / "models.yaml").read_text())
    assert (EXAMPLES / pointer).resolve() == REPOSITORY / "docs" / "models.schema.json"


@pytest.mark.parametrize("stack", ["example", "organisation"])
def test_the_examples_of_a_stack_pass_every_check_of_a_preview(stack: str) -> None:
    checked = check(read_file(stack, EXAMPLES), EXAMPLES)
    assert "main" in checked.deployments


@pytest.mark.parametrize(("name", "kind"), [("inventory.json", "ssh"), ("inventory.google.json", "google")])
def test_the_examples_of_inventories_are_one_of_each_kind(name: str, kind: str) -> None:
    inventory = parse_inventory((EXAMPLES / name).read_text())
    assert [host.kind for host in inventory.hosts.values()] == [kind]


def test_pulumi_yaml_says_of_each_setting_what_its_field_says() -> None:
    declared = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())["config"]
    told = sentences(StackSettings)
    assert {key: entry["description"] for key, entry in declared.items()} == {key: told[key] for key in declared}


def anchors(text: str) -> set[str]:
    """What GitHub lets one link to."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_of_the_page_leads_somewhere() -> None:
    links = re.findall(r"\[[^\]]*\]\(([^)]*)\)", PAGE)
    assert len(links) > 60
    for link in links:
        file, _, anchor = link.partition("#")
        target = (PAGE_FILE.parent / file).resolve() if file else PAGE_FILE
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_no_two_headings_of_the_page_have_one_anchor() -> None:
    headings = re.findall(r"^#+ .*$", re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    assert len(headings) == len(anchors(PAGE))


def test_people_are_led_to_the_page() -> None:
    for name in ("README.md", "docs/operations.md", "docs/options.md", "docs/teams.md", "models.yaml", "Pulumi.yaml"):
        assert "configuration.md" in (REPOSITORY / name).read_text(), name


# Environment variables


@cache
def sources() -> tuple[Path, ...]:
    """Those that speak of an environment or, as scripts do, need not."""
    kinds = {".py": "environ", ".cpp": "getenv", ".h": "getenv", ".sh": "$"}
    ours = (path for path in listed() if path.suffix in kinds and not TESTS.match(name_of(path)))
    return tuple(path for path in ours if kinds[path.suffix] in path.read_text() or "AXION_" in path.read_text())


@cache
def every_constant() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for path in sources():
        if path.suffix == ".py":
            for name, texts in constants(ast.parse(path.read_text())):
                found[name] = (*found.get(name, ()), *texts)
    return found


@cache
def every_read() -> tuple[Read, ...]:
    return tuple(read for path in sources() for read in reads_of(path, name_of(path), every_constant()))


def described() -> set[str]:
    return {name for variables in VARIABLES.values() for names in variables for name in names.split()}


def test_every_environment_variable_that_is_read_is_on_the_page() -> None:
    missing = [f"{read.file}:{read.line} {read.name}" for read in every_read() if read.name not in described()]
    assert [each for each in missing if not each.endswith(" None")] == []


def test_every_word_that_looks_like_a_variable_of_ours_is_on_the_page() -> None:
    """Also where it passes through a mapping under another name, a template or the Makefile."""
    found: dict[str, str] = {}
    for path in (*sources(), REPOSITORY / "Makefile", *listed("templates")):
        if path.suffix not in (".cpp", ".h") and not name_of(path).startswith(("tests/", "kernels/")):
            found |= {word: name_of(path) for word in re.findall(r"\bAXION_[A-Z_]+\b", path.read_text())}
    assert {word: file for word, file in found.items() if word not in described() | NO_VARIABLES} == {}


def test_every_read_shows_which_variable_it_reads() -> None:
    hidden = {read.file for read in every_read() if read.name is None}
    assert hidden == set(INDIRECT)


def test_every_variable_on_the_page_is_still_read() -> None:
    read = {read.name for read in every_read()}
    text = "".join(path.read_text() for path in sources())
    assert [name for name in sorted(described()) if name not in read and f'"{name}"' not in text
            and f"${{{name}" not in text and f'"{name.lower()}"' not in text] == []  # fmt: skip


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('import os\nos.environ.get("AXION_NEW")', ["AXION_NEW"]),
        ('import os\nNAME = "AXION_NEW"\nvalue = os.environ[NAME]', ["AXION_NEW"]),
        ('import os\nos.getenv("AXION_NEW", "")', ["AXION_NEW"]),
        ('import os\nif "AXION_NEW" in os.environ:\n    pass', ["AXION_NEW"]),
        ('def read(environment):\n    return environment.get("AXION_NEW")', ["AXION_NEW"]),
        ('import os\n[os.environ.get(name) for name in ("A_B", "C_D")]', ["A_B", "C_D"]),
        ('import os\nos.environ.get(word(3))', [None]),
        ('import os\nos.environ["AXION_NEW"] = "1"\nos.environ.update(AXION_OTHER="1")', []),
    ],
)  # fmt: skip
def test_a_new_read_is_found_in_whatever_form(tmp_path: Path, source: str, names: list[str | None]) -> None:
    (tmp_path / "new.py").write_text(source)
    assert [read.name for read in reads_of(tmp_path / "new.py", "new.py", {})] == names


def test_a_new_read_of_a_shell_script_or_of_c_is_found(tmp_path: Path) -> None:
    (tmp_path / "new.sh").write_text('KNOWN=1\necho "$KNOWN ${AXION_NEW:-none}"\n# $AXION_COMMENT\n')
    (tmp_path / "new.cpp").write_text('const char* wanted = std::getenv("AXION_OTHER");\n')
    found = [reads_of(tmp_path / name, name, {}) for name in ("new.sh", "new.cpp")]
    assert [read.name for reads in found for read in reads] == ["AXION_NEW", "AXION_OTHER"]
