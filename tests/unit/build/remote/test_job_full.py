"""Jobs on a host whose disk is full: each goes on or ends, whoever follows learns why, and nobody waits in vain."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.errors import DeployError
from build.remote.command import Command
from build.remote.host import Host
from build.remote.jobs import StepFailedError, forget_job, is_underway, run_job
from tests.support.jobs import a_job, step
from tests.support.small_disk import KINDS, Kind, SmallDisk, small_disk
from tests.unit.build.remote.test_jobs import collecting

REPOSITORY = Path(__file__).parents[4]
MANY = 4000
"""Lines of what fills a pipe several times over."""
BOUND_S = 10.0


@pytest.fixture
def disk(systemd_host: Host) -> Iterator[SmallDisk]:
    """The data disk of the host: all of it but what its init keeps in memory."""
    with small_disk(Path(systemd_host.target.root) / "work", size="8m", inodes=60) as mounted:
        yield mounted


def filling(disk: SmallDisk, kind: Kind, then: str, *, before: str = "print('begun', flush=True)") -> Command:
    """A step in whose middle somebody fills the disk."""
    return step(
        f"import sys, time; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from pathlib import Path\nfrom tests.support.small_disk import SmallDisk\n"
        f"disk = SmallDisk(Path({str(disk.path)!r}))\n{before}\ndisk.fill({kind!r})\n{then}"
    )


PRINT_MANY = f"for n in range({MANY}): print('line', n, 'x' * 60)"


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_goes_on_and_its_result_comes_when_the_log_has_no_room(
    systemd_host: Host, disk: SmallDisk, kind: Kind
) -> None:
    began = time.monotonic()
    job = a_job(filling(disk, kind, f"{PRINT_MANY}\nprint('last')"))
    (result,) = run_job(systemd_host, job)
    assert (result.status, result.stdout.splitlines()[-1]) == (0, "last")
    assert time.monotonic() - began < BOUND_S
    assert is_underway(systemd_host.target, systemd_host.executor, "test", job.identity), "its result is on the disk"
    disk.make_room()
    forget_job(systemd_host, "test")
    assert run_job(systemd_host, a_job(step("print('again')")))[0].stdout == "again\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_fails_for_want_of_room_says_which_disk_lacks_what(
    systemd_host: Host, disk: SmallDisk, kind: Kind
) -> None:
    began = time.monotonic()
    wants = f"{PRINT_MANY}\nPath({str(disk.path / 'more')!r}).write_text('x')"
    with pytest.raises(StepFailedError) as caught:
        run_job(systemd_host, a_job(filling(disk, kind, wants)))
    assert time.monotonic() - began < BOUND_S
    said = str(caught.value).splitlines()[-1].strip()
    lacking = {"bytes": "0.0 MB of 8.4 MB free", "inodes": "0 of 60 inodes (one for each file) free"}[kind]
    assert "No space left on device" in str(caught.value)
    assert said == f"this host: {disk.path}/test is full: {lacking}"
    disk.make_room()
    assert run_job(systemd_host, a_job(step("print('again')")))[0].stdout == "again\n"


def test_what_a_log_could_not_take_is_said_once_when_it_can_again(systemd_host: Host, disk: SmallDisk) -> None:
    heard: list[str] = []
    then = f"{PRINT_MANY}\nsys.stdout.flush(); time.sleep(0.5); disk.make_room(); print('room'); print('last')"
    (result,) = run_job(systemd_host, a_job(filling(disk, "bytes", then)), collecting(heard))
    assert result.stdout.splitlines()[-2:] == ["room", "last"]
    assert heard[0] == "begun"
    assert heard[-2:] == ["room", "last"]
    (told,) = [line for line in heard if "missing" in line]
    assert told.endswith(
        "lines are missing here: the log could not be written, got [Errno 28] No space left on device)"
    )
    missing = int(told.strip("(").split()[0])
    assert missing + len(heard) == MANY + 4


def test_a_result_that_is_too_long_for_its_place_keeps_its_ends(systemd_host: Host, disk: SmallDisk) -> None:
    long = f"for n in range({MANY}): print(n, 'y' * 500)\nprint('the last')"
    with pytest.raises(StepFailedError) as caught:
        run_job(systemd_host, a_job(step(long), filling(disk, "bytes", f"{long}\nsys.exit(3)")))
    assert caught.value.result.status == 3
    assert caught.value.result.stdout.endswith("the last\n")


def test_a_result_that_has_no_place_on_the_disk_is_kept_in_memory(systemd_host: Host, disk: SmallDisk) -> None:
    taken = f"Path({str(disk.path / 'test' / 'result.reserved')!r}).unlink(); disk.fill('inodes')"
    job = a_job(filling(disk, "bytes", f"{taken}\n{PRINT_MANY}\nsys.exit(5)"))
    with pytest.raises(StepFailedError) as caught:
        run_job(systemd_host, job)
    assert caught.value.result.status == 5
    assert "the result could not be written to the disk, got [Errno 28] No space left on device" in str(caught.value)
    disk.make_room()
    assert not is_underway(systemd_host.target, systemd_host.executor, "test", job.identity)
    assert run_job(systemd_host, a_job(step("print('again')"), key=job.identity))[0].stdout == "again\n"


@pytest.mark.parametrize("kind", KINDS)
def test_work_does_not_begin_where_its_result_would_have_no_room(
    systemd_host: Host, disk: SmallDisk, kind: Kind, tmp_path: Path
) -> None:
    disk.fill(kind)
    with pytest.raises(DeployError, match="No space left on device"):
        run_job(systemd_host, a_job(step(f"open({str(tmp_path / 'begun')!r}, 'w')")))
    assert not (tmp_path / "begun").exists()
    disk.make_room()
    assert run_job(systemd_host, a_job(step("print('now')")))[0].stdout == "now\n"
