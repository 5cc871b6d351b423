"""A host whose disk is full: what is changed there is named, held, refused or kept; what serves is left alone."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from invoke.exceptions import Exit

from agent import systemd as units
from agent.room import refuse_full
from build.cli.arguments import problems_as_messages
from build.deploy import deploy
from build.deploy.activate import bookkeeping
from build.deploy.upload import switch_command, upload_command
from build.errors import ConnectionLostError, DeployError, UnnotedError
from build.progress import Reporter
from build.remote.command import Command
from build.remote.executor import LocalExecutor, check
from build.remote.host import Host
from build.remote.lock import host_lock
from build.remote.room import keep_command, use_command
from build.remote.target import Target
from deployment.render.release import RenderedFile
from tests.support.fakes.host_root import add_release
from tests.support.small_disk import KINDS, Kind, SmallDisk, small_disk
from tests.unit.agent.test_engine_unit import unit_of

AGAIN = "Make room there, then run the same command again: models keep serving, and it finishes what this one"
LACKS = {"bytes": "0.0 MB of 8.4 MB free", "inodes": "0 of 120 inodes (one for each file) free"}
FILES = tuple(RenderedFile(path=f"lib/gateway/{n}.py", text="#" * 40_000) for n in range(20))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "data", size="8m", inodes=120) as mounted:
        yield mounted


@pytest.fixture
def host(disk: SmallDisk) -> Host:
    target = Target(name="main", root=str(disk.path), runner="supervisor", python=sys.executable)
    return Host(target, LocalExecutor(), Reporter())


@pytest.mark.parametrize("kind", KINDS)
def test_what_fails_on_a_full_disk_names_it_and_what_it_lacks(host: Host, disk: SmallDisk, kind: Kind) -> None:
    release = upload_command(host.target, "20260131T120000-aaaaaaaa", FILES, "b1")
    with host_lock(host, "fab build-and-deploy"):
        pass
    disk.fill(kind)
    with pytest.raises(DeployError) as caught, host_lock(host, "fab build-and-deploy"):
        check(host.executor, release)
    assert caught.value.problems[0] == f"main: {disk.path} is full: {LACKS[kind]}. {AGAIN} began."
    assert "No space left on device" in caught.value.problems[1]
    disk.make_room()
    with host_lock(host, "fab build-and-deploy"):
        check(host.executor, release)
    assert len(list(disk.path.glob("releases/2*/lib/gateway/*"))) == 20
    assert list(disk.path.glob("releases/.*")) == []


def test_a_failure_that_is_no_disks_is_told_as_it_is(host: Host) -> None:
    with pytest.raises(DeployError) as caught, host_lock(host, "fab stop"):
        raise DeployError("main: something else, got x. Do y.")
    assert caught.value.problems == ("main: something else, got x. Do y.",)


def test_a_disk_that_has_room_again_is_told_of_all_the_same(host: Host) -> None:
    with pytest.raises(DeployError) as caught, host_lock(host, "fab stop"):
        check(host.executor, Command(argv=("sh", "-c", "echo 'x: No space left on device' >&2; exit 1"), what="do it"))
    assert caught.value.problems[0].startswith("main: a disk was full: No space left on device, and now ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_keeps_nobody_from_the_lock_and_from_what_makes_room(
    host: Host, disk: SmallDisk, kind: Kind
) -> None:
    with host_lock(host, "fab build-and-deploy"):
        pass
    (disk.path / "logs" / "audit.jsonl").write_text("x" * 4095 + "\n")  # no room in its last block
    disk.fill(kind)
    if kind == "inodes":  # a line more needs none
        with host_lock(host, "fab stop"):
            assert json.loads((disk.path / "state" / "deploy.lock").read_text())["what"] == "fab stop"
        return
    with pytest.raises(DeployError) as caught, host_lock(host, "fab stop"):
        assert json.loads((disk.path / "state" / "deploy.lock").read_text())["what"] == "fab stop"
    assert caught.value.problems[-1] == (
        "main: `fab stop` is not in the audit log, got [Errno 28] No space left on device. "
        "All else of it is done; make room for the next."
    )
    disk.make_room()
    with host_lock(host, "fab restart alpha"):
        pass
    last = (disk.path / "logs" / "audit.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["what"] == "fab restart alpha"


def test_a_release_that_serves_is_not_withdrawn_for_what_could_not_be_noted(host: Host) -> None:
    for error in (DeployError("a", "b"), ConnectionLostError("a", "b")):
        with pytest.raises(UnnotedError) as caught, bookkeeping(host, "r1"):
            raise error
        assert caught.value.problems == (
            "main: r1 serves, its models all answered, but not all of that could be noted: see below. "
            "Correct the cause, then run the same command again.",
            "a",
            "b",
        )


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_room_for_the_way_back(host: Host, disk: SmallDisk, kind: Kind) -> None:
    (disk.path / "state").mkdir()
    for command in (switch_command(host.target, "r1"), keep_command(host.target)):
        check(host.executor, command)
    disk.fill(kind)
    check(host.executor, keep_command(host.target))  # a second time it needs nothing
    if kind == "inodes":
        with pytest.raises(DeployError, match="No space left on device"):
            check(host.executor, switch_command(host.target, "r2"))
    check(host.executor, use_command(host.target))
    check(host.executor, switch_command(host.target, "r2"))
    assert os.readlink(disk.path / "current") == "releases/r2"  # noqa: PTH115


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_on_a_full_disk_still_records_what_it_runs(disk: SmallDisk, kind: Kind) -> None:
    unit = unit_of(disk.path)
    unit.prepare()
    unit.write_record(session=os.getpid())
    record = unit.record.read_text()
    for end in (unit.remove_record, lambda: None):  # a clean end, and one that was a kill
        end()
        assert unit.record.exists() is (end != unit.remove_record)
        disk.fill(kind)
        unit.write_record(session=os.getpid())
        assert {**json.loads(unit.record.read_text()), "started_at": 0} == {**json.loads(record), "started_at": 0}
        disk.make_room()


@pytest.mark.parametrize("kind", KINDS)
def test_units_are_replaced_all_together_or_not_at_all(disk: SmallDisk, kind: Kind) -> None:
    old = {disk.path / f"{n}.service": f"old {n}\n" for n in range(3)}
    units.write(old)
    disk.fill(kind)
    with pytest.raises(OSError, match="No space left on device"):
        units.write({**old, **{disk.path / f"{n}.service": "new " * 9000 for n in (1, 2)}})
    assert {path.name: path.read_text() for path in disk.path.iterdir() if path.is_file()} == {
        "0.service": "old 0\n",
        "1.service": "old 1\n",
        "2.service": "old 2\n",
    }
    disk.make_room()
    assert units.write({**old, disk.path / "1.service": "new\n"}) == [disk.path / "1.service"]
    assert (disk.path / "1.service").read_text() == "new\n"


@pytest.mark.parametrize("kind", KINDS)
def test_no_engine_is_ended_on_a_full_disk(disk: SmallDisk, kind: Kind) -> None:
    add_release(disk.path, "r1", {"tiny": ""})
    refuse_full(disk.path)
    disk.fill(kind)
    with pytest.raises(SystemExit) as caught:
        units.restart(disk.path, "tiny")
    assert str(caught.value) == (
        f"{disk.path} is full: {LACKS[kind]}. No process is restarted there, it might not come up: make room first."
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_of_ones_own_is_a_sentence_too(
    disk: SmallDisk, kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    @problems_as_messages()
    def task() -> None:
        (disk.path / "models.lock.json").write_text("x" * 9000)

    disk.fill(kind)
    with pytest.raises(Exit) as caught:
        task()
    assert caught.value.code == 1
    said = capsys.readouterr().err.strip()
    assert said.endswith(
        "cannot be written: No space left on device. Make room here, then run the same command again: "
        "what was done on hosts is not done twice."
    )
    disk.make_room()
    task()


def test_a_release_is_not_withdrawn_for_a_connection_that_broke(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the host does goes on there; only what it does itself is a reason to go back."""
    change = SimpleNamespace(is_upload=False, is_build=False)
    recipe = SimpleNamespace(sources=SimpleNamespace(wheels=None))
    prepared: Any = SimpleNamespace(
        diff=change, recipe=recipe, desired=SimpleNamespace(release="r2"), release=None, facts=None
    )
    (Path(host.target.root) / "state").mkdir()
    asked: list[str] = []

    def go_back(*_args: object, failed: str) -> str:
        asked.append(failed)
        return "went back"

    monkeypatch.setattr(deploy, "go_back", go_back)
    for error, withdrawn in ((ConnectionLostError("lost"), []), (DeployError("no answer"), ["r2"])):
        monkeypatch.setattr(deploy, "activate", Mock(side_effect=error))
        with pytest.raises(DeployError):
            deploy.deploy(prepared, host)
        assert asked == withdrawn
