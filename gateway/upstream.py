"""One engine behind the gateway: its Unix socket, its state, and the loop that keeps the state true."""

import asyncio
import json
import math
from collections.abc import Iterable

from agent.stop_marker import EngineFiles
from gateway.admission import Admission
from gateway.config import GatewayConfig, ServedModel
from gateway.engine_connections import Answer, EngineConnections, NotConnectedError, request_of
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
from gateway.http_answer import BrokenAnswerError
from gateway.on_demand import RETRY_S, Phase, Resident
from gateway.probe import EngineState, ProbeResult, State, next_state
from gateway.progress import Progress


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
        self._connections = EngineConnections(str(model.socket))
        self._prober: asyncio.Task[None] | None = None
        self._told = (True, False)
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
        """Begin to probe."""
        self.since = asyncio.get_running_loop().time()
        self._prober = asyncio.create_task(self._probe_forever(), name=f"probe {self.name}")

    async def retire(self) -> None:
        """Stop probing and keeping connections; who is being answered is answered to the end."""
        self._is_retired = True
        self._tell()
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.wait([self._prober])
        self._connections.close()

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
        self, path_and_query: str, body: bytes, headers: Iterable[tuple[str, str]], *, method: str = "POST"
    ) -> Answer:
        """Send a request and return the answer, whose head is here; the caller closes it.

        Raises EngineLeavingError when the engine has done nothing: nobody listened, or it broke off after it was told
        to end, when it finishes what it has begun. Raises ApiError after anything else: it may already be generating,
        and is not asked again. Cancellation closes the connection.
        """
        self.progress.awaited += 1
        try:
            request = request_of(method, path_and_query, headers, body)
            return await self._connections.ask(request, connect_s=self.timeouts.connect_s)
        except NotConnectedError as error:
            self.note(error)
            self._enter(next_state(self.engine_state, self._why_not_connected(error), lasted_s=self.lasted_s()))
            raise EngineLeavingError(upstream_failed(self.name)) from error
        except TimeoutError as error:
            self.note(error)
            raise upstream_timed_out(self.name) from error
        except BrokenAnswerError as error:
            self.note(error)
            if self._files.is_told_to_end:
                self._has_announced = True
                self._enter(next_state(self.engine_state, ProbeResult.LEAVING, lasted_s=self.lasted_s()))
                raise EngineLeavingError(upstream_failed(self.name)) from error
            raise upstream_failed(self.name) from error
        finally:
            self.progress.awaited -= 1
            self.progress.pieces += 1

    async def metrics_page(self) -> str | None:
        """Return what the engine says of itself for Prometheus; None where that comes late, or is too much."""
        try:
            status, page = await self._get("/metrics")
        except LOOK_ERRORS:
            return None
        return page.decode("utf-8", "replace") if status == 200 else None

    async def _get(self, path: str) -> tuple[int, bytes]:
        """Ask for one of the engine's own pages, on a connection of its own. Raises LOOK_ERRORS."""
        request = request_of("GET", path, (), is_last=True)
        async with asyncio.timeout(self.timeouts.probe_s):
            answer = await self._connections.ask(request, connect_s=self.timeouts.probe_s, is_fresh=True)
            try:
                return answer.status, await answer.whole(PAGE_BYTES)
            finally:
                answer.close()

    async def is_answering(self) -> bool:
        """Whether the engine has requests, whoever they came from; one that does not say has none."""
        try:
            _, page = await self._get("/load")
            return bool(json.loads(page)["server_load"])
        except (*LOOK_ERRORS, ValueError, KeyError, TypeError):
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
        """Remember what went wrong last, for /stats: its kind, for the words of many errors hold paths and answers."""
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
            self._connections.close_idle()
            await asyncio.sleep(self.timeouts.probe_interval_s)

    async def _look(self) -> ProbeResult:
        try:
            status, _ = await self._get("/health")
        except NotConnectedError as error:
            return self._why_not_connected(error)
        except LOOK_ERRORS:
            return self._unless_announced(ProbeResult.SILENT)
        if status != 200:
            return self._unless_announced(ProbeResult.REPLACED if self._files.is_replaced else ProbeResult.UNHEALTHY)
        if self._files.is_told_to_end and not self._files.is_replaced:
            self._has_announced = True
            return ProbeResult.LEAVING
        self._files.saw_ready()
        return ProbeResult.STUCK if await self._is_stuck() else ProbeResult.HEALTHY

    async def _is_stuck(self) -> bool:
        """Look whether what the engine was asked gets anywhere; one whose metrics cannot be read is believed."""
        progress, now_s = self.progress, asyncio.get_running_loop().time()
        if not progress.awaited:
            progress.rest()
        elif progress.is_due(now_s, self._stall_s):
            try:
                _, page = await self._get("/metrics")
                progress.look(page.decode(), now_s)
            except (*LOOK_ERRORS, ValueError) as error:
                self.note(error)
                progress.rest()
        return progress.is_stuck(now_s, self._stall_s)

    def _why_not_connected(self, error: NotConnectedError) -> ProbeResult:
        if isinstance(error.reason, FileNotFoundError):
            return self._unless_announced(ProbeResult.ABSENT)
        return self._unless_announced(ProbeResult.REPLACED if self._files.is_replaced else ProbeResult.REFUSED)

    def _unless_announced(self, result: ProbeResult) -> ProbeResult:
        """Take a failure for what it is, unless the engine or its launcher has announced its end."""
        self._has_announced |= self._files.is_told_to_end
        return ProbeResult.AWAITED if self._has_announced else result

    async def _learn(self) -> None:
        """Ask a newly ready engine what it serves; an engine that does not say is served all the same."""
        try:
            _, page = await self._get("/v1/models")
            served = {card["id"]: card.get("max_model_len") for card in json.loads(page)["data"]}
        except (*LOOK_ERRORS, ValueError, KeyError, TypeError, AttributeError) as error:
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


LOOK_ERRORS = (NotConnectedError, TimeoutError, BrokenAnswerError)
"""What comes of looking at an engine that cannot be looked at."""


def _kind_of(error: BaseException) -> str:
    is_ours = isinstance(error, NotConnectedError | BrokenAnswerError)
    return f"{type(error).__name__}: {error}" if is_ours else type(error).__name__
