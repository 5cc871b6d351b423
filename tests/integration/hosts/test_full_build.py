"""Long work on a host whose disk becomes full before any command: nobody waits, and the same task finishes it.

`make test-hosts`.
"""

import re
import time
from collections.abc import Iterator

import pytest

from build.cli.hosts import Selection
from build.errors import DeployError
from build.remote.command import Command
from build.remote.host import Host
from build.remote.jobs import Job, forget_job, run_job
from build.remote.lock import host_lock
from tests.integration.hosts.test_full import Row, show
from tests.support.filled_host import COMMANDS_MAX, MODELS, ROOT, Filling, OnOwnDisk, filled_host
from tests.support.small_disk import KINDS, Kind
from tests.support.steady_clients import SteadyClients

pytestmark = pytest.mark.hosts

BOUND_S = 90.0
"""A step of three seconds, on a machine that does much else. Its own bound is ten minutes."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnOwnDisk]:
    with filled_host("full-build", tmp_path_factory.mktemp("d")) as deployed:
        deployed.write()
        first = deployed.fab("build-and-deploy", timeout_s=300)  # it brings packages
        assert first.status == 0, first.said
        yield deployed


BUILDING = (
    Command(argv=("mkdir", "-p", f"/{ROOT}/builds/stand-in"), what="make the build directory"),
    Command(argv=("sh", "-c", "sleep 3; seq 1 20000"), what="compile much", timeout_s=600),
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
            job = Job(name="stand-in", what="build a stand-in", steps=BUILDING, timeout_s=600, key=f"{kind} {before}")
            began = time.monotonic()
            filling, said = build(host, job, kind, before)
            assert time.monotonic() - began < BOUND_S, "nobody waits for a full disk"
            host.disk.make_room()
            if len(filling.sent) < before:
                break
            again, nothing = build(host, job, kind, 0)
            assert (nothing, again.sent[-1]) == ("", "put the finished job away"), nothing
            if said:
                # The place that was kept for the result is free again when it is written.
                lacking = {"bytes": r"(0\.0|1\.0) MB of", "inodes": r"\d of \d+ inodes"}[kind]
                assert re.search(rf"/opt/axion is full: {lacking}", said), said
            took_s = time.monotonic() - began
            what = filling.sent[before - 1]
            rows.append(Row(kind=kind, before=what, said=said, ran="-", whole=clients.whole, next_s=took_s))
            (host.disk.path / "builds" / "stand-in" / "wheel").unlink()
    with capsys.disabled():
        show(rows, kind)
    assert clients.failures == []
    assert [row.before for row in rows if "follow" in row.before or row.before == "build a stand-in"] != []
    assert any(row.said for row in rows)


def build(host: OnOwnDisk, job: Job, kind: Kind, before: int) -> tuple[Filling, str]:
    with Selection(inventory=str(host.inventory)).hosts() as (found,):
        filling = Filling(found.executor, host.disk, kind, before)
        filled = Host(found.target, filling, found.reporter)
        try:
            with host_lock(filled, "fab stand-in"):
                (*_, last) = run_job(filled, job)
                assert last.stdout == "proven\n"
                forget_job(filled, job.name)
        except DeployError as error:
            return filling, str(error)
    return filling, ""
