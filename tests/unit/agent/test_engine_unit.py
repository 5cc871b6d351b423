"""What the launcher reads from a release, and what it refuses."""

import dataclasses
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from agent.engine_unit import EngineUnit, LaunchError, parse_environment
from tests.support.fakes.host_root import add_release


def unit_of(root: Path, environment: str = "") -> EngineUnit:
    add_release(root, "r1", {"tiny": environment})
    return EngineUnit.read(root=root, release=root / "current", name="tiny")


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="not a served model's name"):
        EngineUnit.read(root=tmp_path, release=tmp_path, name="../x")


def test_values_are_literal() -> None:
    assert parse_environment("A=$HOME #x\nB=\n", Path("e")) == {"A": "$HOME #x", "B": ""}


def test_the_command_names_the_release_and_not_the_link(tmp_path: Path) -> None:
    assert unit_of(tmp_path).command == (
        f"{tmp_path}/builds/b1/venv/bin/vllm",
        "serve",
        "--config",
        f"{tmp_path}/releases/r1/engines/tiny.yaml",
    )


def test_timeouts_come_from_the_engines_environment(tmp_path: Path) -> None:
    unit = unit_of(tmp_path, "AXION_STOP_TIMEOUT_S=7.5\n")
    assert (unit.stop_timeout_s, unit.load_timeout_s) == (7.5, 1800.0)


def test_a_timeout_that_is_no_number_is_refused_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="AXION_STOP_TIMEOUT_S: not a number of seconds, got 'soon'"):
        unit_of(tmp_path, "AXION_STOP_TIMEOUT_S=soon\n")


def test_only_a_socket_is_removed_as_stale(tmp_path: Path) -> None:
    unit = unit_of(tmp_path)
    unit.prepare()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(unit.socket))
    unit.remove_socket()
    assert not unit.socket.exists()
    other = dataclasses.replace(unit, name="other")
    other.socket.write_text("a file")
    other.remove_socket()
    assert other.socket.read_text() == "a file"


@pytest.mark.parametrize("rest", [{}, {"schema": "axion.release/9", "units": {"tiny": "u", "more": [1]}, "files": 7}])
def test_an_engine_starts_whatever_else_its_release_says(tmp_path: Path, rest: dict[str, Any]) -> None:
    release = add_release(tmp_path, "r1", {"tiny": ""})
    (release / "release.json").write_text(json.dumps({"units": {"tiny": "u"}, **rest}))
    assert EngineUnit.read(root=tmp_path, release=release, name="tiny").unit_digest == "u"


@pytest.mark.parametrize("said", ["", "[" * 100_000, "7", '{"units": []}', '{"units": {"other": "u"}}', b"\xff"])
def test_a_release_that_does_not_name_the_engine_is_refused(tmp_path: Path, said: str | bytes) -> None:
    release = add_release(tmp_path, "r1", {"tiny": ""})
    (release / "release.json").write_bytes(said if isinstance(said, bytes) else said.encode())
    with pytest.raises(LaunchError, match=r"release\.json: no units\.tiny in it\. Deploy the release again\."):
        EngineUnit.read(root=tmp_path, release=release, name="tiny")


def test_an_environment_that_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    release = add_release(tmp_path, "r1", {"tiny": ""})
    (release / "engines" / "tiny.env").write_bytes(b"A=\xff\n")
    with pytest.raises(LaunchError, match=r"tiny\.env: no UTF-8, got b'\\xff' in it\. Deploy the release again\."):
        EngineUnit.read(root=tmp_path, release=release, name="tiny")
