"""The gateway as a process: how it starts, what signals do to it, and how it ends."""

import asyncio
import contextlib
import json
import logging
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from gateway.events import Event, Lines
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_sse import strict_events
from tests.unit.gateway.test_stage import CHAT, ROOT, config_json

BOUND_S = 30.0
"""What takes under a second; a busy machine may need more."""


@dataclass
class Process:
    """A gateway process and what it has logged so far."""

    child: asyncio.subprocess.Process
    log: list[str] = field(default_factory=list)
    port: int = 0

    async def logged(self, event: str) -> str:
        """Wait for an event in the log and return its line."""
        assert self.child.stderr is not None
        while not (found := [line for line in self.log if f"event={event}" in line]):
            line = await asyncio.wait_for(self.child.stderr.readline(), BOUND_S)
            assert line, "".join(self.log)
            self.log.append(line.decode())
        return found[-1]

    async def ended(self) -> int:
        """Wait for the end and return the exit code."""
        assert self.child.stderr is not None
        self.log.append((await asyncio.wait_for(self.child.stderr.read(), BOUND_S)).decode())
        return await self.child.wait()


STARTED: list[asyncio.subprocess.Process] = []


@pytest.fixture(autouse=True)
async def no_process_outlives_its_test() -> AsyncIterator[None]:
    """A test that failed would leave its gateway to look for an engine for good."""
    yield
    while STARTED:
        child = STARTED.pop()
        if child.returncode is None:
            child.kill()
            await child.wait()


async def started(*command: str, pass_fds: Sequence[int] = ()) -> Process:
    child = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stderr=asyncio.subprocess.PIPE, pass_fds=pass_fds
    )  # fmt: skip
    STARTED.append(child)
    return Process(child)


async def spawn(*arguments: str) -> Process:
    return await started(sys.executable, "-m", "gateway", *arguments)


@contextlib.asynccontextmanager
async def gateway_process(config: Path) -> AsyncIterator[tuple[Process, aiohttp.ClientSession]]:
    process = await spawn("--config", str(config))
    try:
        line = await process.logged("gateway.listening")
        match = re.search(r"addresses=127\.0\.0\.1:(\d+)", line)
        assert match
        process.port = int(match[1])
        async with aiohttp.ClientSession(f"http://127.0.0.1:{process.port}") as session:
            yield process, session
    finally:
        if process.child.returncode is None:
            process.child.kill()
            await process.child.wait()


def write_config(directory: Path, *names: str, **timeouts: float) -> Path:
    path = directory / "gateway.json"
    path.write_bytes(config_json(directory, *names, timeouts=timeouts))
    return path


async def refuses_connections(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_sigterm_lets_requests_finish_and_exits_with_0(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=10, token_delay_s=0.05)
    async with (
        running(engine, tmp_path / "a.sock"),
        gateway_process(write_config(tmp_path, "a")) as (process, session),
    ):
        async with session.get("/readyz") as ready:
            assert ready.status == 200
        async with session.post(CHAT, json={"model": "a", "stream": True}) as answer:
            async with session.get("/livez"):  # leaves a second connection in the client's pool
                pass
            process.child.send_signal(signal.SIGTERM)
            await process.logged("gateway.draining")
            assert await refuses_connections(process.port)
            async with session.get("/readyz") as ready:
                assert ready.status == 503
                assert ready.headers["Connection"] == "close"
            assert await answer.read() == engine.received[0].sent
        assert await process.ended() == 0
    assert "event=gateway.stopped" in process.log[-1]


async def test_a_new_request_on_an_old_connection_is_answered_while_draining_and_told_to_leave(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=10, token_delay_s=0.05)
    async with (
        running(engine, tmp_path / "a.sock"),
        gateway_process(write_config(tmp_path, "a")) as (process, session),
        session.post(CHAT, json={"model": "a", "stream": True}) as answer,
    ):
        async with session.get("/livez"):
            pass
        process.child.send_signal(signal.SIGTERM)
        await process.logged("gateway.draining")
        async with session.post(CHAT, json={"model": "a"}) as late:
            assert (late.status, late.headers["Connection"]) == (200, "close")
        await answer.read()
        assert await process.ended() == 0


@pytest.mark.parametrize("second_signal", [False, True])
async def test_what_outlasts_the_drain_is_cut_with_an_error_event(tmp_path: Path, second_signal: bool) -> None:
    engine = FakeEngine(name="a", tokens=1000, token_delay_s=0.02)
    config = write_config(tmp_path, "a", drain_s=30 if second_signal else 0.2)
    async with running(engine, tmp_path / "a.sock"), gateway_process(config) as (process, session):
        whole = asyncio.create_task(session.post(CHAT, json={"model": "a"}))
        async with session.post(CHAT, json={"model": "a", "stream": True}) as answer:
            started = time.monotonic()
            process.child.send_signal(signal.SIGTERM)
            await process.logged("gateway.draining")
            if second_signal:
                process.child.send_signal(signal.SIGTERM)
            body = await answer.read()
        assert json.loads(strict_events(body)[-1][1])["error"]["code"] == "server_draining"
        assert (await whole).status == 503
        assert await process.ended() == 0
        assert time.monotonic() - started < 2
        assert all(received.cancelled_at for received in engine.received)


async def test_sighup_reads_the_file_again_and_a_bad_file_is_survived(tmp_path: Path) -> None:
    async with (
        running(FakeEngine(name="a"), tmp_path / "a.sock"),
        running(FakeEngine(name="b"), tmp_path / "b.sock"),
        gateway_process(write_config(tmp_path, "a")) as (process, session),
    ):
        path = write_config(tmp_path, "a", "b")
        process.child.send_signal(signal.SIGHUP)
        await process.logged("gateway.reloaded")
        async with session.post(CHAT, json={"model": "b"}) as answer:
            assert answer.status == 200
        path.write_text("{")
        process.child.send_signal(signal.SIGHUP)
        assert "gateway.json: line 1 column 2: not JSON" in await process.logged("gateway.reload_refused")
        path.write_bytes(config_json(tmp_path, "a", listen=[{"port": 1}]))
        process.child.send_signal(signal.SIGHUP)
        await process.logged("gateway.restart_needed")
        async with session.post(CHAT, json={"model": "b"}) as answer:
            assert answer.status == 404
        process.child.send_signal(signal.SIGINT)
        assert await process.ended() == 0


async def test_a_bad_file_ends_the_start_with_every_reason_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "gateway.json"
    path.write_text('{"listen": [{"port": 99999}], "models": []}')
    process = await spawn("--config", str(path))
    assert await process.ended() == 1
    assert process.log[0].splitlines() == [
        "gateway.json: listen.0.port: input should be less than or equal to 65535, got 99999. Correct it.",
        "gateway.json: default_model: field required, got nothing. Add it.",
        "gateway.json: models: tuple should have at least 1 item after validation, not 0, got []. Correct it.",
    ]


async def test_a_gateway_that_other_machines_can_reach_starts_only_with_keys_or_a_word_that_says_so(
    tmp_path: Path,
) -> None:
    config = str(write_config(tmp_path, "a"))
    for host in ("0.0.0.0", "::"):
        process = await spawn("--config", config, "--host", host)
        assert await process.ended() == 1
        assert process.log == [
            f"listen: other machines can reach it, got {host}, and no keys are asked for. Give --keys, or listen on "
            "127.0.0.1; where a network of your own keeps strangers out, say so: gateway.open: true.\n"
        ]
    opened = tmp_path / "open.json"
    opened.write_bytes(config_json(tmp_path, "a", open=True))
    for words in (("--config", str(opened)), ("--config", config, "--keys", str(tmp_path / "not-there-yet"))):
        process = await spawn(*words, "--host", "0.0.0.0")
        assert "addresses=0.0.0.0:" in await process.logged("gateway.listening")
        process.child.terminate()
        assert await process.ended() == 0


async def test_a_port_in_use_ends_the_start_with_its_address(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await spawn("--config", str(write_config(tmp_path, "a")), "--port", str(port))
        assert await process.ended() == 1
    assert process.log == [
        f"listen: 127.0.0.1:{port}: cannot be listened on: Address already in use. "
        "Free the address or choose another one.\n"
    ]


async def test_sockets_that_systemd_opened_are_served(tmp_path: Path) -> None:
    as_systemd_does = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "os.execv(sys.executable, [sys.executable, '-m', 'gateway', '--config', sys.argv[2]])"
    )
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        port, number = opened.getsockname()[1], opened.fileno()
        command = (sys.executable, "-c", as_systemd_does, str(number), str(write_config(tmp_path, "a")))
        process = await started(*command, pass_fds=[number])
    assert f"addresses=127.0.0.1:{port} " in await process.logged("gateway.listening")
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/livez") as answer:
        assert answer.status == 200
    process.child.send_signal(signal.SIGTERM)
    assert await process.ended() == 0


async def test_it_starts_within_a_second_though_no_engine_is_there(tmp_path: Path) -> None:
    started = time.monotonic()
    async with gateway_process(write_config(tmp_path, "a")) as (process, session), session.get("/readyz") as answer:
        took_s = time.monotonic() - started
        assert answer.status == 503
        process.child.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
    assert took_s < 3, "1 s on a quiet machine; the margin is for a busy one"


async def test_the_log_is_json_where_the_configuration_says_so_and_text_again_after_a_reload(tmp_path: Path) -> None:
    config = tmp_path / "gateway.json"
    config.write_bytes(config_json(tmp_path, "a", log_format="json"))
    process = await spawn("--config", str(config))
    try:
        assert process.child.stderr is not None
        line = json.loads(await asyncio.wait_for(process.child.stderr.readline(), 10))
        assert {key: line[key] for key in ("level", "event")} == {"level": "INFO", "event": "gateway.listening"}
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
        port = int(line["addresses"].rpartition(":")[2])
        asked = {"model": "a", "messages": [{"content": "my secret"}]}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{port}{CHAT}", json=asked) as answer,
        ):
            assert answer.status == 503
        lines = [json.loads(await asyncio.wait_for(process.child.stderr.readline(), 10)) for _ in range(1)]
        (request,) = (each for each in lines if each["event"] == "request")
        assert {key: request[key] for key in ("route", "model", "status", "error", "cancelled")} == {
            "route": CHAT,
            "model": "a",
            "status": 503,
            "error": "model_loading",
            "cancelled": False,
        }
        assert "my secret" not in str(lines)
        config.write_bytes(config_json(tmp_path, "a"))
        process.child.send_signal(signal.SIGHUP)
        said = json.loads(await asyncio.wait_for(process.child.stderr.readline(), 10))
        assert said["event"] == "gateway.reloaded"
        process.child.terminate()
        assert " level=INFO event=gateway.draining " in (await process.child.stderr.read()).decode()
    finally:
        if process.child.returncode is None:
            process.child.kill()
        await process.child.wait()


def test_a_bug_has_its_traceback_in_the_same_object_and_others_have_their_message() -> None:
    lines = Lines()
    lines.is_json = True
    try:
        raise KeyError("x")
    except KeyError:
        record = logging.LogRecord(
            "gateway", logging.ERROR, "f", 1, "%s", (Event("e", {"a": None, "b": 1.5}),), sys.exc_info()
        )
    said = json.loads(lines.format(record))
    assert said["traceback"].endswith("KeyError: 'x'")
    assert {key: said[key] for key in said if key not in ("time", "traceback")} == {
        "level": "ERROR",
        "event": "e",
        "b": 1.5,
    }
    other = logging.LogRecord("asyncio", logging.WARNING, "f", 1, "slow %s", ("callback",), None)
    assert json.loads(lines.format(other)) | {"time": ""} == {
        "time": "",
        "level": "WARNING",
        "event": "asyncio",
        "message": "slow callback",
    }
