"""Ending a host ends its processes and nobody else's."""

from pathlib import Path

import pytest

from tests.support.machines import cgroups


def test_a_process_that_is_just_being_reaped_does_not_mean_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "CANDIDATES", (tmp_path,))
    (tmp_path / "cgroup.procs").write_text("")
    cgroups.make_groups("one")
    (tmp_path / "axion-one" / "cgroup.procs").write_text("0\n4711\n")
    struck: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, _signal: struck.append(pid))
    assert cgroups.kill("one") == [4711]
    assert struck == [4711]
