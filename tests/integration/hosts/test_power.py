"""The power goes at any moment of a deployment: what the disk has been told by then serves the old or the new release.

Thirty moments, spread at random over three deployments and the seconds after them, always the same ones. At each the
block device is copied as it is; later a host boots from the copy. `make test-hosts`.
"""

import contextlib
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from agent.durable import settle
from tests.support.host_deployment import HostDeployment
from tests.support.machines.disk import Disk
from tests.support.machines.machine import HOSTS, Machine, booted
from tests.support.machines.standin import standin_layers
from tests.support.share import eventually
from tests.support.web import free_port

pytestmark = pytest.mark.hosts

SEED = 14
DEPLOYMENTS, CUTS_EACH = 3, 10
AFTER_S = 8.0
"""Beyond the end of a deployment: what it said to be done has to stay done."""
BOUND_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one power cut."""

    deployment: int
    at_s: float
    is_done: bool
    """Whether the deployment had ended by then."""
    served: str
    empty: int
    """Files of `current` that are there and have no content, though they should."""
    after_s: float
    """From the boot until every model answered."""
    next_s: float


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    disk = Disk(HOSTS / "power-disk")
    with booted(Machine("power", port=free_port(), layers=standin_layers("amd64"), disk=disk)) as machine:
        deployed = HostDeployment(machine, tmp_path_factory.mktemp("d"))
        deployed.deploy()
        settle(disk.files)  # what a test put there is not what this is about
        yield deployed


def change(host: HostDeployment, number: int) -> str:
    """Write a file that restarts one engine, has the gateway read its configuration again, and changes a unit."""
    host.models["alpha"]["engine"]["max_num_seqs"] = number + 1
    host.models["alpha"]["watchdog_s"] = 60 + number
    host.models["beta"]["aliases"] = [f"alias-{number}"]
    host.write()
    return f"alias-{number}"


def copies(host: HostDeployment, moments: list[float], to: Path) -> tuple[list[Path], float]:
    """Deploy, and copy the disk at each of these moments. Returns the copies, and when the deployment ended."""
    disk = host.machine.disk
    assert disk is not None
    process, began, ended_s, made = host.popen("build-and-deploy"), time.monotonic(), 0.0, []
    for index, at_s in enumerate(moments):
        while (left_s := began + at_s - time.monotonic()) > 0:
            try:
                process.wait(left_s)
            except subprocess.TimeoutExpired:
                break
            ended_s = ended_s or time.monotonic() - began
            time.sleep(max(0.0, began + at_s - time.monotonic()))
        made.append(to / f"{index}.img")
        disk.copy(made[-1])
    stdout, stderr = process.communicate(timeout=BOUND_S)
    assert process.returncode == 0, stdout + stderr
    return made, ended_s or time.monotonic() - began


def outlived(host: HostDeployment, copy: Path, old: str, new: str, alias: str) -> tuple[str, int, float, float]:
    """Boot from a copy, see what serves without anybody's help, then type what is documented."""
    host.machine.lose_what_is_not_on(copy)
    host.machine.boot()
    began = time.monotonic()
    empty = [path for path in (host.root / "current").rglob("*") if path.is_file() and not path.stat().st_size]
    lost = [path for path in empty if path.name != "__init__.py"]
    with contextlib.suppress(AssertionError):
        eventually(host.answers, "every model answers without anybody's help", BOUND_S)
    after_s, runs = time.monotonic() - began, host.record("alpha").get("unit_digest", "") if host.answers() else ""
    began = time.monotonic()
    again = host.succeed("build-and-deploy")
    next_s = time.monotonic() - began
    assert host.description()["units"]["alpha"] == new
    assert host.answers(), again.said
    assert host.ask(alias) == (200, "beta beta beta ")
    assert host.serves_current()
    assert host.link("confirmed") == host.link("current")
    assert [name for name in host.releases() if name.startswith(".")] == []
    assert host.machine.output("systemctl", "--failed", "--no-legend") == ""
    return {old: "old", new: "new"}.get(runs, "nothing"), len(lost), after_s, next_s


def test_a_power_cut_at_any_moment_leaves_a_host_that_serves_and_the_same_command_completes_it(
    host: HostDeployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(host, 0)
    length_s, rows = host.succeed("build-and-deploy").took_s, []
    chance = random.Random(SEED)  # noqa: S311 - the same ones each time are what is wanted
    try:
        for number in range(1, DEPLOYMENTS + 1):
            old, alias = host.description()["units"]["alpha"], change(host, number)
            moments = sorted(chance.uniform(0.1 * length_s, length_s + AFTER_S) for _ in range(CUTS_EACH))
            made, ended_s = copies(host, moments, tmp_path)
            new = host.description()["units"]["alpha"]
            for at_s, copy in zip(moments, made, strict=True):
                served, empty, after_s, next_s = outlived(host, copy, old, new, alias)
                rows.append(
                    Row(
                        deployment=number, at_s=at_s, is_done=at_s > ended_s, served=served, empty=empty,
                        after_s=after_s, next_s=next_s,
                    )
                )  # fmt: skip
    finally:
        with capsys.disabled():
            show(rows, length_s)
    assert len(rows) == DEPLOYMENTS * CUTS_EACH
    assert {row.served for row in rows} <= {"old", "new"}
    assert {row.served for row in rows if row.is_done} == {"new"}
    assert [row.empty for row in rows] == [0] * len(rows)


@pytest.mark.parametrize("is_off_meanwhile", [False, True], ids=["while it runs", "before a boot"])
def test_a_release_of_empty_files_is_repaired_by_the_same_command(host: HostDeployment, is_off_meanwhile: bool) -> None:
    """As an unsynced deployment left one, of which this toolkit made some: our own socket is no other program's."""
    host.deploy()
    before = host.link("current")
    for path in (host.root / "releases").rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"")
    if is_off_meanwhile:
        host.machine.cut()
        host.machine.boot()
    assert host.unit("gateway.socket")["ActiveState"] == "active"
    again = host.succeed("build-and-deploy")
    assert host.link("current") != before
    assert host.answers(), again.said
    assert host.serves_current()
    assert "Nothing to do: " in host.succeed("build-and-deploy").said


def show(rows: list[Row], length_s: float) -> None:
    title = f"Power cuts during deployments that take {length_s:.1f} s, and {AFTER_S:g} s after"
    table = Table(
        "deployment", "at", "was done", "ran then", "empty files", "all answer after", "next run", title=title
    )
    for row in rows:
        table.add_row(
            str(row.deployment), f"{row.at_s:.1f} s", "yes" if row.is_done else "no", row.served, str(row.empty),
            f"{row.after_s:.1f} s", f"{row.next_s:.1f} s",
        )  # fmt: skip
    Console(width=120).print(table)
