"""What a build leaves about itself."""

import json
from pathlib import Path

import pytest

from agent import record
from agent.protocol import Built, RecordOrder
from agent.seal import is_filled


def test_what_was_built_is_written_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "vllm-1-py3-none-any.whl").write_bytes(b"x")
    order = RecordOrder(str(tmp_path), (), {"recipe": "source", "jobs": 2})
    monkeypatch.setattr("sys.argv", ["record", order.to_json()])
    record.main()
    written = (tmp_path / "built.json").read_text()
    wheels = {"vllm-1-py3-none-any.whl": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    assert json.loads(written) == {
        "schema": "axion.built/1",
        "recipe": "source",
        "commits": {},
        "wheels": wheels,
        "facts": {"jobs": 2},
    }
    assert Built.from_json(written) == Built("source", {}, wheels, {"jobs": 2})
    assert is_filled(tmp_path)
