"""Usage on the disk: added up by several gateways at once, forgotten after 90 days, never counted twice."""

import errno
import json
import multiprocessing
import os
import signal
import stat
from pathlib import Path

import pytest

from agent import durable, usage
from agent.usage import KEPT_DAYS, UsageDay, UsageRow, add, day_of, report

ONE = UsageRow(key="alice", model="alpha", requests=1, prompt_tokens=2, completion_tokens=3)


def test_what_is_added_is_kept_and_returned_in_one_row_for_each_key_and_model(tmp_path: Path) -> None:
    other = UsageRow(key="alice", model="beta", requests=1, errors=1)
    assert add(tmp_path / "usage", "2026-01-31", [other, ONE]).rows == (ONE, other)
    total = add(tmp_path / "usage", "2026-01-31", [ONE, UsageRow(key="alice", model="alpha", estimated=1)])
    assert total.rows == (
        UsageRow(key="alice", model="alpha", requests=2, prompt_tokens=4, completion_tokens=6, estimated=1), other
    )  # fmt: skip
    path = tmp_path / "usage" / "2026-01-31.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["rows"][1] == {
        "key": "alice", "model": "beta", "requests": 1, "errors": 1, "prompt_tokens": 0, "completion_tokens": 0,
        "estimated": 0,
    }  # fmt: skip
    assert day_of(tmp_path / "usage", "2026-01-31") == total
    assert day_of(tmp_path / "usage", "2026-02-01").rows == ()


def _add_often(directory: Path, times: int) -> None:
    for _ in range(times):
        add(directory, "2026-01-31", [ONE])


def test_gateways_that_write_at_once_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add_often, args=(tmp_path, 50)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert day_of(tmp_path, "2026-01-31").rows == (
        UsageRow(key="alice", model="alpha", requests=200, prompt_tokens=400, completion_tokens=600),
    )


def _add_forever(directory: Path, done: int) -> None:
    while True:
        add(directory, "2026-01-31", [ONE])
        os.write(done, b".")


@pytest.mark.parametrize("after", range(5))
def test_a_killed_writer_leaves_a_whole_file_and_no_lock(tmp_path: Path, after: int) -> None:
    context = multiprocessing.get_context("fork")
    reading, writing = os.pipe()
    writer = context.Process(target=_add_forever, args=(tmp_path, writing))
    writer.start()
    done = 0
    while done < 3 + after:
        done += len(os.read(reading, 1))
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join(10)
    os.close(writing)
    while more := os.read(reading, 100):
        done += len(more)
    os.close(reading)
    kept = day_of(tmp_path, "2026-01-31").rows[0].requests
    assert kept in (done, done + 1)  # one may have been kept and not yet told of
    assert add(tmp_path, "2026-01-31", [ONE]).rows[0].requests == kept + 1


def test_a_full_disk_adds_nothing_and_one_that_fails_after_the_rename_is_not_added_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, "2026-01-31", [ONE])

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(durable, "_write", fail)
        with pytest.raises(OSError, match="No space left"):
            add(tmp_path, "2026-01-31", [ONE])
    assert day_of(tmp_path, "2026-01-31").rows[0].requests == 1
    monkeypatch.setattr(durable, "settle_directory", fail)
    assert add(tmp_path, "2026-01-31", [ONE]).rows[0].requests == 2


def test_who_holds_the_lock_for_long_makes_the_other_try_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "LOCK_TIMEOUT_S", 0.05)
    with usage._locked(tmp_path), pytest.raises(OSError, match="unavailable"):
        add(tmp_path, "2026-01-31", [ONE])
    assert add(tmp_path, "2026-01-31", [ONE]).rows == (ONE,)


def test_ninety_days_are_kept(tmp_path: Path) -> None:
    assert KEPT_DAYS == 90
    for day in ("2025-11-02", "2025-11-03", "2026-01-30"):
        add(tmp_path, day, [ONE])
    add(tmp_path, "2026-01-31", [ONE])
    # From 2025-11-03 to 2026-01-31 there are 28 + 31 + 31 days.
    assert [each.day for each in report(tmp_path).days] == ["2025-11-03", "2026-01-30", "2026-01-31"]


def test_a_file_that_is_not_understood_is_told_of_put_aside_and_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "2026-01-31.json").write_text("{")
    assert report(tmp_path).unread[0].startswith(f"{tmp_path}/2026-01-31.json: axion.usage-day/1: no JSON")
    assert add(tmp_path, "2026-01-31", [ONE]) == UsageDay("2026-01-31", (ONE,))
    (aside,) = tmp_path.glob("*.unread")
    assert aside.read_text() == "{"
