"""Fit the model of a step to what `fab bench` measured on a host, and say how far off it is on what it did not see.

What is read of a report is small: {"schema": "axion.capacity.points/1", "vcpus": 2, "points": [{"model": "phi4_fast",
"concurrency": 4, "prompt_tokens": 512, "output_tokens": 128, "tokens_per_s": 61.2, "ttft_s": 2.1}, ...]}: for a number
of clients that always have one request open, tokens of all answers a second and the mean time to a first token.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from deployment.capacity.engine import Engine
from deployment.capacity.machine import Machine
from deployment.errors import ConfigError
from deployment.frozen import Count, Frozen
from deployment.problems import flaw, joined

FEWEST_POINTS = 4
"""As many as are fitted, for each model: speeds at two prompts and two concurrencies."""
HELD_OUT = 3
"""Every third point judges and is not fitted."""
ROUNDS, FIRST_STEP, LAST_STEP = 400, 0.5, 1e-4
BEYOND = 2.0
"""How far outside the measured lengths and concurrencies a question may be."""

Figure = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]


class Point(Frozen):
    """One measurement."""

    model: str
    concurrency: Count
    prompt_tokens: Count
    output_tokens: Count = Field(gt=1)
    tokens_per_s: Figure
    ttft_s: Figure


class Points(Frozen):
    """What is read of a report."""

    schema_: Literal["axion.capacity.points/1"] = Field(alias="schema")
    vcpus: Count
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Mean errors, as shares of what was measured."""

    throughput: float
    ttft: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A machine as one model's measurements show it."""

    machine: Machine
    fitted: Errors
    held_out: Errors | None
    """None where there were too few points to keep any."""
    points: tuple[Point, ...]

    def beyond(self, *, concurrency: int, prompt_tokens: int) -> str | None:
        """Say why a question is outside of what was measured."""
        for what, asked, known in (
            ("concurrency", concurrency, [point.concurrency for point in self.points]),
            ("prompt_tokens", prompt_tokens, [point.prompt_tokens for point in self.points]),
        ):
            low, high = min(known) / BEYOND, max(known) * BEYOND
            if not low <= asked <= high:
                return f"{what}: measured from {min(known)} to {max(known)}, got {asked}. Measure nearer to it."
        return None


def read_points(data: object, name: str) -> Points:
    """Raises ConfigError where a report is none."""
    try:
        return Points.model_validate(data)
    except ValidationError as error:
        raise ConfigError([f"{name}: no points of a benchmark: {flaw(error)}. Run `fab bench` again."]) from None


def closed_loop(engine: Engine, point: Point) -> tuple[float, float]:
    """Tokens a second of all, and time to a first token, for clients that always have one request open.

    Their answers end one after another, as their prompts were read: a new prompt is read beside the others' answers.
    """
    others, context = point.concurrency - 1, point.prompt_tokens + point.output_tokens / 2
    step_s = engine.step_s(sequences=point.concurrency, context=context)
    prompt_s = engine.prefill_cost_s(point.prompt_tokens, beside=others, context=context)
    whole_s = point.concurrency * prompt_s + (point.output_tokens - 1) * step_s
    ttft_s = engine.prefill_s(point.prompt_tokens, beside=others, context=context)
    return point.concurrency * point.output_tokens / whole_s, ttft_s


def calibrated(name: str, engine: Engine, points: Sequence[Point]) -> Calibration:
    """Fit bandwidth, kernels and overhead by least squares of logarithms. Raises ConfigError for too few points."""
    if len(points) < FEWEST_POINTS:
        what = f"{FEWEST_POINTS} measurements are fitted, got {len(points)}"
        raise ConfigError([f"{name}: {what}. Measure two prompts, each at two concurrencies."])
    kept = [point for index, point in enumerate(points) if index % HELD_OUT != HELD_OUT - 1]
    others = [point for index, point in enumerate(points) if index % HELD_OUT == HELD_OUT - 1]
    if len(kept) < FEWEST_POINTS:
        kept, others = list(points), []
    best = _fitted(engine, kept)
    return Calibration(
        machine=best.machine,
        fitted=errors(best, kept),
        held_out=errors(best, others) if others else None,
        points=tuple(points),
    )


def errors(engine: Engine, points: Sequence[Point]) -> Errors:
    """How far off an engine is, on average."""
    found = [(closed_loop(engine, point), point) for point in points]
    return Errors(
        throughput=sum(abs(rate / point.tokens_per_s - 1) for (rate, _), point in found) / len(found),
        ttft=sum(abs(ttft / point.ttft_s - 1) for (_, ttft), point in found) / len(found),
    )


def _fitted(engine: Engine, points: Sequence[Point]) -> Engine:
    """Search along each parameter in turn with steps that halve: four of them, and always the same result."""
    at = [0.0] * 4
    value, step = _squares(_with(engine, at), points), FIRST_STEP
    for _ in range(ROUNDS):
        tried = [[*at[:i], at[i] + sign * step, *at[i + 1 :]] for i in range(len(at)) for sign in (1, -1)]
        least, where = min((_squares(_with(engine, each), points), each) for each in tried)
        if least < value:
            value, at = least, where
        elif step <= LAST_STEP:
            break
        else:
            step /= 2
    return _with(engine, at)


def _with(engine: Engine, at: Sequence[float]) -> Engine:
    """An engine whose machine differs by factors, given as logarithms."""
    memory, few, many, overhead = (math.exp(each) for each in at)
    machine = engine.machine
    return replace(
        engine,
        machine=replace(
            machine,
            host_bytes_per_s=machine.host_bytes_per_s * memory,
            core_bytes_per_s=machine.core_bytes_per_s * memory,
            gemv_share=machine.gemv_share * few,
            gemm_share=machine.gemm_share * many,
            step_overhead_s=machine.step_overhead_s * overhead,
        ),
    )


def _squares(engine: Engine, points: Sequence[Point]) -> float:
    found = 0.0
    for point in points:
        rate, ttft_s = closed_loop(engine, point)
        found += math.log(rate / point.tokens_per_s) ** 2 + math.log(ttft_s / point.ttft_s) ** 2
    return found


def by_model(points: Points, known: Mapping[str, object]) -> Mapping[str, Sequence[Point]]:
    """Points of each model. Raises ConfigError where some are of none that is served."""
    if unknown := sorted({point.model for point in points.points} - set(known)):
        raise ConfigError(
            [f"{name}: measured, but not served. Use measurements of {joined(known)}." for name in unknown]
        )
    return {name: found for name in known if (found := [point for point in points.points if point.model == name])}
