"""Benchmark reports of known samples."""

from collections.abc import Sequence

from agent.bench_messages import Generated
from build.benchmark.document import CellReport, Checkout, Machine, Quality, Report
from build.benchmark.figures import Load, load_of
from build.benchmark.roofline import Roofline, TokenBytes

MACHINE = Machine(
    processor={"Architecture": "x86_64", "CPU(s)": "2"},
    memory={"MemTotal": "8000000 kB", "transparent huge pages": "madvise"},
    load_before=0.25,
    bandwidth_bytes_per_s={
        "1": {"read": 10e9, "copy": 8e9, "triad": 9e9},
        "2": {"read": 16e9, "copy": 12e9, "triad": 13e9},
    },
    peak_ops_per_s={"bfloat16": 2e11},
    buffer_bytes=268435456,
)


def generated(
    latencies_s: Sequence[float],
    ttfts_s: Sequence[float] | None = None,
    *,
    tokens: int = 11,
    counted: int | None = None,
) -> Generated:  # fmt: skip
    """What a generator leaves whose requests came one after the other; `counted` is what the engine says."""
    count = len(latencies_s)
    starts = [sum(latencies_s[:index]) for index in range(count)]
    firsts = ttfts_s or [0.5] * count
    decodes = [latency - first for latency, first in zip(latencies_s, firsts, strict=True)]
    gaps = [[each / (tokens - 1)] * (tokens - 1) for each in decodes]
    result = {
        "duration": sum(latencies_s),
        "failed": 0,
        "total_output_tokens": tokens * count,
        "start_times": starts,
        "ttfts": list(firsts),
        "latencies": list(latencies_s),
        "input_lens": [100] * count,
        "output_lens": [tokens] * count,
        "itls": gaps,
        "errors": [""] * count,
    }
    after = 1000 + (tokens * count if counted is None else counted)
    return Generated(result, "", 0.0011, {"generation_tokens_total": 1000.0}, {"generation_tokens_total": after})


def cell(loads: Sequence[Load], *, concurrency: int = 1, is_warm: bool = False) -> CellReport:
    models = tuple(load.model for load in loads)
    return CellReport(
        key=f"{models[0]}-chat-c{concurrency}",
        models=models,
        profile="chat",
        concurrency=concurrency,
        is_warm=is_warm,
        seed=1,
        overlap_share=1.0,
        loads=tuple(loads),
    )


def report(*cells: CellReport) -> Report:
    """A report of some cells; without any, of one that is easy to reckon."""
    return Report(
        host="somewhere",
        began_at="2026-12-01T00:00:00Z",
        is_quick=False,
        checkout=Checkout(commit="0123456789abcdef", is_changed=False),
        pins_digest="feed",
        release="20261201T000000-aaaaaaaa",
        engine_environment="beef",
        vllm="0.32.0",
        machine=MACHINE,
        rooflines=(
            Roofline(
                model="alpha",
                threads=2,
                context_tokens=105,
                bytes_per_token=TokenBytes(weights=700_000_000, head=90_000_000, kv_cache=10_000_000),
                read_bytes_per_s=16e9,
                modelled_tokens_per_s=20.0,
                measured_tokens_per_s=10.0,
            ),
        ),
        quality=(
            Quality(
                model="alpha", nats=69.3147180559945, tokens=50, text_bytes=100, right=28, questions=30,
                wrong=("2 + 3? 5: '6'",), problems=(),
            ),
        ),
        cells=cells or (cell([load_of("alpha", generated([1.5] * 4))]),),
    )  # fmt: skip
