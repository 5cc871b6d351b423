"""Every setting that a person may write arrives: set alone to a recognisable value, it is found with its last reader.

The settings are read from the schemas, so that a new one fails here until a table in tests/settings says where it
arrives. One that is handed to nobody, because it decides something else, is listed with the test that shows that.
"""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from build.cli.inventory import remote_target
from build.remote.target import REPOSITORY, local_target
from deployment.models.spec import ModelsFile
from deployment.stack.inventory import GoogleHost, SshHost, inventory_from
from deployment.stack.settings import StackSettings
from gateway.config import (
    GatewayConfig,
    Listen,
    Memory,
    OnDemand,
    RouterSettings,
    Routing,
    RoutingRule,
    ServedModel,
    Timeouts,
    TlsFiles,
)
from tests.support.deployments import model, write_models
from tests.support.ssh_inventory import host_entry
from tests.support.ssh_inventory import inventory as inventory_of
from tests.unit.settings import inventory, models_file, stack
from tests.unit.settings.leaves import leaf_of, leaves
from tests.unit.settings.programs import recorded
from tests.unit.settings.table import Elsewhere, Said, Seen, Setting

TESTS = Path(__file__).parents[2]


@cache
def names_of_tests() -> frozenset[str]:
    """The functions that are tests, wherever they are."""
    starts = ("def test_", "async def test_")
    lines = (line for path in TESTS.rglob("test_*.py") for line in path.read_text(encoding="utf-8").splitlines())
    return frozenset(line.partition("(")[0].rpartition(" ")[2] for line in lines if line.startswith(starts))


def disagreements(known: tuple[str, ...], table: Iterable[Setting], elsewhere: Mapping[str, Elsewhere]) -> list[str]:
    """What the tables say of no setting, and settings of which they say nothing, or too much."""
    arriving = {each.place: leaf_of(each.place, known) for each in table}
    return [
        *(f"{place}: no such setting" for place, leaf in arriving.items() if leaf is None),
        *(f"{leaf}: no such setting" for leaf in elsewhere if leaf not in known),
        *(f"{leaf}: arrives nowhere" for leaf in known if leaf not in {*arriving.values(), *elsewhere}),
        *(f"{leaf}: arrives, and is said to decide something else" for leaf in elsewhere if leaf in arriving.values()),
        *(
            f"{leaf}: no test is called {each.test}"
            for leaf, each in elsewhere.items()
            if each.test not in names_of_tests()
        ),
    ]


@pytest.mark.parametrize(
    ("schema", "table", "elsewhere"),
    [
        (ModelsFile, models_file.SETTINGS, models_file.ELSEWHERE),
        (StackSettings, stack.SETTINGS, stack.ELSEWHERE),
        (GoogleHost, inventory.SETTINGS, inventory.ELSEWHERE),
    ],
)
def test_every_setting_arrives_somewhere_or_decides_something_that_a_test_shows(
    schema: type[Any], table: tuple[Setting, ...], elsewhere: Mapping[str, Elsewhere]
) -> None:
    assert disagreements(leaves(schema), table, elsewhere) == []


def test_a_host_of_ones_own_has_no_setting_that_one_of_googles_has_not() -> None:
    """So that one table is for both."""
    assert set(leaves(SshHost)) < set(leaves(GoogleHost))


def written(setting: Setting) -> str:
    return setting.place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a models file that other machines may reach, and what settings name."""
    made = tmp_path_factory.mktemp("settings")
    (made / "own.jinja").write_text(models_file.TEMPLATE)
    for name in ("known", "others"):
        (made / name).write_text("")
    open_to_all = {"default_model": "alpha", "models": {"alpha": model()}, "gateway": {"listen": ["0.0.0.0:8080"]}}
    write_models(made / "open.yaml", open_to_all)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(made))
        for variable in ("AXION_MODELS", "AXION_PROJECT", "HF_TOKEN"):
            patched.delenv(variable, raising=False)
        yield made


STACK = inventory_of(main=host_entry())
ON_A_HOST = remote_target(inventory_from(STACK), inventory_from(STACK).hosts["main"])
HERE = local_target(Path("/opt/axion"))


@pytest.mark.parametrize("setting", models_file.SETTINGS, ids=written)
def test_a_setting_of_models_yaml_arrives(setting: Setting, folder: Path) -> None:
    """On a host, and on this computer: there by everything but units, which are systemd's."""
    pairs = zip(_rendered(setting.without, folder), _rendered(setting.said, folder), strict=True)
    on_a_host, here = (setting.astray(without, found) for without, found in pairs)
    assert on_a_host == {}
    assert {place for place in here if not place.startswith("systemd/")} == set()
    is_listed = leaf_of(setting.place, tuple(models_file.ONLY_SYSTEMD)) is not None
    assert all(place.startswith("systemd/") for place in setting.arrives) == is_listed


RENDERED: dict[str, list[Seen]] = {}


def _rendered(said: Said, folder: Path) -> list[Seen]:
    key = json.dumps(said)
    if key not in RENDERED:
        RENDERED[key] = models_file.arrivals(said, folder, ON_A_HOST, HERE)
    return RENDERED[key]


@pytest.fixture(scope="module")
def stacks(folder: Path) -> Mapping[str, Seen]:
    """What arrives of each stack that the table makes, by what it says as JSON."""
    said = {json.dumps(each): each for setting in stack.SETTINGS for each in (setting.without, setting.said)}
    configs = [stack.document(each, folder / "open.yaml") for each in said.values()]
    recordings = recorded(stack.NAME, configs)
    found = (stack.arrivals(*each, folder) for each in zip(configs, recordings, strict=True))
    return dict(zip(said, found, strict=True))


@pytest.mark.parametrize("setting", stack.SETTINGS, ids=written)
def test_a_setting_of_a_stack_arrives(setting: Setting, stacks: Mapping[str, Seen]) -> None:
    assert setting.astray(stacks[json.dumps(setting.without)], stacks[json.dumps(setting.said)]) == {}


@pytest.mark.parametrize("setting", inventory.SETTINGS, ids=written)
def test_a_setting_of_a_written_inventory_arrives(setting: Setting, folder: Path) -> None:
    without = inventory.arrivals(setting.without, folder, folder / "open.yaml")
    assert setting.astray(without, inventory.arrivals(setting.said, folder, folder / "open.yaml")) == {}


KINDS = (
    *(GatewayConfig, Memory, OnDemand, ServedModel, Timeouts, Listen),
    *(RouterSettings, Routing, RoutingRule, TlsFiles),
)


def test_the_gateway_reads_every_value_of_its_file() -> None:
    """By name, in any of its modules but the one that defines the file."""
    modules = (path for path in (REPOSITORY / "gateway").rglob("*.py") if path.name != "config.py")
    nodes = (node for path in modules for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    fields = {name for kind in KINDS for name in kind.model_fields}
    assert sorted(fields - read) == []


def test_what_only_systemd_reads_is_known_and_shown() -> None:
    assert models_file.ONLY_SYSTEMD.keys() <= set(leaves(ModelsFile))
    assert {each.test for each in models_file.ONLY_SYSTEMD.values()} <= names_of_tests()
