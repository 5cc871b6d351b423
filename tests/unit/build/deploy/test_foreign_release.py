"""A release.json of another shape, or of a newer version: it is named, and what serves goes on."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.message import data_of
from build.cli.tasks import _look_for_status, _print_plan, _print_status, _status
from build.deploy.deploy import prune
from build.deploy.diff import Desired
from build.deploy.facts import Facts, gather, probe_command
from build.deploy.state import current
from build.deploy.verify import verify
from build.errors import DeployError
from build.pins import load_pins
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target
from tests.support.hosts import DESCRIPTION, RELEASE, facts
from tests.unit.build.deploy.test_begun import Busy, prepared_on
from tests.unit.build.deploy.test_place import Answering

OTHER = "20260202T120000-bbbbbbbb"
NEWER = {**data_of(DESCRIPTION), "schema": "axion.release/2"}
WORDS = "axion.release/1 is understood here, got 'axion.release/2'"
SAID = (
    f"release {OTHER}: its release.json cannot be read, {WORDS}. It is passed over; a checkout as new as the one that "
    "made it reads it."
)
SHAPES: dict[str, tuple[Any, str]] = {
    "newer": (NEWER, WORDS),
    "empty": ({}, "axion.release/1 is understood here, got None"),
    "without units": (
        {key: value for key, value in NEWER.items() if key != "units"} | {"schema": 1},
        "axion.release/1: units is missing",
    ),
    "without a gateway": ({**NEWER, "schema": 1, "units": {}}, "axion.release/1: units.gateway is missing"),
    "listening nowhere": ({**NEWER, "schema": 1, "listen": []}, "axion.release/1: listen is empty"),
    "units of another kind": (
        {**NEWER, "schema": 1, "units": ["gateway"]},
        "axion.release/1: units is no mapping, got ['gateway']",
    ),
}


def probed(root: Path) -> Facts:
    target = Target(name="main", root=str(root), runner="supervisor", python=sys.executable)
    return gather(LocalExecutor(), probe_command(target, {}, []))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_description_that_is_not_understood_is_named_with_the_readers_words(tmp_path: Path, shape: str) -> None:
    document, words = SHAPES[shape]
    for name, said in ((OTHER, document), (RELEASE, {**NEWER, "schema": 1})):
        (tmp_path / "releases" / name).mkdir(parents=True)
        (tmp_path / "releases" / name / "release.json").write_text(json.dumps(said))
    found = probed(tmp_path)
    assert found.releases.keys() == {RELEASE}
    assert found.unread == {OTHER: words}


def test_status_says_so_in_one_sentence_and_shows_what_serves(capsys: pytest.CaptureFixture[str]) -> None:
    there = facts(unread={OTHER: WORDS})
    _print_status(there)
    printed = capsys.readouterr().out
    assert SAID in " ".join(printed.split())
    assert f"release {RELEASE} (all models answered)" in printed
    assert _status(there).unread == {OTHER: WORDS}


def test_plan_says_so_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _print_plan(prepared_on(Busy(unread={OTHER: WORDS}), tmp_path))
    assert SAID in " ".join(capsys.readouterr().out.split())


def test_no_environment_is_pruned_that_it_may_run_on() -> None:
    """Which one that is, a release that cannot be read does not tell."""
    cases: tuple[tuple[Mapping[str, str], bool], ...] = (({}, True), ({OTHER: WORDS}, False))
    for unread, pruned in cases:
        there = facts(unread=unread, builds=("b", "old"))
        host = Answering(there)
        main = Host(Target(name="main", root="/opt/axion", runner="systemd", python="python3"), host, Reporter())
        prune(main, there, replace(Desired.described(RELEASE, DESCRIPTION), build="b"))
        assert ("prune old builds" in host.asked) is pruned


def test_a_current_release_of_a_newer_checkout_is_told_and_nothing_is_disturbed() -> None:
    there = facts(current=OTHER, unread={OTHER: WORDS})
    host = Answering(there)
    main = Host(Target(name="main", root="/opt/axion", runner="systemd", python="python3"), host, Reporter())
    said = (
        f"main: /opt/axion/current points to {OTHER}, whose release.json cannot be read, {WORDS}, got alpha, beta, "
        "gateway running all the same. Run `fab build-and-deploy`, or `fab rollback` to return to the release that "
        "served last."
    )
    found, problem = _look_for_status(main)
    assert (found, problem) == (there, said)
    assert [row.finding for row in verify(main, there, load_pins(Path("build/pins.toml")))] == [said]
    with pytest.raises(DeployError) as caught:
        current(main)
    assert caught.value.problems == (said,)
    assert set(host.asked) == {"look at the host"}
