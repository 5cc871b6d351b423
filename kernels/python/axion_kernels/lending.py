"""Lend cores between the engines of a host: hooks into vLLM's processes, for `core_policy: elastic`.

Every process of an engine stays on its home cores. Its worker takes idle cores of others at the beginning of a step of
the model, and keeps their number for the whole step, since vLLM's attention plans by it. When an engine steps, it sends
home the guests that it finds on its cores; until then it shares them as equals would.
"""

import ctypes
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily

from axion_kernels.lending_shares import borrowed, cores_of
from axion_kernels.lending_table import GUESTS, IN_USE, STATE, Card, Others, TableError, state_word

LIBRARY = Path(__file__).with_name("libaxion_cores.so")
VARIABLE = "AXION_CORES"
SPINS = {"x86_64": "4000", "aarch64": "60000"}
"""About 0.1 ms of waiting for work between two regions of a step: PAUSE takes some 40 cycles on x86, a load four on
Arm. libgomp's own bound is 75 times as long, for which guests that were sent home would wait at each region."""
DECODED_ROWS = range(1, 9)
"""Sequences at once for which layers of oneDNN are prepared; vLLM keeps 32 primitives of each."""
QUIET_S = 0.02
"""How long vLLM's processes look for work without sleeping, instead of a second: a lent core must be idle."""
SETTLED_S = 10.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What the engine's environment says of lending."""

    table: Path
    name: str
    home: tuple[int, ...]
    compute: tuple[int, ...]
    """Those of them that compute; the others schedule."""
    every: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> "Setting":
        """Read what deployment/render/engine_files.py wrote."""
        try:
            found = json.loads(text)
            home, compute, every = (cores_of(found[key]) for key in ("home", "compute", "all"))
            return cls(Path(found["table"]), found["name"], home, compute, every)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{VARIABLE}: cannot be read: {error!r}, got {text}. Deploy the release again.") from None


class Placement(Protocol):
    """What has threads run on cores: the preloaded library."""

    def announce(self, card: Card, state: int) -> None:
        """Store a state, visible before anything that this thread reads afterwards."""

    def use(self, card: Card, cores: tuple[int, ...], own: int, owners: list[Card | None]) -> None:
        """Have the calling thread's regions run on these cores, of which all but the first `own` are borrowed."""


class Lender:
    """The worker's side of the table."""

    def __init__(self, setting: Setting, placement: Placement) -> None:
        self._setting, self._placement = setting, placement
        self._card = Card.claim(setting.table, setting.name, setting.home)
        self._others = Others(setting.table, setting.name)
        self._borrowed: tuple[int, ...] = ()
        placement.use(self._card, setting.compute, len(setting.compute), [])
        self._card.say_in_use(len(setting.compute))

    def begin(self, *, is_forward: bool) -> None:
        """Before a step: take back what is ours and, for a pass through the model, choose what it runs on."""
        self._announce("stepping")
        others = list(self._others)
        for other in others:
            self._send_home(other)
        if is_forward:
            self._choose(others)

    def end(self) -> None:
        """After a step."""
        self._announce("resting")

    def _announce(self, kind: Any) -> None:
        self._placement.announce(self._card, state_word(kind, time.monotonic_ns()))

    def _send_home(self, other: Card) -> None:
        for thread, core in other.guests():
            if core in self._setting.home:
                with suppress(ProcessLookupError):  # it has ended since
                    os.sched_setaffinity(thread, other.home)
                other.strike_out(thread, core)

    def _choose(self, others: list[Card]) -> None:
        engines = {other.name: other.engine() for other in others}
        chosen: tuple[int, ...] = ()
        if self._others.are_all_read:
            chosen = borrowed(self._card.engine(), engines.values(), self._setting.every, time.monotonic_ns())
        if chosen == self._borrowed and len(self._card.guests()) == len(chosen):
            return  # all of them sit there still
        # Only who rests may begin to step meanwhile; the dead and the stopped do not.
        owners = {core: other for other in others if engines[other.name].may_step for core in other.home}
        self._card.strike_all()
        compute = self._setting.compute
        self._placement.use(self._card, compute + chosen, len(compute), [owners.get(core) for core in chosen])
        self._card.say_in_use(len(compute) + len(chosen))
        self._borrowed = chosen


class PreloadedLibrary:
    """libaxion_cores.so, which the process was started with."""

    def __init__(self) -> None:
        self._functions = ctypes.CDLL(None)
        if not hasattr(self._functions, "axion_use_cores"):
            raise RuntimeError(
                f"axion_kernels: {LIBRARY.name}: not preloaded, got LD_PRELOAD={os.environ.get('LD_PRELOAD', '')}. "
                "Start the engine anew, or set host.core_policy to disjoint."
            )
        self._kept: Any = None

    def announce(self, card: Card, state: int) -> None:
        self._functions.axion_announce(_address(card, 8 * STATE), ctypes.c_uint64(state))

    def use(self, card: Card, cores: tuple[int, ...], own: int, owners: list[Card | None]) -> None:
        at = [None if owner is None else _address(owner, 8 * STATE) for owner in owners]
        self._functions.axion_use_cores(
            (ctypes.c_int * len(cores))(*cores), ctypes.c_size_t(len(cores)), ctypes.c_size_t(own),
            (ctypes.c_int * len(card.home))(*card.home), ctypes.c_size_t(len(card.home)),
            _address(card, GUESTS.start), (ctypes.c_void_p * len(at))(*at),
        )  # fmt: skip
        self._kept = owners  # their memory stays mapped while threads may read it

    @contextmanager
    def team(self, count: int) -> Iterator[None]:
        """Have this thread's regions use so many threads, wherever they run."""
        before = self._functions.omp_get_max_threads()
        self._functions.omp_set_num_threads(count)
        try:
            yield
        finally:
            self._functions.omp_set_num_threads(before)


def _address(card: Card, offset: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(card.memory, offset)))


class CoresCollector:
    """What the worker's card says, on the /metrics of the engine's front end."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Nothing until the worker has claimed its card."""
        try:
            card = Card.read(self._setting.table, self._setting.name)
        except (FileNotFoundError, TableError):
            return
        last = GaugeMetricFamily("axion_cores_in_use", "Cores that the last step computed on.")
        last.add_metric([], card.words[IN_USE])
        home = GaugeMetricFamily("axion_cores_home", "Cores that are always the engine's own.")
        home.add_metric([], len(card.home))
        yield from (last, home)


def install(setting: Setting) -> None:
    """Have this process of an engine lend and borrow."""
    _stay_at_home(setting.home)
    _rest_soon()
    if multiprocessing.current_process().name.startswith("VllmWorker"):
        library = PreloadedLibrary()
        _hook_steps(Lender(setting, library))
        _hook_onednn(library, len(setting.every))
    else:
        _prepare_worker(setting)
        REGISTRY.register(CoresCollector(setting))


def _stay_at_home(home: tuple[int, ...]) -> None:
    """Move all threads that are there already; those to come inherit it."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), home)


def _rest_soon() -> None:
    """Not before messages that wake a sleeper are sure to arrive: until a socket is connected they are lost."""
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    record = SpinCondition.record_read

    def record_and_settle(self: Any) -> None:
        record(self)
        first_s = self.__dict__.setdefault("first_read_s", self.last_read)
        if self.last_read > first_s + SETTLED_S:
            self.busy_loop_s = min(self.busy_loop_s, QUIET_S)

    SpinCondition.record_read = record_and_settle


def _prepare_worker(setting: Setting) -> None:
    """A worker is born on every core, since libgomp counts them at its start and hardly waits for work on fewer."""
    from vllm.v1.executor.multiproc_executor import WorkerProc

    preloaded = os.environ.get("LD_PRELOAD", "")
    if str(LIBRARY) not in preloaded.split(":"):
        os.environ["LD_PRELOAD"] = ":".join(filter(None, (str(LIBRARY), preloaded)))
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS.get(platform.machine(), "4000"))
    make = WorkerProc.make_worker_process

    def make_on_every_core(*args: Any, **options: Any) -> Any:
        with _on(setting.every, setting.home):
            return make(*args, **options)

    WorkerProc.make_worker_process = staticmethod(make_on_every_core)


@contextmanager
def _on(cores: tuple[int, ...], then: tuple[int, ...]) -> Iterator[None]:
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, then)


def _hook_steps(lender: Lender) -> None:
    from vllm.v1.executor.multiproc_executor import WorkerProc

    execute: Callable[[Any, Any], None] = WorkerProc._execute_worker_rpc

    def execute_as_step(self: Any, request: Any) -> None:
        lender.begin(is_forward=request[0] == "execute_model")
        try:
            execute(self, request)
        finally:
            lender.end()

    WorkerProc._execute_worker_rpc = execute_as_step


def _hook_onednn(library: PreloadedLibrary, most: int) -> None:
    """Have oneDNN's layers compute with any number of threads.

    vLLM keeps a layer's primitives by the number of rows, and one computes with at most as many threads as there were
    when it was first used. So each is used once with all of them, for as many rows as decoding has.
    """
    import torch
    from vllm import _custom_ops

    create, compute = _custom_ops.create_onednn_mm, _custom_ops.onednn_mm

    def create_for_any(weight: Any, *args: Any, **options: Any) -> Any:
        handler = create(weight, *args, **options)
        with library.team(most):
            for rows in DECODED_ROWS:
                for bias in (None, torch.zeros(handler.n, dtype=weight.dtype)):
                    compute(handler, torch.zeros(rows, handler.k, dtype=weight.dtype), bias)
        return handler

    _custom_ops.create_onednn_mm = create_for_any
