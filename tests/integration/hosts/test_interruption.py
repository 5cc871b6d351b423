"""A deployment ends at any moment, its own fault or not: the host serves the old or the new release, never nothing.

Ten moments, spread at random over a deployment's length, always the same ones. At each the task is killed, or the
host's sshd with all its sessions, or the host loses its power. `make test-hosts`.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from rich.console import Console
from rich.table import Table

from tests.support.host_deployment import HostDeployment, host_deployment
from tests.support.processes import tree
from tests.support.share import eventually
from tests.support.steady_clients import SteadyClients

pytestmark = pytest.mark.hosts

SEED = 6
KINDS = ("fab", "sshd", "power")
MOMENTS = 10
TRIES = 20
"""A deployment that is over before its moment does not count."""
BOUND_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one interruption."""

    at_s: float
    kind: str
    phase: str
    """The last that the task said."""
    status: int
    served: str
    whole: int
    """Streams that were whole while it happened, and none was not. With the power everything goes."""
    after_s: float
    """Until every model answered."""
    next_s: float


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    with host_deployment("interruption", tmp_path_factory.mktemp("d")) as deployed:
        deployed.deploy()
        yield deployed


def change(host: HostDeployment, number: int) -> str:
    """Write a file that restarts one engine, and has the gateway read its configuration again."""
    host.models["alpha"]["engine"]["max_num_seqs"] = number + 1
    host.models["beta"]["aliases"] = [f"alias-{number}"]
    host.write()
    return f"alias-{number}"


def strike(host: HostDeployment, kind: str, process: "subprocess.Popen[str]") -> None:
    """Do what is not supposed to happen."""
    if kind == "fab":
        process.kill()
    elif kind == "power":
        host.machine.cut()
    else:
        init = host.machine.init
        assert init is not None
        for each in tree(init.pid):
            if each.command.startswith("sshd: "):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)


def interrupted(host: HostDeployment, number: int, at_s: float, kind: str) -> Row | None:
    """Deploy, strike, and see what serves; then deploy again. None when the deployment was faster than that."""
    old = host.description()["units"]["alpha"]
    alias = change(host, number)
    with SteadyClients(host.port, () if kind == "power" else tuple(host.models), tokens=3, pause_s=0.05) as clients:
        process = host.popen("build-and-deploy")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=at_s)
            return None
        struck = time.monotonic()
        strike(host, kind, process)
        if kind == "power":
            host.machine.boot()
        eventually(host.answers, "every model answers without anybody's help", BOUND_S)
        after_s = time.monotonic() - struck
        _, said = process.communicate(timeout=BOUND_S)
        eventually(host.answers, "every model still answers", BOUND_S)
        runs = host.record("alpha")["unit_digest"]
        began = time.monotonic()
        again = host.succeed("build-and-deploy")
        next_s = time.monotonic() - began
    new = host.description()["units"]["alpha"]
    assert runs in (old, new), said
    assert host.answers(), again.said
    assert host.ask(alias) == (200, "beta beta beta ")
    assert host.serves_current()
    assert host.link("confirmed") == host.link("current")
    assert [name for name in host.releases() if name.startswith(".")] == []
    assert host.machine.output("systemctl", "--failed", "--no-legend") == ""
    phase = said.strip().rpartition("\n")[2].strip()
    served = {old: "old", new: "new"}[runs]
    assert clients.failures == [], said
    return Row(
        at_s=at_s, kind=kind, phase=phase, status=process.returncode, served=served, whole=clients.whole,
        after_s=after_s, next_s=next_s,
    )  # fmt: skip


def test_a_deployment_interrupted_at_any_moment_leaves_a_host_that_serves_and_the_next_one_completes_it(
    host: HostDeployment, capsys: pytest.CaptureFixture[str]
) -> None:
    change(host, 0)
    length_s = host.succeed("build-and-deploy").took_s
    moments = random.Random(SEED)  # noqa: S311 - the same ones each time are what is wanted
    rows: list[Row] = []
    try:
        for number in range(1, TRIES + 1):
            at_s = moments.uniform(0.25, 1.0) * length_s
            row = interrupted(host, number, at_s, KINDS[len(rows) % len(KINDS)])
            if row is None:
                length_s = min(length_s, at_s)
                continue
            rows.append(row)
            if len(rows) == MOMENTS:
                break
    finally:
        with capsys.disabled():
            show(rows, length_s)
    assert len(rows) == MOMENTS
    assert "Nothing to do: " in host.succeed("build-and-deploy").said


def show(rows: list[Row], length_s: float) -> None:
    title = f"Interruptions of a deployment that takes {length_s:.1f} s"
    table = Table(
        "at",
        "killed",
        "its last words",
        "exit",
        "ran then",
        "whole streams",
        "all answer after",
        "next run",
        title=title,
    )
    for row in rows:
        table.add_row(
            f"{row.at_s:.1f} s", row.kind, row.phase[:60], str(row.status), row.served, str(row.whole),
            f"{row.after_s:.1f} s", f"{row.next_s:.1f} s",
        )  # fmt: skip
    Console(width=150).print(table)
