"""A release.json of another shape, or of a newer version: it is named, and what serves goes on."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.message import data_of
from agent.protocol import ClearOrder, ReleaseOutline
from build.cli.plan import _print_plan
from build.cli.status import _look_for_status, _print_status, _status
from build.deploy.deploy import go_back, prune
from build.deploy.diff import Desired
from build.deploy.facts import Facts, gather, probe_command
from build.deploy.state import current
from build.deploy.switch import switch_to
from build.deploy.verify import verify
from build.errors import DeployError
from build.pins import load_pins
from build.progress import Reporter
from build.remote.command import Command, Result
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
    f"release {OTHER}: its release.json cannot be read: {WORDS}. It is passed over; a checkout as new as the one that "
    "made it can."
)
PLACE: dict[str, Any] = {"sequence": DESCRIPTION.sequence, "build": DESCRIPTION.build}


def unread(outline: Any = PLACE, *, why: str = WORDS, is_damaged: bool = False) -> dict[str, Any]:
    return {"why": why, "outline": outline, "is_damaged": is_damaged}


SHAPES: dict[str, tuple[Any, str]] = {
    "newer": (NEWER, WORDS),
    "empty": ({}, "axion.release/1 is understood here, and this names no schema"),
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
    assert found.unread[OTHER].why == words
    assert found.unread[OTHER].outline == (ReleaseOutline(**PLACE) if document else None)
    assert found.unread[OTHER].is_damaged is (document == {})


def test_status_says_so_in_one_sentence_and_shows_what_serves(capsys: pytest.CaptureFixture[str]) -> None:
    there = facts(unread={OTHER: unread()})
    _print_status(there)
    printed = capsys.readouterr().out
    assert SAID in " ".join(printed.split())
    assert f"release {RELEASE} (all models answered)" in printed
    assert _status(there).unread == {OTHER: WORDS}


def test_plan_says_so_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _print_plan(prepared_on(Busy(unread={OTHER: unread()}), tmp_path))
    assert SAID in " ".join(capsys.readouterr().out.split())


class Pruned(Answering):
    """A host that remembers what it was told to clear."""

    def __init__(self, found: Facts) -> None:
        super().__init__(found)
        self.cleared = list[str]()

    def run(self, command: Command, on_line: Any = None) -> Result:
        if "clear" in command.argv:
            self.cleared += [
                str(Path(path).relative_to("/opt/axion")) for path in ClearOrder.from_json(command.argv[-1]).paths
            ]
        return super().run(command, on_line)


def cleared(there: Facts) -> list[str]:
    host = Pruned(there)
    main = Host(Target(name="main", root="/opt/axion", runner="systemd", python="python3"), host, Reporter())
    prune(main, there, replace(Desired.described(RELEASE, DESCRIPTION), build="b"))
    return host.cleared


def test_no_environment_is_pruned_that_it_may_run_on() -> None:
    """Which one that is, a release of a newer checkout tells, or nobody knows."""
    builds = ("b", "old", "theirs")
    assert cleared(facts(builds=builds)) == ["builds/old", "builds/theirs"]
    assert cleared(facts(builds=builds, unread={OTHER: unread({"sequence": 2, "build": "theirs"})})) == ["builds/old"]
    assert cleared(facts(builds=builds, unread={OTHER: unread(None)})) == []


@pytest.mark.parametrize(
    ("kind", "goes"),
    [
        (unread({"sequence": 9, "build": "b"}), ["0", "1"]),
        (unread({"sequence": 0, "build": "b"}), ["newer", "0"]),
        (unread(None), ["0"]),
        (unread(None, is_damaged=True), ["newer", "0"]),
    ],
    ids=["newest", "oldest", "of unknown age", "damaged"],
)
def test_a_release_of_a_newer_checkout_is_forgotten_in_its_turn_and_never_before(
    kind: dict[str, Any], goes: list[str]
) -> None:
    """Five are kept, beside the one that is being made."""
    made = {str(number): replace(DESCRIPTION, sequence=number + 1, build="b") for number in range(5)}
    there = facts(current="4", confirmed="4", releases=made, unread={"newer": kind}, builds=("b",))
    assert [path.removeprefix("releases/") for path in cleared(there) if path.startswith("releases/")] == goes


def test_rollback_to_one_says_who_can() -> None:
    there = facts(unread={OTHER: unread()})
    main = Host(
        Target(name="main", root="/opt/axion", runner="systemd", python="python3"), Answering(there), Reporter()
    )
    with pytest.raises(DeployError) as caught:
        switch_to(main, OTHER)
    assert caught.value.problems == (
        f"{OTHER}: its release.json cannot be read: {WORDS}. It is passed over; a checkout as new as the one that made "
        "it can. Name another one.",
    )


def test_what_failed_beside_the_confirmed_release_of_a_newer_checkout_says_what_served_before() -> None:
    there = facts(confirmed=OTHER, unread={OTHER: unread()})
    main = Host(
        Target(name="main", root="/opt/axion", runner="systemd", python="python3"), Answering(there), Reporter()
    )
    assert go_back(main, there, failed="20260303T120000-c") == (
        f"{OTHER}: its release.json cannot be read: {WORDS}. It is passed over; a checkout as new as the one that made "
        "it can. It served before; `fab rollback` goes back further."
    )


def test_one_that_is_half_written_is_damaged_and_nobody_is_said_to_read_it(tmp_path: Path) -> None:
    for name, text in ((OTHER, '{"schema": "axion.rel'), ("20260203T120000-c", "[" * 900 + "]" * 900)):
        (tmp_path / "releases" / name).mkdir(parents=True)
        (tmp_path / "releases" / name / "release.json").write_text(text)
    for name in ("e", "f"):
        (tmp_path / "releases" / f"20260204T120000-{name}").mkdir()
    (tmp_path / "releases" / "20260204T120000-e" / "release.json").mkdir()
    (tmp_path / "releases" / "20260204T120000-f" / "release.json").symlink_to("release.json")
    found = probed(tmp_path)
    assert [each.is_damaged for each in found.unread.values()] == [True, True, True, True]
    assert found.unread_sentences[:2] == (
        f"release {OTHER}: its release.json cannot be read: axion.release/1: no JSON: Unterminated string starting at: "
        "line 1 column 12 (char 11). It is passed over; nobody can.",
        "release 20260203T120000-c: its release.json cannot be read: axion.release/1 is understood here, got "
        "[[[[...]]]]. It is passed over; nobody can.",
    )


def test_a_current_release_of_a_newer_checkout_is_told_and_nothing_is_disturbed() -> None:
    there = facts(current=OTHER, unread={OTHER: unread()})
    host = Answering(there)
    main = Host(Target(name="main", root="/opt/axion", runner="systemd", python="python3"), host, Reporter())
    said = (
        f"main: /opt/axion/current points to {OTHER}, whose release.json cannot be read: {WORDS}; still running: "
        "alpha, beta, gateway. Run `fab build-and-deploy`, or `fab rollback` to return to the release that "
        "served last."
    )
    found, problem = _look_for_status(main)
    assert (found, problem) == (there, said)
    assert [row.finding for row in verify(main, there, load_pins(Path("build/pins.toml")))] == [said]
    with pytest.raises(DeployError) as caught:
        current(main)
    assert caught.value.problems == (said,)
    assert set(host.asked) == {"look at the host"}
