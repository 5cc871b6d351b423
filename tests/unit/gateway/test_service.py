"""The gateway as systemd runs it: on sockets that it was given, announced, watched, and replaced without a gap."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway.server import stop_accepting
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_stage import CHAT, ROOT, config_json

# What systemd does between fork and exec: the socket becomes descriptor 3, and the variables name this very process.
GIVEN = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", WATCHDOG_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "gateway", "--config", sys.argv[2]])
"""


class Service:
    """A gateway process, and what it has told its manager."""

    def __init__(self, child: asyncio.subprocess.Process, manager: socket.socket) -> None:
        self.child = child
        self.manager = manager

    async def said(self, message: str) -> None:
        """Wait for a message, whatever comes before it."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(15):
            while message not in (await loop.sock_recv(self.manager, 200)).decode().splitlines():
                pass


@contextlib.asynccontextmanager
async def service(directory: Path, name: str, listener: socket.socket) -> AsyncIterator[Service]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(directory / name))
        manager.setblocking(False)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", GIVEN, str(listener.fileno()), str(directory / "gateway.json")),
            cwd=ROOT,
            env=os.environ | {"NOTIFY_SOCKET": str(directory / name), "WATCHDOG_USEC": "300000"},
            pass_fds=(listener.fileno(),),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield Service(child, manager)
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def backlog_of(listener: socket.socket) -> int:
    """How many connections may wait there: tcpi_sacked of a listening socket's struct tcp_info."""
    (backlog,) = struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 28)
    return int(backlog)


async def test_the_manager_hears_of_the_start_of_every_while_and_of_the_end(tmp_path: Path) -> None:
    (tmp_path / "gateway.json").write_bytes(config_json(tmp_path, "a"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        async with service(tmp_path, "manager", listener) as gateway:
            await gateway.said("READY=1")
            assert backlog_of(listener) == min(4096, int(Path("/proc/sys/net/core/somaxconn").read_text()))
            await gateway.said("WATCHDOG=1")
            await gateway.said("WATCHDOG=1")
            gateway.child.send_signal(signal.SIGTERM)
            await gateway.said("STOPPING=1")
            assert await asyncio.wait_for(gateway.child.wait(), 10) == 0


async def test_a_client_that_has_connected_and_not_asked_yet_is_waited_for(tmp_path: Path) -> None:
    """On a busy machine seconds pass between the two, and a closed connection would be a failed request."""
    (tmp_path / "gateway.json").write_bytes(config_json(tmp_path, "a"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        async with service(tmp_path, "manager", listener) as gateway:
            await gateway.said("READY=1")
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await asyncio.sleep(0.5)
            gateway.child.send_signal(signal.SIGTERM)
            await gateway.said("STOPPING=1")
            await asyncio.sleep(2.5)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Connection: close\r\n" in answer
            assert await asyncio.wait_for(gateway.child.wait(), 10) == 0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_a_connection_accepted_in_the_turn_of_the_end_is_answered(turns: int) -> None:
    """asyncio accepts in one turn and makes the connection in the next: a server closed in between drops it."""

    async def hello(request: web.BaseRequest) -> web.Response:
        return web.Response(text="hello")

    runner = web.ServerRunner(web.Server(hello))
    await runner.setup()
    with socket.socket() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        listener.setblocking(False)
        given = listener.dup()
        site = web.SockSite(runner, given)
        await site.start()
        client.connect(listener.getsockname())
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for _ in range(turns):
            await asyncio.sleep(0)
        await stop_accepting([site], [given])
        with contextlib.suppress(BlockingIOError):  # not accepted: the next gateway's
            next_gateway, _ = listener.accept()
            next_gateway.sendall(b"left alone")
            next_gateway.close()
        client.setblocking(False)
        answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1000), 5)
        assert answer.endswith((b"hello", b"left alone"))
    await runner.cleanup()


async def test_a_second_gateway_on_the_same_socket_takes_over_without_losing_a_request(tmp_path: Path) -> None:
    (tmp_path / "gateway.json").write_bytes(config_json(tmp_path, "a"))
    outcomes: list[object] = []
    is_over = asyncio.Event()

    async def ask(session: aiohttp.ClientSession) -> None:
        while not is_over.is_set():
            try:
                async with session.post(CHAT, json={"model": "a", "stream": True}) as answer:
                    body = await answer.read()
                    is_whole = answer.status == 200 and body.endswith(b"data: [DONE]\n\n")
                    outcomes.append("whole" if is_whole else (answer.status, body))
            except aiohttp.ClientError as error:
                outcomes.append(repr(error))

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            running(FakeEngine(name="a", tokens=5, token_delay_s=0.01), tmp_path / "a.sock"),
            service(tmp_path, "one", listener) as first,
            aiohttp.ClientSession(origin) as session,
        ):
            await first.said("READY=1")
            clients = [asyncio.create_task(ask(session)) for _ in range(8)]
            async with service(tmp_path, "two", listener) as second:
                await second.said("READY=1")
                first.child.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(first.child.wait(), 15) == 0
                before = len(outcomes)
                while len(outcomes) < before + 20:
                    await asyncio.sleep(0.01)
                is_over.set()
                await asyncio.gather(*clients)
    assert len(outcomes) > 20
    assert set(outcomes) == {"whole"}
