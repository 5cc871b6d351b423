"""A host's data disk is full before any one command of a deployment: what serves goes on, the reason is told, and the
same command finishes once there is room. `make test-hosts`.

The disk is a file system of its own, ext4 of 96 MB with 4096 inodes. Before the n-th command that a deployment sends it
is filled, for every n: that is each step, whichever there are.
"""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from build.activation import Host
from build.command import Command, Result
from build.deploy import run_build_and_deploy
from build.errors import DeployError
from build.executor import Executor, OnLine, Session
from build.hosts import Selection
from build.lock import host_lock
from build.work import Work, forget_work, run_work
from tests.host_deployment import HostDeployment, eventually
from tests.local_deployment import free_port
from tests.machines.machine import Machine, booted
from tests.machines.standin import standin_layers
from tests.small_disk import KINDS, Kind, SmallDisk
from tests.steady_clients import SteadyClients

pytestmark = pytest.mark.hosts

ROOT = "opt/axion"
MODELS = ("alpha", "beta")
BOUND_S = 60.0
COMMANDS_MAX = 80


@contextmanager
def loop_disk(image: Path, at: Path) -> Iterator[SmallDisk]:
    """A file system as a host has it, for the length of a block. Root may fill it to the last byte."""
    with image.open("wb") as file:
        file.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "4096", str(image)], check=True)
    at.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True)
    try:
        yield SmallDisk(at)
    finally:
        subprocess.run(["umount", str(at)], check=False)


class OnOwnDisk(HostDeployment):
    """A host whose data disk this machine sees where it is mounted, and not below the host's other files."""

    def __init__(self, machine: Machine, base: Path, disk: SmallDisk) -> None:
        super().__init__(machine, base, MODELS)
        self.disk, self.root = disk, disk.path


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnOwnDisk]:
    base = tmp_path_factory.mktemp("d")
    layers = standin_layers("amd64")
    with loop_disk(base / "disk.img", base / "disk") as disk:
        shutil.copytree(layers[0] / ROOT, disk.path, symlinks=True, dirs_exist_ok=True)
        machine = Machine("full-table", port=free_port(), layers=layers, kept={disk.path: f"/{ROOT}"})
        with booted(machine):
            yield OnOwnDisk(machine, base, disk)


class Filling:
    """Commands of the real executor, before one of which somebody fills the disk."""

    def __init__(self, executor: Executor, disk: SmallDisk, kind: Kind, before: int) -> None:
        self._executor, self._disk, self._kind, self._before = executor, disk, kind, before
        self.sent: list[str] = []

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        self._count(command)
        return self._executor.run(command, on_line)

    def open(self, command: Command) -> Session:
        self._count(command)
        return self._executor.open(command)

    def _count(self, command: Command) -> None:
        self.sent.append(command.what)
        if len(self.sent) == self._before:
            self._disk.fill(self._kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one deployment."""

    kind: Kind
    before: str
    said: str
    ran: str
    whole: int
    next_s: float


def change(host: OnOwnDisk, number: int) -> None:
    """Write a file that restarts one engine, and has the gateway read its configuration again."""
    host.models["alpha"]["engine"]["max_num_seqs"] = number
    host.models["beta"]["aliases"] = [f"alias-{number}"]
    host.write()


def deploy(host: OnOwnDisk, kind: Kind, before: int) -> tuple[Filling, str]:
    """Deploy as `fab build-and-deploy` does; returns what went wrong."""
    with Selection(inventory=str(host.inventory)).hosts() as (found,):
        filling = Filling(found.executor, host.disk, kind, before)
        filled = Host(found.target, filling, found.reporter)
        try:
            run_build_and_deploy(filled, host.file, BOUND_S)
        except DeployError as error:
            return filling, str(error)
    return filling, ""


def filled_before(host: OnOwnDisk, kind: Kind, number: int, before: int) -> Row | None:
    """Deploy with the disk filled before one command; None when there are not so many."""
    old = host.description()["units"]["alpha"]
    change(host, number)
    with SteadyClients(host.port, ("beta",), tokens=3, pause_s=0.05) as clients:
        filling, said = deploy(host, kind, before)
        if len(filling.sent) < before:
            assert said == ""
            return None
        eventually(host.answers, "every model answers on the full disk", BOUND_S)
        runs = host.record("alpha")["unit_digest"]
        new = host.description()["units"]["alpha"]
        host.disk.make_room()
        began = time.monotonic()
        again = host.succeed("build-and-deploy")
        next_s = time.monotonic() - began
    what = filling.sent[before - 1]
    assert clients.failures == [], f"{what}: {said}"
    assert host.answers(), again.said
    assert host.serves_current(), again.said
    assert host.link("confirmed") == host.link("current")
    assert host.description()["units"]["alpha"] != old
    assert [name for name in host.releases() if name.startswith(".")] == []
    assert host.machine.output("systemctl", "--failed", "--no-legend") == ""
    if said:
        lacking = {"bytes": " MB free", "inodes": "inodes (one for each file) free"}[kind]
        # First, or, where the way back used the room that was kept for it, by what had none.
        named = [line for line in said.splitlines() if "/opt/axion is full, got " in line and lacking in line]
        assert named, f"{what}: {said}"
    served = "old" if runs == old else "new"
    assert new == runs or said, what
    return Row(kind=kind, before=what, said=said, ran=served, whole=clients.whole, next_s=next_s)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_full_before_any_command_of_a_deployment_disturbs_nothing(
    host: OnOwnDisk, kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    base = 1 + COMMANDS_MAX * KINDS.index(kind)
    change(host, base)
    host.succeed("build-and-deploy")
    rows: list[Row] = []
    try:
        for before in range(1, COMMANDS_MAX):
            row = filled_before(host, kind, base + before, before)
            if row is None:
                break
            rows.append(row)
    finally:
        host.disk.make_room()
        with capsys.disabled(), contextlib.suppress(IndexError):
            show(rows, kind)
    assert 15 < len(rows) < COMMANDS_MAX - 1
    assert {"upload the release", "validate", "switch"} <= {row.before.split(" 2")[0] for row in rows} | {"switch"}


BUILDING = (
    Command(argv=("mkdir", "-p", f"/{ROOT}/builds/stand-in"), what="make the build directory"),
    Command(argv=("sh", "-c", "sleep 3; seq 1 200000"), what="compile much"),
    Command(
        argv=("dd", "if=/dev/zero", f"of=/{ROOT}/builds/stand-in/wheel", "bs=64K", "count=64", "status=none"),
        what="write a wheel",
    ),
    Command(argv=("sh", "-c", "echo proven"), what="put it to use"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_build_on_a_disk_that_becomes_full_ends_with_the_reason_and_the_same_task_finishes_it(
    host: OnOwnDisk, kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Row] = []
    with SteadyClients(host.port, MODELS, tokens=3, pause_s=0.05) as clients:
        for before in range(1, COMMANDS_MAX):
            work = Work(name="stand-in", what="build a stand-in", steps=BUILDING, timeout_s=120, key=f"{kind} {before}")
            began = time.monotonic()
            filling, said = build(host, work, kind, before)
            assert time.monotonic() - began < 30, "nobody waits for a full disk"
            host.disk.make_room()
            if len(filling.sent) < before:
                break
            again, nothing = build(host, work, kind, 0)
            assert (nothing, again.sent[-1]) == ("", "put the finished work away"), nothing
            if said:
                assert "/opt/axion is full, got 0" in said, said
            took_s = time.monotonic() - began
            what = filling.sent[before - 1]
            rows.append(Row(kind=kind, before=what, said=said, ran="-", whole=clients.whole, next_s=took_s))
            (host.disk.path / "builds" / "stand-in" / "wheel").unlink()
    with capsys.disabled():
        show(rows, kind)
    assert clients.failures == []
    assert [row.before for row in rows if "follow" in row.before or row.before == "build a stand-in"] != []
    assert any(row.said for row in rows)


def build(host: OnOwnDisk, work: Work, kind: Kind, before: int) -> tuple[Filling, str]:
    with Selection(inventory=str(host.inventory)).hosts() as (found,):
        filling = Filling(found.executor, host.disk, kind, before)
        filled = Host(found.target, filling, found.reporter)
        try:
            with host_lock(filled, "fab stand-in"):
                (*_, last) = run_work(filled, work)
                assert last.stdout == "proven\n"
                forget_work(filled, work.name)
        except DeployError as error:
            return filling, str(error)
    return filling, ""


def show(rows: list[Row], kind: Kind) -> None:
    table = Table(
        "full before", "exit", "what was told first", "ran then", "whole streams", "next run",
        title=f"No {kind} left before each command of a deployment",
    )  # fmt: skip
    for row in rows:
        told = [line.strip() for line in row.said.splitlines() if " is full, got" in line] or ["done"]
        table.add_row(
            row.before[:33], str(int(bool(row.said))), told[0][:84], row.ran, str(row.whole), f"{row.next_s:.1f} s",
        )  # fmt: skip
    Console(width=170).print(table)
