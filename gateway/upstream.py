"""One engine behind the gateway: its Unix socket, its state, and the loop that keeps the state true."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from agent.stop_marker import EngineFiles
from gateway.config import Timeouts
from gateway.errors import (
    ApiError,
    EngineLeavingError,
    model_loading,
    model_restarting,
    model_unreachable,
    upstream_failed,
    upstream_timed_out,
)
from gateway.events import log_event, log_failure
from gateway.probe import EngineState, ProbeResult, State, next_state

IDLE_CONNECTION_S = 2.0
"""Below the 5 s after which uvicorn closes an idle connection, so that no request is sent into a closing one."""
ORIGIN = "http://engine"
"""The Host that engines see; which one is meant is decided by the socket."""


class Upstream:
    """An engine process behind its socket. Belongs to one event loop; start() before use."""

    def __init__(self, name: str, socket: Path, timeouts: Timeouts) -> None:
        self.name = name
        self.socket = socket
        self.timeouts = timeouts
        self.engine_state = EngineState()
        self.since = 0.0
        self.max_model_len: int | None = None
        self.last_error: str | None = None
        self.was_probed = asyncio.Event()
        self._files = EngineFiles(socket)
        self._has_announced = False
        self._changed = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None
        self._prober: asyncio.Task[None] | None = None
        self._leases = 0
        self._is_retired = False

    @property
    def state(self) -> State:
        """What the engine can be asked at present."""
        return self.engine_state.state

    @property
    def is_restarting(self) -> bool:
        """Whether the engine was ready, ends or has ended on purpose, and is expected back."""
        return self._has_announced and self.state in (State.DRAINING, State.LOADING) and not self._is_retired

    async def changed(self) -> None:
        """Wait until the state is another one."""
        await self._changed.wait()

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
        self._tell()
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

    async def post(
        self, path_and_query: str, body: bytes, headers: CIMultiDict[str], *, method: str = "POST"
    ) -> aiohttp.ClientResponse:
        """Send a request once and return the answer's head; the caller closes it.

        Raises EngineLeavingError when the engine has done nothing: nobody listened, or it broke off after it was told
        to end, when it finishes what it has begun. Raises ApiError after anything else: it may already be generating,
        and is not asked again. Cancellation closes the connection.
        """
        assert self._session is not None, "an upstream is started before it is asked"
        try:
            return await self._session.request(
                method,
                URL(ORIGIN + path_and_query, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timeouts.connect_s),
            )
        except aiohttp.ClientConnectorError as error:
            self.note(error)
            self._enter(next_state(self.engine_state, self._why_not_connected(error), lasted_s=self.lasted_s()))
            raise EngineLeavingError(upstream_failed(self.name)) from error
        except aiohttp.ServerTimeoutError as error:
            self.note(error)
            raise upstream_timed_out(self.name) from error
        except (aiohttp.ClientError, OSError) as error:
            self.note(error)
            if self._files.is_told_to_end:
                self._has_announced = True
                self._enter(next_state(self.engine_state, ProbeResult.LEAVING, lasted_s=self.lasted_s()))
                raise EngineLeavingError(upstream_failed(self.name)) from error
            raise upstream_failed(self.name) from error

    def note(self, error: BaseException | str) -> None:
        """Remember what went wrong last, for /stats."""
        self.last_error = error if isinstance(error, str) else f"{type(error).__name__}: {error}"

    def mark_draining(self) -> None:
        """The engine refused work because it is shutting down, whatever its /health says."""
        self._has_announced = True
        self._enter(EngineState(state=State.DRAINING))

    async def probe(self) -> None:
        """Look once and update the state."""
        result = await self._look()
        self._enter(next_state(self.engine_state, result, lasted_s=self.lasted_s()))

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

    async def _look(self) -> ProbeResult:
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
            return self._unless_announced(ProbeResult.SILENT)
        if answer.status != 200:
            return self._unless_announced(ProbeResult.REPLACED if self._files.is_replaced else ProbeResult.UNHEALTHY)
        if self._files.is_told_to_end and not self._files.is_replaced:
            self._has_announced = True
            return ProbeResult.LEAVING
        self._files.saw_ready()
        return ProbeResult.HEALTHY

    def _why_not_connected(self, error: aiohttp.ClientConnectorError) -> ProbeResult:
        if isinstance(error.os_error, FileNotFoundError):
            return self._unless_announced(ProbeResult.ABSENT)
        return self._unless_announced(ProbeResult.REPLACED if self._files.is_replaced else ProbeResult.REFUSED)

    def _unless_announced(self, result: ProbeResult) -> ProbeResult:
        """Take a failure for what it is, unless the engine or its launcher has announced its end."""
        self._has_announced |= self._files.is_told_to_end
        return ProbeResult.AWAITED if self._has_announced else result

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

    def lasted_s(self) -> float:
        """How long the present state has lasted."""
        return asyncio.get_running_loop().time() - self.since

    def _enter(self, entered: EngineState) -> None:
        before, self.engine_state = self.state, entered
        if entered.state is State.READY:
            self._has_announced = False
        if entered.state is not before:
            self.since = asyncio.get_running_loop().time()
            log_event(f"upstream.{entered.state}", model=self.name, was=before, last_error=self.last_error)
            self._tell()

    def _tell(self) -> None:
        """Wake whoever waits for a change."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()
