"""What systemd hears while an engine loads."""

import socket
import time
from pathlib import Path

import pytest

from agent import notify


def test_systemd_is_told_once_when_the_engine_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        answers = iter([False, False, True])
        readiness = notify.Readiness(
            address=tmp_path / "x.sock",
            load_timeout_s=100,
            is_healthy=lambda _: next(answers),
            started=time.monotonic(),
        )
        for _ in range(5):
            readiness.tick()
        assert systemd.recv(200) == b"STATUS=loading for 0 s\nEXTEND_TIMEOUT_USEC=60000000"
        assert systemd.recv(200) == b"READY=1\nSTATUS=ready after 0 s"
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(200)


def test_a_load_that_takes_too_long_gets_no_more_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(notify, "send", sent.append)
    readiness = notify.Readiness(
        address=tmp_path / "x", load_timeout_s=100, is_healthy=lambda _: False, started=time.monotonic() - 101
    )
    readiness.tick()
    assert sent == []


def test_an_engine_that_is_ready_is_left_to_the_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "send", lambda _: None)
    watched: list[str] = []
    readiness = notify.Readiness(
        address=tmp_path / "x", load_timeout_s=100, is_healthy=lambda _: True, watch=lambda: watched.append("look")
    )
    readiness.tick()
    assert watched == []
    readiness.tick()
    readiness.tick()
    assert watched == ["look", "look"]


def test_a_manager_that_does_not_read_holds_up_nobody_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "SEND_TIMEOUT_S", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for _ in range(600):  # more than any queue of datagrams holds
            notify.send("WATCHDOG=1")
    notify.send("WATCHDOG=1")  # nor does one that is gone
