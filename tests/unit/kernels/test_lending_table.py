"""The table through which cores are lent, with real processes that are killed and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axion_kernels.lending_shares import borrowed
from axion_kernels.lending_table import Card, Others, TableError, state_word

ENGINE = """
import sys, time
from pathlib import Path
from axion_kernels.lending_table import STATE, Card, state_word
card = Card.claim(Path(sys.argv[1]), sys.argv[2], tuple(map(int, sys.argv[3].split(","))))
card.words[STATE] = state_word(sys.argv[4], time.monotonic_ns())
print("ready", flush=True)
time.sleep(600)
"""
PACKAGE = Path(__file__).parents[3] / "kernels" / "python"


class Process:
    """An engine's worker, as far as the table goes."""

    def __init__(self, folder: Path, name: str, home: str, kind: str) -> None:
        command = [sys.executable, "-c", ENGINE, str(folder), name, home, kind]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end(self) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[Process]:
    """An engine at home on cores 2 and 3, in the middle of a step."""
    started = Process(tmp_path / "table", "beta", "2,3", "stepping")
    yield started
    started.end()


@pytest.fixture
def mine(tmp_path: Path) -> Card:
    return Card.claim(tmp_path / "table", "alpha", (0, 1))


def cores_now(mine: Card, others: Others, *, later_s: float = 0) -> tuple[int, ...]:
    engines = [card.engine() for card in others]
    return borrowed(mine.engine(), engines, range(4), time.monotonic_ns() + int(later_s * 1e9))


def test_a_card_tells_its_layout_byte_by_byte(mine: Card, tmp_path: Path) -> None:
    """Engines of other environments read it."""
    mine.words[1] = state_word("stepping", 0x1234)
    mine.say_in_use(5)
    content = (tmp_path / "table" / "alpha.cores").read_bytes()
    assert len(content) == 4096
    assert content[:24] == b"axcores1" + b"\xd1\x48" + bytes(6) + b"\x05" + bytes(7)  # 0x1234 * 4 + 1
    assert content[64:192] == b"\x03" + bytes(127)
    assert not any(content[192:])


def test_who_is_alive_keeps_its_cores_and_who_is_killed_lends_them_at_once(
    neighbour: Process, mine: Card, tmp_path: Path
) -> None:
    others = Others(tmp_path / "table", "alpha")
    assert cores_now(mine, others) == ()
    neighbour.kill()
    assert cores_now(mine, others) == (2, 3)


def test_who_is_stopped_within_a_step_lends_its_cores_after_a_minute(
    neighbour: Process, mine: Card, tmp_path: Path
) -> None:
    neighbour.stop()
    others = Others(tmp_path / "table", "alpha")
    assert cores_now(mine, others) == ()
    assert cores_now(mine, others, later_s=61) == (2, 3)


def test_a_child_does_not_hold_the_card_of_the_dead(tmp_path: Path, mine: Card) -> None:
    script = ENGINE.replace("time.sleep(600)", "import os\nif os.fork():\n    os._exit(0)\ntime.sleep(20)")
    command = [sys.executable, "-c", script, str(tmp_path / "table"), "beta", "2,3", "stepping"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(PACKAGE)}, start_new_session=True
    )
    try:
        assert process.wait() == 0
        assert cores_now(mine, Others(tmp_path / "table", "alpha")) == (2, 3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_an_engine_that_starts_again_is_seen_anew(neighbour: Process, mine: Card, tmp_path: Path) -> None:
    others = Others(tmp_path / "table", "alpha")
    assert [card.home for card in others] == [(2, 3)]
    neighbour.kill()
    again = Process(tmp_path / "table", "beta", "3", "loading")
    try:
        assert [(card.home, card.is_alive) for card in others] == [((3,), True)]
        assert cores_now(mine, others) == (2,)
    finally:
        again.end()


def test_a_model_that_is_served_no_more_is_forgotten(neighbour: Process, mine: Card, tmp_path: Path) -> None:
    others = Others(tmp_path / "table", "alpha")
    assert len(list(others)) == 1
    (tmp_path / "table" / "beta.cores").unlink()
    assert list(others) == []


def test_beside_a_card_of_another_version_nothing_is_known_to_be_idle(mine: Card, tmp_path: Path) -> None:
    others = Others(tmp_path / "table", "alpha")
    assert list(others) == []
    assert others.are_all_read
    (tmp_path / "table" / "gamma.cores").write_bytes(b"axcores2".ljust(4096, b"\0"))
    assert list(others) == []
    assert not others.are_all_read


def test_a_half_written_card_is_not_seen(mine: Card, tmp_path: Path) -> None:
    (tmp_path / "table" / "beta.4711").write_bytes(b"axco")
    others = Others(tmp_path / "table", "alpha")
    assert list(others) == []
    assert others.are_all_read


def test_a_guest_is_struck_out_by_the_owner_of_the_core(mine: Card, tmp_path: Path) -> None:
    mine.words[32], mine.words[34] = 700 << 32 | 2, 701 << 32 | 3
    (seen,) = Others(tmp_path / "table", "beta")
    assert seen.guests() == [(700, 2), (701, 3)]
    seen.strike_out(700, 2)
    seen.strike_out(701, 2)  # it sits elsewhere by now
    assert mine.guests() == [(701, 3)]


def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table").symlink_to("/proc/1")
    with pytest.raises(TableError, match=r"/table: not a folder of user \d+, got one of \d+\. Remove it\."):
        Card.claim(tmp_path / "table", "alpha", (0,))


def test_without_the_folder_nothing_is_known_to_be_idle(mine: Card, tmp_path: Path) -> None:
    others = Others(tmp_path / "table", "alpha")
    (tmp_path / "table" / "alpha.cores").unlink()
    (tmp_path / "table").rmdir()
    assert list(others) == []
    assert not others.are_all_read
    Card.claim(tmp_path / "table", "beta", (2, 3))
    assert [card.name for card in others] == ["beta"]
    assert others.are_all_read
