"""A simulation of an engine with continuous batching, step by step: the oracle of deployment.capacity.queueing.

As vLLM schedules: running answers first, a token each; then prompts in the order of their arrival, with what the step
has left; a request takes a place from its first piece of a prompt to its last token.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

StepTime = Callable[..., float]
"""Of a step: sequences, context, chunk and chunk_end, as deployment.capacity.engine.Engine.step_s has them."""


@dataclass(slots=True)
class Request:
    """One request on its way."""

    arrived_s: float
    prompt: int
    output: int
    read: int = 0
    said: int = 0
    first_s: float = 0.0
    done_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What clients saw."""

    ttft_s: float
    ttft_p95_s: float
    tokens_per_s: float
    busy: float
    per_s: float
    in_service: float


def simulate(
    step_s: StepTime, *, per_s: float, prompt: int, output: int, most: int, step_tokens: int, requests: int, seed: int,
    is_fixed: bool = False,
) -> Seen:  # fmt: skip
    """Random arrivals; answers of one length, or of exponential ones with that mean."""
    source = random.Random(seed)  # noqa: S311 - the same ones each time are what is wanted
    coming: deque[Request] = deque()
    now = 0.0
    for _ in range(requests):
        now += source.expovariate(per_s)
        length = output if is_fixed else 1 + round(source.expovariate(1 / (output - 1)))
        coming.append(Request(now, prompt, length))
    return _seen(_run(step_s, coming, most, step_tokens))


def closed(
    step_s: StepTime, *, clients: int, prompt: int, output: int, step_tokens: int, rounds: int
) -> tuple[float, float]:
    """Clients that always have one request open, each a few in turn: tokens a second of all, mean TTFT."""
    done: list[Request] = []
    now = 0.0
    running = [Request(0.0, prompt, output) for _ in range(clients)]
    while len(done) < clients * rounds:
        now += _step(step_s, running, step_tokens, now)
        ended = [each for each in running if each.said == output]
        done += ended
        running = [each for each in running if each.said < output] + [Request(now, prompt, output) for _ in ended]
    return len(done) * output / now, sum(each.first_s - each.arrived_s for each in done) / len(done)


def _run(step_s: StepTime, coming: deque[Request], most: int, step_tokens: int) -> tuple[list[Request], float]:
    running: list[Request] = []
    done: list[Request] = []
    now = busy_s = 0.0
    while coming or running:
        if not running and coming[0].arrived_s > now:
            now = coming[0].arrived_s
        while coming and len(running) < most and coming[0].arrived_s <= now:
            running.append(coming.popleft())
        took_s = _step(step_s, running, step_tokens, now)
        now, busy_s = now + took_s, busy_s + took_s
        done += [each for each in running if each.said == each.output]
        running = [each for each in running if each.said < each.output]
    return done, busy_s


def _step(step_s: StepTime, running: list[Request], step_tokens: int, now: float) -> float:
    """Do one step, and return what it takes."""
    answering = [each for each in running if each.read == each.prompt]
    left, chunk, chunk_end = step_tokens - len(answering), 0, 0
    for each in running:
        if each.read < each.prompt and left:
            piece = min(left, each.prompt - each.read)
            each.read += piece
            left, chunk, chunk_end = left - piece, chunk + piece, each.read
    context = sum(each.prompt + each.said for each in answering) / len(answering) if answering else 0.0
    took_s = step_s(sequences=len(answering), context=context, chunk=chunk, chunk_end=chunk_end)
    for each in running:
        if each.read == each.prompt:
            each.said += 1
            each.done_s = now + took_s
            each.first_s = each.first_s or each.done_s
    return took_s


def _seen(told: tuple[list[Request], float]) -> Seen:
    done, busy_s = told
    counted = sorted(done, key=lambda each: each.arrived_s)[len(done) // 20 :]
    firsts = sorted(each.first_s - each.arrived_s for each in counted)
    gaps = sum(each.done_s - each.first_s for each in counted)
    long_s = max(each.done_s for each in done)
    there_s = sum(each.done_s - each.arrived_s for each in done)
    return Seen(
        sum(firsts) / len(firsts),
        firsts[int(0.95 * len(firsts))],
        sum(each.said - 1 for each in counted) / gaps,
        busy_s / long_s,
        len(done) / long_s,
        there_s / long_s,
    )
