"""/stats tells what each engine says of its kernels, however that file looks."""

import json
import os
from pathlib import Path

import pytest

from agent.running import KernelsReport
from gateway.kernels import kernels_of
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import staged

PACKED = {"state": "mapped", "bytes": 9, "file": "model0-0.packed", "locked": True, "reason": None}
TOLD = {"isa": "neon", "layers": {"linear_w4": 8}, "enabled": ["linear_w4"], "packed": PACKED}


def test_what_the_plug_in_wrote_is_shown(tmp_path: Path) -> None:
    (tmp_path / "alpha.kernels").write_text(json.dumps(TOLD))
    assert kernels_of(tmp_path / "alpha.sock") == KernelsReport.from_data(TOLD)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b'{"isa": 3, "layers": {}}', b"\xff\xfe", b"{" * 70_000, b'{"a": "' + b"x" * 70_000 + b'"}'],
)
def test_what_is_no_report_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "alpha.kernels").write_bytes(content)
    assert kernels_of(tmp_path / "alpha.sock") is None


def test_neither_a_link_nor_a_pipe_nor_nothing_is_a_report(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "a.kernels").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "b.kernels")
    assert [kernels_of(tmp_path / f"{name}.sock") for name in "abc"] == [None] * 3


async def test_stats_show_it_for_the_engine_that_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "a.kernels").write_text(json.dumps(TOLD))
    async with staged(tmp_path, FakeEngine(name="a"), FakeEngine(name="b")) as stage:
        models = (await stage.json("/stats"))["models"]
    assert [models[name]["kernels"] for name in "ab"] == [TOLD, None]
