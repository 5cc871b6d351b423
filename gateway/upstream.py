"""One engine behind the gateway: its Unix socket, its state, and the loop that keeps the state true."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.config import Timeouts
from gateway.errors import (
    ApiError,
    model_loading,
    model_restarting,
    model_unreachable,
    upstream_failed,
    upstream_timed_out,
)
from gateway.events import log_event, log_failure
from gateway.probe import Finding, Standing, State, next_standing

IDLE_CONNECTION_S = 2.0
"""Below the 5 s after which uvicorn closes an idle connection, so that no request is sent into a closing one."""
ORIGIN = "http://engine"
"""The Host that engines see; which one is meant is decided by the socket."""

SocketIdentity = tuple[int, int, int]


class Upstream:
    """An engine process reached through its socket. Belongs to one event loop; start() before use."""

    def __init__(self, name: str, socket: Path, timeouts: Timeouts) -> None:
        self.name = name
        self.socket = socket
        self.timeouts = timeouts
        self.standing = Standing()
        self.since = 0.0
        self.max_model_len: int | None = None
        self.last_error: str | None = None
        self.was_probed = asyncio.Event()
        self._ready_socket: SocketIdentity | None = None
        self._session: aiohttp.ClientSession | None = None
        self._prober: asyncio.Task[None] | None = None
        self._leases = 0
        self._is_retired = False

    @property
    def state(self) -> State:
        """What the engine can be asked at present."""
        return self.standing.state

    def start(self) -> None:
        """Open the connection pool and begin to probe."""
        self.since = asyncio.get_running_loop().time()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(self.socket), limit=0, keepalive_timeout=IDLE_CONNECTION_S),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept"),
        )
        self._prober = asyncio.create_task(self._probe_forever(), name=f"probe {self.name}")

    async def retire(self) -> None:
        """Stop probing now, and close the connections as soon as the last lease ends."""
        self._is_retired = True
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.wait([self._prober])
        if not self._leases:
            await self._close()

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[None]:
        """Keep the connections open for one request, also when the engine leaves the configuration meanwhile."""
        self._leases += 1
        try:
            yield
        finally:
            self._leases -= 1
            if self._is_retired and not self._leases:
                await self._close()

    def refusal(self) -> ApiError | None:
        """Return why the engine cannot be asked now, None if it can."""
        match self.state:
            case State.READY:
                return None
            case State.LOADING:
                return model_loading(self.name)
            case State.DRAINING:
                return model_restarting(self.name)
            case State.UNREACHABLE:
                return model_unreachable(self.name)

    async def post(self, path_and_query: str, body: bytes, headers: CIMultiDict[str]) -> aiohttp.ClientResponse:
        """Send a request once and return the answer's head; the caller closes it.

        Never repeated: a socket that refuses has no listener, and after anything else the engine may
        already be generating. Raises ApiError. Cancellation closes the connection.
        """
        assert self._session is not None, "an upstream is started before it is asked"
        try:
            return await self._session.post(
                URL(ORIGIN + path_and_query, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timeouts.connect_s),
            )
        except aiohttp.ClientConnectorError as error:
            self.note(error)
            self._enter(next_standing(self.standing, self._why_not_connected(error), held_s=self._held_s()))
            raise upstream_failed(self.name) from error
        except aiohttp.ServerTimeoutError as error:
            self.note(error)
            raise upstream_timed_out(self.name) from error
        except (aiohttp.ClientError, OSError) as error:
            self.note(error)
            raise upstream_failed(self.name) from error

    def note(self, error: BaseException | str) -> None:
        """Remember what went wrong last, for /stats."""
        self.last_error = error if isinstance(error, str) else f"{type(error).__name__}: {error}"

    def mark_draining(self) -> None:
        """The engine refused work because it is shutting down, whatever its /health says."""
        self._enter(Standing(state=State.DRAINING))

    async def probe(self) -> None:
        """Look once and update the state."""
        finding = await self._look()
        self._enter(next_standing(self.standing, finding, held_s=self._held_s()))

    async def _probe_forever(self) -> None:
        while True:
            try:
                before = self.state
                await self.probe()
                if self.state is State.READY and (before is not State.READY or self.max_model_len is None):
                    await self._learn()
            except Exception:  # the loop is what brings an engine back: it must outlive a bug
                log_failure("upstream.probe_failed", model=self.name)
            self.was_probed.set()
            await asyncio.sleep(self.timeouts.probe_interval_s)

    async def _look(self) -> Finding:
        assert self._session is not None
        try:
            async with (
                asyncio.timeout(self.timeouts.probe_s),
                self._session.get(f"{ORIGIN}/health", allow_redirects=False) as answer,
            ):
                await answer.read()
        except aiohttp.ClientConnectorError as error:
            return self._why_not_connected(error)
        except (TimeoutError, aiohttp.ClientError, OSError):
            return Finding.SILENT
        identity = _identity(self.socket)
        if answer.status == 200:
            self._ready_socket = identity
            return Finding.HEALTHY
        return Finding.REPLACED if self._is_new(identity) else Finding.UNHEALTHY

    def _why_not_connected(self, error: aiohttp.ClientConnectorError) -> Finding:
        if isinstance(error.os_error, FileNotFoundError):
            return Finding.ABSENT
        return Finding.REPLACED if self._is_new(_identity(self.socket)) else Finding.REFUSED

    def _is_new(self, identity: SocketIdentity | None) -> bool:
        return identity is not None and identity != self._ready_socket

    async def _learn(self) -> None:
        """Ask a newly ready engine what it serves; an engine that does not say is served all the same."""
        assert self._session is not None
        try:
            async with asyncio.timeout(self.timeouts.probe_s), self._session.get(f"{ORIGIN}/v1/models") as answer:
                cards = (await answer.json())["data"]
            served = {card["id"]: card.get("max_model_len") for card in cards}
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.note(error)
            return
        if self.name not in served:
            log_event("upstream.name_mismatch", model=self.name, serves=",".join(map(str, served)))
        length = served.get(self.name)
        self.max_model_len = length if isinstance(length, int) else 0

    def _held_s(self) -> float:
        return asyncio.get_running_loop().time() - self.since

    def _enter(self, standing: Standing) -> None:
        before, self.standing = self.state, standing
        if standing.state is not before:
            self.since = asyncio.get_running_loop().time()
            log_event(f"upstream.{standing.state}", model=self.name, was=before, last_error=self.last_error)

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _identity(socket: Path) -> SocketIdentity | None:
    """Tell one socket file from its successor on the same path."""
    try:
        found = socket.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_ctime_ns)
