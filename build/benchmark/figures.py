"""From what a generator and an engine's counters say to the figures of a report."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from agent.bench_messages import Generated

TOKENS = "generation_tokens_total"


class Frozen(BaseModel):
    """A part of a report: closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Request(Frozen):
    """One request as its client saw it."""

    start_s: float
    """On the host's monotonic clock."""
    ttft_s: float
    latency_s: float
    """To the last token."""
    prompt_tokens: int
    output_tokens: int
    gaps_s: tuple[float, ...]
    """Between events of its stream."""

    @property
    def tpot_s(self) -> float:
        """The time of each token after the first."""
        return (self.latency_s - self.ttft_s) / max(1, self.output_tokens - 1)


class Spread(Frozen):
    """A distribution in four numbers."""

    p50: float
    p95: float
    p99: float
    mean: float


class Load(Frozen):
    """One model's part in one cell: every sample, and what follows from them."""

    model: str
    requests: tuple[Request, ...]
    failed: int
    problem: str
    duration_s: float
    output_tokens_per_s: float
    requests_per_min: float
    ttft_s: Spread
    tpot_s: Spread
    gap_s: Spread
    latency_s: Spread
    engine_tokens: int
    """By the engine's own count, `vllm:generation_tokens_total`, over the cell."""
    client_tokens: int
    prefix_hit_share: float | None
    """Of the tokens that the engine looked up in its prefix cache."""
    preemptions: int
    client_cpu_per_token_s: float

    @property
    def is_exact(self) -> bool:
        """Whether engine and client counted the same tokens, and nothing failed."""
        return self.engine_tokens == self.client_tokens and not self.failed and not self.problem

    @property
    def answer_tokens_per_s(self) -> float:
        """Of one answer after its first token, on average; 0 where answers had no second one."""
        return 1 / self.tpot_s.mean if self.tpot_s.mean else 0.0

    @property
    def mark(self) -> str:
        """What to think of before these figures are believed; nothing where all is well."""
        if self.problem:
            return f"no result: {self.problem}"
        words = [f"{self.failed} requests failed"] if self.failed else []
        if self.engine_tokens != self.client_tokens:
            words.append(f"the engine counted {self.engine_tokens} tokens, the client {self.client_tokens}")
        return "; ".join(words)


def percentile(values: Sequence[float], percent: float) -> float:
    """Interpolate between the two nearest ranks, as numpy does by default; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: Sequence[float]) -> Spread:
    return Spread(
        p50=percentile(values, 50),
        p95=percentile(values, 95),
        p99=percentile(values, 99),
        mean=statistics.fmean(values) if values else 0.0,
    )


def load_of(model: str, generated: Generated) -> Load:
    """Make the figures of one generator's result."""
    result = generated.result or {}
    requests = tuple(_requests(result))
    duration_s = float(result.get("duration", 0.0))
    tokens = sum(each.output_tokens for each in requests)
    counted = {name: generated.after.get(name, 0.0) - generated.before.get(name, 0.0) for name in generated.after}
    queried = counted.get("prefix_cache_queries_total", 0.0)
    return Load(
        model=model,
        requests=requests,
        failed=int(result.get("failed", 0)),
        problem=generated.problem,
        duration_s=duration_s,
        output_tokens_per_s=tokens / duration_s if duration_s else 0.0,
        requests_per_min=60 * len(requests) / duration_s if duration_s else 0.0,
        ttft_s=spread([each.ttft_s for each in requests]),
        tpot_s=spread([each.tpot_s for each in requests]),
        gap_s=spread([gap for each in requests for gap in each.gaps_s]),
        latency_s=spread([each.latency_s for each in requests]),
        engine_tokens=round(counted.get(TOKENS, 0.0)),
        client_tokens=tokens,
        prefix_hit_share=counted.get("prefix_cache_hits_total", 0.0) / queried if queried else None,
        preemptions=round(counted.get("num_preemptions_total", 0.0)),
        client_cpu_per_token_s=generated.cpu_s / tokens if tokens else 0.0,
    )


def _requests(result: Mapping[str, Any]) -> list[Request]:
    """Those that succeeded, in the order in which they were sent: a failed one has no latency."""
    names = ("start_times", "ttfts", "latencies", "input_lens", "output_lens", "itls", "errors")
    columns = [result.get(name, []) for name in names]
    found = [
        Request(
            start_s=start,
            ttft_s=ttft,
            latency_s=latency,
            prompt_tokens=prompt,
            output_tokens=output,
            gaps_s=tuple(gaps),
        )
        for start, ttft, latency, prompt, output, gaps, error in zip(*columns, strict=True)
        if not error and output
    ]
    return sorted(found, key=lambda each: each.start_s)


def overlap_share(loads: Sequence[Load]) -> float:
    """How much of the time in which any of some models was asked all of them were."""
    spans = [
        (min(each.start_s for each in load.requests), max(each.start_s + each.latency_s for each in load.requests))
        for load in loads
        if load.requests
    ]
    if len(spans) < len(loads) or not spans:
        return 0.0
    shared = min(end for _, end in spans) - max(begin for begin, _ in spans)
    return max(0.0, shared / (max(end for _, end in spans) - min(begin for begin, _ in spans)))
