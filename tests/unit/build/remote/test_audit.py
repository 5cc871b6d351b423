"""The audit log after what happens to files: half a line, NUL bytes, an editor, no room, no right."""

import fcntl
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fabric.main import program

from agent.protocol import AuditLine, AuditLog
from build.cli.lock import _print_history
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.lock import history, host_lock, unlock
from build.remote.target import Target

ONE: dict[str, Any] = {
    "at": "2026-11-30T08:00:00Z",
    "who": "a@b",
    "what": "fab stop",
    "release": None,
    "outcome": "done",
}
"""As lines were before they named a schema."""
LINE = AuditLine(**ONE)
WHOLE = json.dumps(ONE).encode() + b"\n"
TORN = {
    "half a line": (WHOLE[:40], 1),
    "half a letter": (b'{"at": "2026", "who": "J\xc3', 1),
    "NUL bytes": (b"\0" * 4096, 1),
    "NUL bytes behind half a line": (WHOLE[:40] + b"\0" * 512, 1),
    "several": (WHOLE[:40] + b"\n" + WHOLE[:9] + b"\n" + b"\0\0", 3),
    "not UTF-8": (b"\xff\xfe\xfd", 1),
    "a list": (b"[1, 2]", 1),
    "a number": (b"7", 1),
    "null": (b"null", 1),
    "keys missing": (b'{"at": "2026-11-30T08:00:00Z"}', 1),
    "values of another kind": (b'{"at": 1, "who": [], "what": {}, "outcome": null}', 1),
    "a release that is none": (WHOLE[:-2].replace(b"null", b"[1]") + b"}", 1),
    "a newer version's": (b'{"schema": "axion.audit/2", "at": "later"}', 1),
    "too deep": (b"[" * 100_000, 1),
    "too long a number": (b"9" * 5000, 1),
    "blank lines": (b"\n \n\n", 0),
    "only the newline is missing": (WHOLE[:-1], 0),
    "nothing": (b"", 0),
}


def host_at(root: Path) -> Host:
    target = Target(name="main", root=str(root), runner="supervisor", python=sys.executable)
    return Host(target, LocalExecutor(), Reporter())


def audit_log(root: Path, text: bytes) -> Path:
    path = root / "logs" / "audit.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path


def outcomes(log: AuditLog) -> list[str]:
    return [line.outcome for line in log.lines]


@pytest.mark.parametrize(("end", "torn"), TORN.values(), ids=TORN.keys())
def test_a_torn_end_is_skipped_and_the_next_line_is_whole(end: bytes, torn: int, tmp_path: Path) -> None:
    path, host = audit_log(tmp_path, WHOLE + end), host_at(tmp_path)
    before = history(host)
    assert (before.lines[0], before.torn) == (LINE, torn)
    with host_lock(host, "fab restart alpha"):
        pass
    after = history(host)
    assert (after.lines[:-1], after.torn) == (before.lines, torn)
    assert (after.lines[-1].what, after.lines[-1].outcome) == ("fab restart alpha", "done")
    assert path.read_bytes().startswith(WHOLE + end)


def test_a_line_of_a_newer_version_is_shown_for_what_is_known_of_it(tmp_path: Path) -> None:
    newer = WHOLE.replace(b"axion.audit/1", b"axion.audit/2").replace(b"{", b'{"ticket": 7, ', 1)
    assert newer != WHOLE
    audit_log(tmp_path, WHOLE + newer)
    assert history(host_at(tmp_path)) == AuditLog(lines=(LINE, LINE), torn=0)


def test_a_torn_beginning_hides_nothing_that_follows(tmp_path: Path) -> None:
    audit_log(tmp_path, b"\0" * 700 + WHOLE + WHOLE[:50] + b"\n" + WHOLE)
    assert history(host_at(tmp_path)) == AuditLog(lines=(LINE, LINE), torn=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("where", ["a directory", "a full disk", "logs is a file"])
def test_a_log_that_cannot_be_written_stops_no_change(where: str, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    if where == "a directory":
        path.mkdir(parents=True)
    elif where == "a full disk":
        path.parent.mkdir()
        path.symlink_to("/dev/full")
    else:
        path.parent.write_text("")
    done = False
    with pytest.raises(DeployError) as caught, host_lock(host_at(tmp_path), "fab restart alpha"):
        done = True
    assert done
    said = {"a directory": "Is a directory", "a full disk": "No space left on device", "logs is a file": "File exists"}
    assert "`fab restart alpha` is not in the audit log, got [Errno " in caught.value.problems[-1]
    assert said[where] in caught.value.problems[-1]


def test_a_log_that_cannot_be_read_is_told_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    path.mkdir(parents=True)
    with pytest.raises(DeployError) as caught:
        history(host_at(tmp_path))
    assert f"{path}: cannot be read: Is a directory. Move it away; the next change begins" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_history_prints_what_there_is_and_how_much_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AXION_LOCAL_ROOT", str(tmp_path))
    audit_log(tmp_path, WHOLE + WHOLE[:30] + b"\n" + b"\0\n")
    root = f"--search-root={Path(__file__).parents[4]}"
    program.run(["fab", root, "history", "--json"], exit=False)
    out, err = capsys.readouterr()
    assert json.loads(out) == [{**ONE, "began": None}]
    assert err == (
        "this computer: 2 lines of its audit log cannot be read, as a power cut leaves them, and are left out.\n"
    )


def test_an_outcome_that_quotes_brackets_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    _print_history([replace(LINE, outcome="failed: restart: not deployed: [/x]")])
    assert "not deployed: [/x]" in capsys.readouterr().out


HOLDERS: dict[str, Any] = {
    "empty": b"",
    "half": b'{"who": "a@',
    "NUL bytes": b"\0" * 64,
    "not UTF-8": b"\xff\xff",
    "a list": b"[]",
    "keys missing": b'{"pid": 1}',
    "values of another kind": b'{"who": 1, "what": [], "since": null, "pid": "one"}',
}


@pytest.mark.parametrize("text", HOLDERS.values(), ids=HOLDERS.keys())
def test_a_lock_file_that_says_nothing_is_named_as_far_as_it_is_known(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state" / "deploy.lock"
    path.parent.mkdir()
    path.write_bytes(text)
    lock = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = unlock(host_at(tmp_path), is_really=False)
    finally:
        os.close(lock)
    assert held is not None
    assert (held.who, held.what, held.since) == ("somebody unknown", "something unknown", "?")
