"""How long requests wait for an engine, and how fast their answers come, at a rate of arrivals.

An engine with continuous batching works on up to max_num_seqs requests at once and slows down with each. So the number
of requests there is a birth-death chain: arrivals at random (Poisson), and with n requests, of which b = min(n, most)
are worked on, a completion every  prompt_s(b) + (tokens - 1) * step_s(b) / b  seconds, prompt_s being what a prompt
adds to steps that the others take anyway. Beyond `most` requests wait in order, as in M/M/c.

An approximation: tests/unit/deployment/capacity/test_queueing.py holds it against a simulation step by step, and
docs/capacity.md says how far it is off.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from deployment.capacity.engine import Engine

MOST_USED = 0.8
"""Of an engine's capacity. Above it queues are long, and too sensitive for this model to be believed."""
LENGTHS = [-math.log(1 - (k + 0.5) / 8) for k in range(8)]
"""Answers as multiples of the mean: exponential, by eighths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What requests of one model are like: prompts of one length, answers of varied ones (exponential)."""

    prompt_tokens: int
    output_tokens: int

    @property
    def context(self) -> int:
        """Tokens that a running sequence looks back at: those of long answers are seen more often."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What clients see of an engine."""

    used: float
    """Arrivals as a share of what it completes at most."""
    busy: float
    """Share of time with at least one request there."""
    ttft_s: float = math.inf
    ttft_p95_s: float = math.inf
    tokens_per_s: float = 0.0
    """Of each answer after its first token."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """An engine and what it is asked."""

    engine: Engine
    work: Work
    most: int
    """vLLM's max_num_seqs."""

    @cached_property
    def steps_s(self) -> Sequence[float]:
        """A step with 1, 2, ... running sequences."""
        return [self.engine.step_s(sequences=b, context=self.work.context) for b in range(1, self.most + 1)]

    @cached_property
    def prompts_s(self) -> Sequence[float]:
        """What a prompt adds beside 0, 1, ... running sequences."""
        return [self._prompt(self.engine.prefill_cost_s, beside) for beside in range(self.most + 1)]

    @cached_property
    def rates(self) -> Sequence[float]:
        """Completions a second with 1, 2, ... sequences."""
        tokens = self.work.output_tokens - 1
        return [1 / (self.prompts_s[b - 1] + tokens * step_s / b) for b, step_s in enumerate(self.steps_s, start=1)]

    @cached_property
    def firsts_s(self) -> Sequence[float]:
        """From a prompt's first step to its first token beside 0, 1, ... running sequences."""
        return [self._prompt(self.engine.prefill_s, beside) for beside in range(self.most)]

    def answers(self, per_s: float) -> Answers:
        """At so many arrivals a second. From the engine's capacity on, waiting has no end."""
        used = per_s / self.rates[-1]
        if used >= 1:
            return Answers(used=used, busy=1)
        chances = self._chances(per_s)
        full = chances[-1] / (1 - used)
        free = [_First(chance, *self._first(n, per_s, 1 - chances[0])) for n, chance in enumerate(chances[:-1])]
        wait_s, last_s = 1 / (self.rates[-1] - per_s), free[-1].fixed_s
        admitted_s = sum(each.chance * each.mean_s for each in free) / (1 - full)
        ttft_s = (1 - full) * admitted_s + full * (wait_s + last_s)
        there = sum(n * chance for n, chance in enumerate(chances[:-1])) + full * (self.most + per_s * wait_s)

        def later_than(t: float) -> float:
            return full * _tail(t - last_s, wait_s) + sum(each.chance * each.tail(t) for each in free)

        taken = [*chances[:-1], full]
        met = sum(n * n * chance for n, chance in enumerate(taken)) / sum(n * chance for n, chance in enumerate(taken))
        return Answers(
            used=used,
            busy=1 - chances[0],
            ttft_s=ttft_s,
            ttft_p95_s=_solved(later_than, 0.05),
            tokens_per_s=self._tokens_per_s(per_s, there / per_s - ttft_s, met, admitted_s, 1 - chances[0]),
        )

    def _prompt(self, time_s: Callable[..., float], beside: int) -> float:
        return time_s(self.work.prompt_tokens, beside=beside, context=self.work.context)

    def _chances(self, per_s: float) -> Sequence[float]:
        """Of finding 0, 1, ... `most` requests there; a geometric tail follows."""
        weights = [1.0]
        for rate in self.rates:
            weights.append(weights[-1] * per_s / rate)
        total = sum(weights[:-1]) + weights[-1] / (1 - per_s / self.rates[-1])
        return [weight / total for weight in weights]

    def _first(self, found: int, per_s: float, busy: float) -> tuple[float, float, float]:
        """To the first token for one who finds so many there: what it takes, and chance and length of a wait before.

        It takes the rest of the running step and its own prompt. Other prompts in front are as in M/D/1.
        """
        fixed_s = self.firsts_s[found]
        if not found:
            return fixed_s, 0.0, 0.0
        fixed_s += self.steps_s[found - 1] / 2
        reading = min(0.95, per_s * self.firsts_s[found - 1])
        return fixed_s, min(1.0, reading / busy), fixed_s / (2 * (1 - reading))

    def _tokens_per_s(self, per_s: float, rest_s: float, met: float, admitted_s: float, busy: float) -> float:
        """The geometric mean of two views, of which one is too high where prompts are long, the other too low.

        By Little's law the rest of a request's time is that of its tokens. Or: its own steps, those prompts that came
        while its own was read, and those that come meanwhile; each of their pieces brings a token with it. `met` is
        how many requests the engine works on as one of them sees it.
        """
        tokens = max(1, self.work.output_tokens - 1)
        answering = min(float(self.most), max(1.0, met - min(1.0, per_s / busy * admitted_s)))
        beside = round(answering)
        low = int(answering)
        step_s, next_s = self.steps_s[low - 1], self.steps_s[min(self.most, low + 1) - 1]
        step_s += (answering - low) * (next_s - step_s)
        prompt_s = self.prompts_s[beside]
        mixed_s = step_s + prompt_s / self.engine.pieces(self.work.prompt_tokens, beside)
        reading = min(0.95, per_s * prompt_s)
        came = _poisson(min(per_s * admitted_s, self.most - 1), self.most)
        interrupted_s = sum(
            chance * min(length * tokens * mixed_s, (length * tokens * step_s + count * prompt_s) / (1 - reading))
            for length in LENGTHS
            for count, chance in enumerate(came)
        )
        by_interruption = sum(LENGTHS) * tokens / interrupted_s
        by_little = min(1 / self.steps_s[0], tokens / rest_s) if rest_s > 0 else 1 / self.steps_s[0]
        return math.sqrt(by_interruption * by_little)


@dataclass(frozen=True, slots=True)
class _First:
    """Time to a first token for those who find a free place: with some chance a wait of exponential length before."""

    chance: float
    """Of being one of them."""
    fixed_s: float
    wait_chance: float
    wait_s: float

    @property
    def mean_s(self) -> float:
        return self.fixed_s + self.wait_chance * self.wait_s

    def tail(self, t: float) -> float:
        """The chance of a longer one."""
        return 1.0 if t < self.fixed_s else self.wait_chance * _tail(t - self.fixed_s, self.wait_s)


def _tail(t: float, mean_s: float) -> float:
    if t < 0:
        return 1.0
    return math.exp(-t / mean_s) if mean_s > 0 else 0.0


def _poisson(mean: float, most: int) -> Sequence[float]:
    """Chances of 0, 1, ... and of `most` or more."""
    chances = [math.exp(-mean) * mean**k / math.factorial(k) for k in range(most)]
    return [*chances, max(0.0, 1 - sum(chances))]


def _solved(later_than: Callable[[float], float], share: float) -> float:
    """The time that a share of requests exceeds: by halving."""
    low, high = 0.0, 1.0
    while later_than(high) > share:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if later_than(middle) > share else (low, middle)
    return high
