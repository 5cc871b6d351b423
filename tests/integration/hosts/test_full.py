"""A host's data disk is full before any one command of a deployment: what serves goes on, the reason is told, and the
same command finishes once there is room. `make test-hosts`.

The disk is a file system of its own, ext4 of 96 MB with 4096 inodes. Before the n-th command that a deployment sends it
is filled, for every n: that is each step, whichever there are.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from rich.console import Console
from rich.table import Table

from build.cli.hosts import Selection
from build.deploy.deploy import run_build_and_deploy
from build.errors import DeployError
from build.remote.host import Host
from tests.support.filled_host import COMMANDS_MAX, Filling, OnOwnDisk, filled_host
from tests.support.share import eventually
from tests.support.small_disk import KINDS, Kind
from tests.support.steady_clients import SteadyClients

pytestmark = pytest.mark.hosts

BOUND_S = 60.0


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnOwnDisk]:
    with filled_host("full-table", tmp_path_factory.mktemp("d")) as deployed:
        yield deployed


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
        named = [line for line in said.splitlines() if "/opt/axion is full: " in line and lacking in line]
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
    first = host.fab("build-and-deploy", timeout_s=300)  # it brings packages
    assert first.status == 0, first.said
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
    assert 15 <= len(rows) < COMMANDS_MAX - 1
    assert {"upload the release", "validate", "switch"} <= {row.before.split(" 2")[0] for row in rows} | {"switch"}


def show(rows: list[Row], kind: Kind) -> None:
    table = Table(
        "full before", "exit", "what was told first", "ran then", "whole streams", "next run",
        title=f"No {kind} left before each command of a deployment",
    )  # fmt: skip
    for row in rows:
        told = [line.strip() for line in row.said.splitlines() if " is full: " in line] or ["done"]
        table.add_row(
            row.before[:33], str(int(bool(row.said))), told[0][:84], row.ran, str(row.whole), f"{row.next_s:.1f} s",
        )  # fmt: skip
    Console(width=170).print(table)
