"""Names that mean something already: no model gets one, and none that the code takes is forgotten."""

import re
from pathlib import Path

import pytest
import yaml

from build.checkpoints.stanzas import name_for
from build.remote.target import Target
from build.runtime import runner
from deployment.errors import ConfigError
from deployment.models.load import is_name, parse_deployment
from deployment.models.reserved import NAMES
from gateway.routes import UNKNOWN
from tests.support.deployments import document, lock_of, model
from tests.unit.templates.test_units import render

REPOSITORY = Path(__file__).parents[4]
OURS = {"auto", "default", "all", "gateway", "supervisor", "supervisord", "systemd"}
# `<root>/run/NAME` as code and templates write it: joined of several strings, or within one.
FOLDERS, NAME = "(run|state|logs|models)", "([a-z0-9][a-z0-9_.-]*)"
JOINED = re.compile(rf'/ "{FOLDERS}" / "{NAME}"')
WITHIN = re.compile(rf"(?:root\)? ?\}}{{1,2}}|<root>)/{FOLDERS}/{NAME}")
SOURCES = [
    path
    for folder in ("agent", "build", "gateway", "deployment", "templates")
    for path in (REPOSITORY / folder).rglob("*")
    if path.suffix in (".py", ".j2")
]


def problems(**more: object) -> list[str]:
    data = document({"alpha": model(), **more})
    try:
        parse_deployment(yaml.safe_dump(data), "models.yaml", lock_of(data))
    except ConfigError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_model_cannot_have_a_name_that_means_something(name: str) -> None:
    assert [line for line in problems(**{name: model()}) if f"models.{name}: reserved, it " in line]


@pytest.mark.parametrize(
    "name", ["system", "gateways", "gateway-2", "supervisor2", "v1", "health", "journald", "all_of_it"]
)
def test_what_only_looks_like_one_is_free(name: str) -> None:
    assert problems(**{name: model()}) == []


@pytest.mark.parametrize("name", ["auto", "default"])
def test_nor_can_an_alias_or_an_adapter_be_a_word_of_the_gateways(name: str) -> None:
    assert [
        line for line in problems(beta=model(aliases=[name])) if "aliases[0]: reserved, it means the default" in line
    ]
    adapted = problems(beta=model(lora={name: {"path": "x"}}))
    assert [line for line in adapted if f"lora.{name}: reserved, it means the default" in line]


@pytest.mark.parametrize("name", sorted(OURS - {"auto", "default"}))
def test_clients_may_use_the_others_as_an_alias(name: str) -> None:
    assert problems(beta=model(aliases=[name])) == []


def test_all_mistakes_in_names_are_said_at_once() -> None:
    found = problems(systemd=model(), all=model(aliases=["auto"]))
    places = {line.split(": ")[0].rpartition(" ")[2] for line in found}
    assert places == {"models.systemd", "models.all", "models.all.aliases[0]"}


def target(kind: str) -> Target:
    return Target(name="here", root="/r", runner=kind, python="python3")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["supervisor", "systemd"])
def test_every_log_that_is_no_models_is_reserved(kind: str) -> None:
    assert set(runner.log_names(target(kind), ())) <= NAMES.keys()


def test_every_process_file_and_socket_of_supervisords_own_is_reserved() -> None:
    values = {"root": "/r", "python": "p", "engines": [], "gateway_stop_s": 1, "starter": "/r/run/engine-starter.sock"}
    text = render("supervisord.conf.j2", values)
    assert set(re.findall(r"\[program:([\w-]+)\]", text)) <= NAMES.keys()
    assert set(re.findall(r"/r/logs/([\w-]+)\.log", text)) == {"supervisord", "gateway", "engine-starter"}
    assert set(re.findall(r"/r/run/([\w-]+)\.sock", text)) == {"supervisor", "engine-starter"}


def test_no_file_of_ours_lies_where_a_model_that_may_be_named_so_has_its_own() -> None:
    texts = [path.read_text(encoding="utf-8") for path in SOURCES]
    found = {each for text in texts for pattern in (JOINED, WITHIN) for each in pattern.findall(text)}
    assert {("logs", "audit.jsonl"), ("state", "deploy.lock"), ("run", "supervisor.sock")} <= found
    taken = {(folder, name) for folder, name in found if is_models(folder, name)}
    assert {name.partition(".")[0] for _, name in taken} <= NAMES.keys(), taken


def is_models(folder: str, name: str) -> bool:
    """Whether the engine of a model called like the file would have that very one."""
    stem, _, end = name.partition(".")
    ends = {"run": ("sock", "json"), "logs": ("log",), "state": ("",), "models": ("",)}
    return is_name(stem) and end in ends[folder]


def test_what_stands_for_no_model_in_the_metrics_can_be_none() -> None:
    assert not is_name(UNKNOWN)
    assert not is_name(".content")


def test_a_repository_of_such_a_name_gets_another_one_by_hand() -> None:
    assert name_for("acme/systemd") in NAMES
