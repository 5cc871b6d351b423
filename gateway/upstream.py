"""One engine behind the gateway: its Unix socket, its state, and the loop that keeps the state true."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from agent.stop_marker import EngineFiles
from gateway.admission import Admission
from gateway.config import GatewayConfig, ServedModel
from gateway.engine_connections import IS_REUSED, KeptConnections, has_begun_to_answer, session_over
from gateway.errors import (
    ApiError,
    EngineLeavingError,
    model_loading,
    model_restarting,
    model_stalled,
    model_start_failed,
    model_unreachable,
    upstream_failed,
    upstream_timed_out,
)
from gateway.events import log_event, log_failure
from gateway.exposition import PAGE_BYTES
from gateway.on_demand import RETRY_S, Phase, Resident
from gateway.probe import EngineState, ProbeResult, State, next_state
from gateway.progress import Progress

IDLE_CONNECTION_S = 2.0
"""Below the 5 s after which uvicorn closes an idle connection, so that no request is sent into a closing one."""
CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
"""How aiohttp tells that a connection ended before an answer."""
ORIGIN = "http://engine"
"""The Host that engines see; which one is meant is decided by the socket."""


class Upstream:
    """An engine process behind its socket. Belongs to one event loop; start() before use."""

    def __init__(self, model: ServedModel, config: GatewayConfig) -> None:
        self.name = model.name
        self.socket = model.socket
        self.timeouts = config.timeouts
        self._response_s = model.response_s
        self._stall_s = model.stall_s
        self.progress = Progress()
        self.admission = Admission(limit=model.concurrency, max_waiting=config.max_held)
        self.light = Admission(limit=None, max_waiting=config.max_held)
        self.is_on_demand = model.on_demand is not None
        self.resident: Resident | None = None
        """What is decided about a model on demand; None until that is."""
        self.engine_state = EngineState()
        self.since = 0.0
        self.max_model_len: int | None = None
        self.last_error: str | None = None
        self.was_probed = asyncio.Event()
        self._files = EngineFiles(model.socket)
        self._has_announced = False
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        """Has a new connection for each request."""
        self._prober: asyncio.Task[None] | None = None
        self._told = (True, False)
        self._leases = 0
        self._is_retired = False

    @property
    def state(self) -> State:
        """What the engine can be asked at present."""
        return self.engine_state.state

    @property
    def is_restarting(self) -> bool:
        """Whether the engine was ready, ends or has ended on purpose, and is expected back by itself."""
        if self.is_on_demand:
            return False
        return self._has_announced and self.state in (State.DRAINING, State.LOADING) and not self._is_retired

    @property
    def is_to_be_loaded(self) -> bool:
        """Whether the model is on demand, and its engine is not there at present or makes way for another."""
        if not self.is_on_demand or self._is_retired or (self.resident is not None and self.resident.is_failed):
            return False
        is_closed = self.resident is not None and not self.resident.is_open
        return is_closed or self.state in (State.DRAINING, State.LOADING)

    @property
    def is_awaited(self) -> bool:
        """Whether whoever asks may wait for an engine that is not there."""
        return self.is_restarting or self.is_to_be_loaded

    @property
    def told_state(self) -> str:
        """The state in the words of /stats: one that sleeps is not loading."""
        phase = self.resident.phase if self.resident is not None else None
        return phase.value if phase in (Phase.STOPPED, Phase.STOPPING) else self.state.value

    @property
    def waiting(self) -> int:
        """How many requests wait for it."""
        return self.admission.waiting + self.light.waiting

    @property
    def response_s(self) -> float:
        """How long an answer may take to begin, and a whole one to end."""
        return self._response_s or self.timeouts.response_s

    def admission_for(self, *, is_light: bool) -> Admission:
        """Return who decides when a request may ask here: what costs the engine no step waits for none."""
        return self.light if is_light else self.admission

    def take_over(self, old: "Upstream") -> None:
        """Have those who wait for an engine that a reload replaces wait for this one, each at its place in line."""
        self.admission, old.admission = old.admission, self.admission
        self.light, old.light = old.light, self.light

    def configure(self, model: ServedModel, config: GatewayConfig) -> None:
        """Take over what a reload has changed; name and socket are the same."""
        self.timeouts = config.timeouts
        self._response_s = model.response_s
        self._stall_s = model.stall_s
        self.is_on_demand = model.on_demand is not None
        self.admission.limit = model.concurrency
        self.admission.max_waiting = self.light.max_waiting = config.max_held
        self._tell()

    def start(self) -> None:
        """Open the connection pools and begin to probe."""
        self.since = asyncio.get_running_loop().time()
        path = str(self.socket)
        self._kept = session_over(KeptConnections(path, limit=0, keepalive_timeout=IDLE_CONNECTION_S))
        self._fresh = session_over(aiohttp.UnixConnector(path, limit=0, force_close=True))
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
        if self.resident is not None and self.resident.is_failed:
            return model_start_failed(self.name, math.ceil(RETRY_S))
        if self.resident is not None and not self.resident.holds_memory:
            return model_loading(self.name)
        match self.state:
            case State.READY:
                return None
            case State.LOADING:
                return model_loading(self.name)
            case State.DRAINING:
                return model_restarting(self.name)
            case State.UNREACHABLE:
                return model_unreachable(self.name)
            case State.STALLED:
                return model_stalled(self.name)

    async def post(
        self, path_and_query: str, body: bytes, headers: CIMultiDict[str], *, method: str = "POST"
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer's head; the caller closes it.

        An engine may close a kept connection in the moment in which a request is sent on it. That request is sent once
        more, on a connection of its own: where that closes, the engine failed.
        Raises EngineLeavingError when the engine has done nothing: nobody listened, or it broke off after it was told
        to end, when it finishes what it has begun. Raises ApiError after anything else: it may already be generating,
        and is not asked again. Cancellation closes the connection.
        """
        assert self._kept is not None, "an upstream is started before it is asked"
        assert self._fresh is not None, "an upstream is started before it is asked"
        self.progress.awaited += 1
        send = partial(self._send, method, URL(ORIGIN + path_and_query, encoded=True), body, headers)
        try:
            try:
                return await send(self._kept)
            except CLOSED as error:
                if not IS_REUSED.get() or has_begun_to_answer(error):
                    raise
                return await send(self._fresh)
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
        finally:
            self.progress.awaited -= 1
            self.progress.pieces += 1

    async def _send(
        self, method: str, url: URL, body: bytes, headers: CIMultiDict[str], session: aiohttp.ClientSession
    ) -> aiohttp.ClientResponse:
        IS_REUSED.set(False)
        return await session.request(
            method,
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timeouts.connect_s),
        )

    async def metrics_page(self) -> str | None:
        """Return what the engine says of itself for Prometheus; None where that comes late, or is too much."""
        assert self._kept is not None, "an upstream is started before it is asked"
        try:
            async with asyncio.timeout(self.timeouts.probe_s), self._kept.get(f"{ORIGIN}/metrics") as answer:
                page = bytearray()
                while len(page) <= PAGE_BYTES and (piece := await answer.content.readany()):
                    page += piece
        except (TimeoutError, aiohttp.ClientError, OSError):
            return None
        return page.decode("utf-8", "replace") if answer.status == 200 and len(page) <= PAGE_BYTES else None

    async def is_answering(self) -> bool:
        """Whether the engine has requests, whoever they came from; one that does not say has none."""
        assert self._fresh is not None, "an upstream is started before it is asked"
        try:
            async with asyncio.timeout(self.timeouts.probe_s), self._fresh.get(f"{ORIGIN}/load") as answer:
                return bool((await answer.json())["server_load"])
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
            return False

    def look_at_resident(self) -> None:
        """Have what was decided about a model on demand count for whoever waits."""
        resident = self.resident
        if resident is None:
            return
        if resident.phase is Phase.STOPPED and self.state is not State.LOADING:  # what it was is gone with its process
            self._enter(EngineState(state=State.LOADING))
        told = (resident.is_open, resident.is_failed)
        if told != self._told:
            self._told = told
            self._tell()

    def note(self, error: BaseException | str) -> None:
        """Remember what went wrong last, for /stats: its kind, for the words of an error hold paths and answers."""
        self.last_error = error if isinstance(error, str) else _kind_of(error)

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
        assert self._fresh is not None
        try:
            async with (
                asyncio.timeout(self.timeouts.probe_s),
                self._fresh.get(f"{ORIGIN}/health", allow_redirects=False) as answer,
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
        return ProbeResult.STUCK if await self._is_stuck() else ProbeResult.HEALTHY

    async def _is_stuck(self) -> bool:
        """Look whether what the engine was asked gets anywhere; one whose metrics cannot be read is believed."""
        assert self._fresh is not None
        progress, now_s = self.progress, asyncio.get_running_loop().time()
        if not progress.awaited:
            progress.rest()
        elif progress.is_due(now_s, self._stall_s):
            try:
                async with asyncio.timeout(self.timeouts.probe_s), self._fresh.get(f"{ORIGIN}/metrics") as answer:
                    progress.look(await answer.text(), now_s)
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                self.note(error)
                progress.rest()
        return progress.is_stuck(now_s, self._stall_s)

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
        assert self._fresh is not None
        try:
            async with asyncio.timeout(self.timeouts.probe_s), self._fresh.get(f"{ORIGIN}/v1/models") as answer:
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
        """Have whoever waits here look again."""
        is_open = self.state is State.READY and not self._is_retired
        is_open &= self.resident is None or self.resident.is_open
        for admission in (self.admission, self.light):
            admission.look_again(is_open=is_open)

    async def _close(self) -> None:
        for session in (self._kept, self._fresh):
            if session is not None:
                await session.close()


def _kind_of(error: BaseException) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
