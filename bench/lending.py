"""What lending cores should be worth on 28 cores of Neoverse V2 with four models: simulated, never measured.

    PYTHONPATH=kernels/python .venv/bin/python -m bench.lending [MODELS_FILE]

Each engine works on one request at a time, in steps: chunks of the prompt, then a token each. A step takes what
deployment.capacity computes for the cores that it has; together the engines read no faster than the host. Who gets
which cores is decided by the function that the plug-in calls, axion_kernels.lending_shares.borrowed. What lending
itself costs are the constants below. An owner that begins a step sends guests home; the borrower's step goes on with
several threads on its own cores.
"""

import heapq
import math
import random
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from axion_kernels.lending_shares import Engine, borrowed

from bench.expected import BASELINE, MACHINE, PROMPT_TOKENS
from deployment.capacity.engine import Engine as CapacityEngine
from deployment.capacity.engine import engine_of
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.sizing import HostFacts, plan
from deployment.models.spec import Deployment, Served
from deployment.quantities import GIB

HOST = HostFacts(name="c4a-standard-32", cores=32, memory_bytes=256 * GIB)
REGIONS_PER_LAYER = 8
REGION_THREAD_S = 0.1e-6
"""What each thread adds to an empty parallel region, beside the step's own overhead: assumed."""
DECIDE_S = 60e-6
"""Reading three cards and deciding, at each step: assumed."""
THREAD_S = 30e-6
"""A thread that is made and put on its core: assumed."""
SEND_HOME_S = 50e-6
"""A guest that is moved by its owner: assumed. A whole give-back of one guest took 200 us on a busy x86 machine."""
SPIN_S = 1e-4
"""How long threads spin for others at the end of a region, in which a guest on their core waits."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks, and when."""

    at_s: float
    """Or when the one before it was answered, if that is later and it `follows`."""
    prompt_tokens: int = 512
    answer_tokens: int = 128
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """What of a model decides how long its steps take."""

    name: str
    home: tuple[int, ...]
    compute: tuple[int, ...]
    step_tokens: int
    layers: int
    engine: CapacityEngine
    """On any threads."""

    def step_s(self, tokens: int, *, cores: int, busy_cores: int) -> float:
        """How long a step of so many tokens takes; all cores that are busy share the host's memory."""
        machine = self.engine.machine
        each = min(machine.core_bytes_per_s, machine.bytes_per_s / max(busy_cores, cores))
        engine = replace(self.engine, threads=cores, bytes_per_s=cores * each)
        if tokens == 1:
            work_s = engine.step_s(sequences=1, context=PROMPT_TOKENS)
        else:
            work_s = engine.step_s(chunk=tokens, chunk_end=tokens)
        return work_s + self.layers * REGIONS_PER_LAYER * REGION_THREAD_S * cores


@dataclass(slots=True)
class Seat:
    """One engine while it is simulated."""

    model: Model
    waiting: list[Request]
    request: Request | None = None
    asked_s: float = 0.0
    prompt_left: int = 0
    answer_left: int = 0
    cores: tuple[int, ...] = ()
    began_s: float = 0.0
    ends_s: float = math.inf
    rested_s: float = -1e9
    sent_home: int = 0
    """Guests that sit on its own cores since their owners work: for the rest of the step."""
    step: int = 0
    """Counts steps and their changes, so that an end that was put off is known."""
    is_stepping: bool = False
    first_tokens_s: list[float] = field(default_factory=list)
    served_s: list[float] = field(default_factory=list)
    """From the arrival of each request to its end."""
    give_backs_s: list[float] = field(default_factory=list)
    answered: int = 0
    working_s: float = 0.0

    @property
    def threads_a_core(self) -> int:
        """Of its own cores, the fullest: each region waits for it."""
        return 1 + math.ceil(self.sent_home / len(self.model.compute))

    @property
    def seen(self) -> Engine:
        """As its card would tell."""
        since_s = self.began_s if self.is_stepping else self.rested_s
        return Engine(self.model.name, self.model.home, "stepping" if self.is_stepping else "resting", _ns(since_s))


class Host:
    """Engines that serve their requests, with or without lending."""

    def __init__(self, models: Sequence[Model], load: Mapping[str, Iterable[Request]], *, is_lending: bool) -> None:
        self.is_lending = is_lending
        self.every = sorted(core for model in models for core in model.home)
        self.seats = {model.name: Seat(model, sorted(load[model.name], key=lambda each: each.at_s)) for model in models}
        self.events: list[tuple[float, int, str, int]] = []
        self.count = 0

    def run(self) -> Mapping[str, Seat]:
        for seat in self.seats.values():
            if seat.waiting:
                self._at(seat.waiting[0].at_s, seat)
        while self.events:
            now_s, _, name, step = heapq.heappop(self.events)
            seat = self.seats[name]
            if step == seat.step:
                self._go_on(seat, now_s)
        return self.seats

    def _at(self, time_s: float, seat: Seat) -> None:
        seat.step += 1
        self.count += 1
        heapq.heappush(self.events, (time_s, self.count, seat.model.name, seat.step))

    def _go_on(self, seat: Seat, now_s: float) -> None:
        if seat.is_stepping:
            self._end_step(seat, now_s)
        if seat.request is None and seat.waiting:
            if seat.waiting[0].at_s > now_s:
                self._at(seat.waiting[0].at_s, seat)
                return
            seat.request = seat.waiting.pop(0)
            seat.asked_s = now_s if seat.request.follows else seat.request.at_s
            seat.prompt_left, seat.answer_left = seat.request.prompt_tokens, seat.request.answer_tokens
        if seat.request is not None:
            self._begin_step(seat, now_s)

    def _begin_step(self, seat: Seat, now_s: float) -> None:
        tokens = min(seat.prompt_left, seat.model.step_tokens) if seat.prompt_left else 1
        cost_s = self._choose(seat, now_s)
        seat.is_stepping, seat.began_s, seat.sent_home = True, now_s, 0
        busy = sum(len(each.cores) for each in self.seats.values() if each.is_stepping)
        took_s = seat.model.step_s(tokens, cores=len(seat.cores), busy_cores=busy)
        seat.ends_s = now_s + cost_s + took_s
        self._at(seat.ends_s, seat)

    def _choose(self, seat: Seat, now_s: float) -> float:
        """Give it its cores for a step, and say what that costs."""
        if not self.is_lending:
            seat.cores = seat.model.compute
            return 0.0
        cost_s = self._take_back(seat, now_s)
        others = [each.seen for each in self.seats.values() if each is not seat]
        chosen = seat.model.compute + borrowed(seat.seen, others, self.every, _ns(now_s))
        cost_s += DECIDE_S + THREAD_S * len(set(chosen) - set(seat.cores))
        seat.cores = chosen
        return cost_s

    def _take_back(self, owner: Seat, now_s: float) -> float:
        moved = 0
        for other in self.seats.values():
            guests = set(other.cores) & set(owner.model.home) if other is not owner else set()
            if not guests:
                continue
            moved += len(guests)
            if other.is_stepping:
                self._put_off(other, len(guests), now_s)
            other.cores = tuple(core for core in other.cores if core not in guests)
        if moved:
            owner.give_backs_s.append(moved * SEND_HOME_S)
        return moved * SEND_HOME_S

    def _put_off(self, borrower: Seat, guests: int, now_s: float) -> None:
        """The rest of its step: its own cores have several threads each, of which all others wait for the last."""
        left_s = borrower.ends_s - now_s
        part = left_s / (borrower.ends_s - borrower.began_s)
        before = borrower.threads_a_core
        borrower.sent_home += guests
        spun_s = part * borrower.model.layers * REGIONS_PER_LAYER * SPIN_S if before == 1 else 0.0
        borrower.ends_s = now_s + left_s * borrower.threads_a_core / before + spun_s
        self._at(borrower.ends_s, borrower)

    def _end_step(self, seat: Seat, now_s: float) -> None:
        assert seat.request is not None
        seat.is_stepping, seat.rested_s = False, now_s
        seat.working_s += now_s - seat.began_s
        if seat.prompt_left:
            seat.prompt_left -= min(seat.prompt_left, seat.model.step_tokens)
            if seat.prompt_left:
                return
            seat.first_tokens_s.append(now_s - seat.asked_s)
        seat.answer_left -= 1
        seat.answered += 1
        if not seat.answer_left:
            seat.served_s.append(now_s - seat.asked_s)
            seat.request = None


def _ns(time_s: float) -> int:
    return int(time_s * 1e9)


def models_of(deployment: Deployment) -> list[Model]:
    """What is simulated of a models file."""
    engines = plan(deployment, HOST, "/opt/axion").engines
    return [_model(served, engines[name].cores) for name, served in deployment.models.items()]


def _model(served: Served, home: tuple[int, ...]) -> Model:
    return Model(
        name=served.name,
        home=home,
        compute=home[1:] or home,
        step_tokens=served.step_tokens,
        layers=served.checkpoint.shape.num_hidden_layers,
        engine=engine_of(served, MACHINE, BASELINE),
    )


Load = Mapping[str, list[Request]]


def alone(models: Sequence[Model], name: str) -> Load:
    """One model has four requests, one after another."""
    return {
        model.name: [Request(0.0, follows=True) for _ in range(4)] if model.name == name else [] for model in models
    }


def together(models: Sequence[Model]) -> Load:
    """Every model has four requests, one after another."""
    return {model.name: [Request(0.0, follows=True) for _ in range(4)] for model in models}


def bursts(models: Sequence[Model], *, seed: int = 16, length_s: float = 600.0, pause_s: float = 60.0) -> Load:
    """Each model is asked two questions now and then, at times of its own."""
    draw = random.Random(seed)  # noqa: S311 - a simulation
    load: dict[str, list[Request]] = {}
    for model in models:
        at_s, load[model.name] = draw.expovariate(1 / pause_s), []
        while at_s < length_s:
            load[model.name] += [Request(at_s), Request(at_s + 0.5)]
            at_s += draw.expovariate(1 / pause_s)
    return load


def rows(models: Sequence[Model], scenario: str, load: Load) -> Iterator[str]:
    """For each model that was asked: both policies side by side."""
    disjoint, elastic = (Host(models, load, is_lending=lent).run() for lent in (False, True))
    for model in models:
        before, after = disjoint[model.name], elastic[model.name]
        if not before.answered:
            continue
        cells = [scenario, model.name]
        for tell in (_tokens_per_s, _first_token_s, _last_token_s):
            cells += [tell(before), tell(after)]
        backs = sorted(after.give_backs_s)
        cells.append(f"{1000 * backs[int(0.99 * (len(backs) - 1))]:.1f} ms" if backs else "")
        yield f"| {' | '.join(cells)} |"


def _tokens_per_s(seat: Seat) -> str:
    return f"{seat.answered / seat.working_s:.1f}"


def _first_token_s(seat: Seat) -> str:
    return f"{statistics.median(seat.first_tokens_s):.2f} s"


def _last_token_s(seat: Seat) -> str:
    return f"{max(seat.served_s):.1f} s"


def main(arguments: list[str]) -> int:
    try:
        models = models_of(load_deployment(Path(arguments[0] if arguments else "models.yaml")))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print("Modelled, not measured: prompts of 512 tokens, answers of 128, assumptions in deployment/capacity and here.")
    print("Tokens a second of the time in which an engine steps, prompts included.\n")
    heads = ["asked", "model", "tokens/s, disjoint", "elastic", "first token, disjoint", "elastic"]
    heads += ["slowest answer, disjoint", "elastic", "give-back p99"]
    print(f"| {' | '.join(heads)} |\n|---|---|{'---:|' * (len(heads) - 2)}")
    loads = [*(("alone", alone(models, model.name)) for model in models), ("all", together(models))]
    for scenario, load in [*loads, ("now and then", bursts(models))]:
        for row in rows(models, scenario, load):
            print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
