"""`fab usage`: what gateways wrote down, read by the real agent, as a table and for programs."""

import json
import sys
from pathlib import Path

import pytest

from agent.usage import BELOW_ROOT, UsageRow, add
from build.cli.usage import usage
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target

ALICE = UsageRow(key="alice", model="alpha", requests=2, errors=1, prompt_tokens=30, completion_tokens=400)
BOB = UsageRow(key="bob", model="alpha", requests=1, prompt_tokens=5, completion_tokens=6, estimated=1)


def host(root: Path, name: str = "main") -> Host:
    return Host(Target(name=name, root=str(root), runner="systemd", python=sys.executable), LocalExecutor(), Reporter())


def test_a_table_adds_the_days_up_by_key_and_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for day, rows in (("2026-01-30", [ALICE]), ("2026-02-01", [ALICE, BOB])):
        add(tmp_path / BELOW_ROOT, day, rows)
    usage([host(tmp_path)], json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["key", "model", "requests", "errors", "prompt", "tokens", "completion", "tokens", "estimated"],
        ["alice", "alpha", "4", "2", "60", "800", "0"],
        ["bob", "alpha", "1", "0", "5", "6", "1"],
        ["2026-01-30", "to", "2026-02-01", "(UTC)"],
    ]


def test_programs_get_the_days_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(tmp_path / BELOW_ROOT, "2026-01-30", [BOB])
    usage([host(tmp_path)], json=True)
    row = {
        "key": "bob", "model": "alpha", "requests": 1, "errors": 0, "prompt_tokens": 5, "completion_tokens": 6,
        "estimated": 1,
    }  # fmt: skip
    assert json.loads(capsys.readouterr().out) == {
        "since": "2026-01-30", "until": "2026-01-30", "total": [row], "days": {"2026-01-30": [row]},
    }  # fmt: skip


def test_a_host_without_any_says_so_and_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usage([host(tmp_path)], json=False)
    assert capsys.readouterr().out == (
        "No usage is kept here. It begins with the first request that comes with a key.\n"
    )
    (tmp_path / BELOW_ROOT).mkdir(parents=True)
    (tmp_path / BELOW_ROOT / "2026-01-30.json").write_text("{")
    usage([host(tmp_path)], json=False)
    assert f"{tmp_path}/state/gateway/usage/2026-01-30.json: axion.usage-day/1: no JSON" in capsys.readouterr().err
