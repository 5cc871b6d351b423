"""What emulation changes of the machine: brought by the first checkout that emulates, taken away by the last."""

from pathlib import Path

from tests.support.arm.host import shared


def test_the_last_of_several_takes_away_what_the_first_brought(tmp_path: Path) -> None:
    there: list[str] = []

    def bring() -> bool:
        was_there = bool(there)
        there[:] = ["handler"]
        return not was_there

    with shared(tmp_path, "handler", bring, there.clear):
        second = shared(tmp_path, "handler", bring, there.clear)
        second.__enter__()
    assert there == ["handler"], "the second still needs it"
    second.__exit__(None, None, None)
    assert there == []


def test_what_was_there_before_is_left(tmp_path: Path) -> None:
    there = ["handler"]
    with shared(tmp_path, "handler", lambda: False, there.clear):
        pass
    assert there == ["handler"]
