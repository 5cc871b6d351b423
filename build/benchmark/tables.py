"""The tables of a report, and what it says about each figure: once, for Markdown and for HTML."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from build.benchmark.document import CellReport, Quality, Report
from build.benchmark.figures import Load
from build.benchmark.plots import number
from build.benchmark.targets import Verdict, verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a heading, and how its figures were obtained."""

    heading: str
    how: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def ms(value_s: float) -> str:
    return number(1000 * value_s)


def tables(report: Report) -> Iterator[Table]:
    """Everything that a report says, in the order in which one reads it."""
    yield speeds(report)
    if report.targets:
        yield targets(report)
    yield rooflines(report)
    yield from machine(report)
    yield quality(report)


def speeds(report: Report) -> Table:
    """One row for each model in each cell."""
    return Table(
        heading="Speed and latency",
        how="Measured by `vllm bench serve` on the host, through the gateway. p50 and p95 of single requests; "
        "tokens/s and requests/min over the whole cell, of one model. Cold: prompts that the engine had not seen. "
        "Warm: the same prompts again. A row with a note is not to be believed before the note is understood.",
        columns=(
            *("model", "beside it", "profile", "in flight", "prompts", "tokens/s", "requests/min"),
            *("TTFT p50 ms", "p95", "per token p50 ms", "p95", "answer p50 s", "p95", "prefix hits", "note"),
        ),
        rows=[_speed(cell, load) for cell, load in report.loads],
    )


def _speed(cell: CellReport, load: Load) -> list[str]:
    others = [name for name in cell.models if name != load.model]
    hits = "-" if load.prefix_hit_share is None else f"{load.prefix_hit_share:.0%}"
    notes = [load.mark] if load.mark else []
    if others and cell.overlap_share < 0.8:
        notes.append(f"all models were asked in {cell.overlap_share:.0%} of the time only")
    figures = [number(load.output_tokens_per_s), number(load.requests_per_min)]
    figures += [ms(load.ttft_s.p50), ms(load.ttft_s.p95), ms(load.tpot_s.p50), ms(load.tpot_s.p95)]
    figures += [number(load.latency_s.p50), number(load.latency_s.p95)]
    where = [load.model, ", ".join(others) or "-", cell.profile, str(cell.concurrency)]
    return [*where, "warm" if cell.is_warm else "cold", *figures, hits, "; ".join(notes) or "-"]


def targets(report: Report) -> Table:
    """One row for each model in each load that it has a target for."""
    return Table(
        heading="Targets",
        how="Measured, with prompts that the engine had not seen. Tokens/s of an answer after its first token, on "
        "average (1 / mean time per token). What held it back is concluded from these figures and the roofline.",
        columns=(
            *("model", "beside it", "profile", "in flight", "TTFT p95 s", "target", "tokens/s", "target"),
            *("verdict", "held back by"),
        ),
        rows=[_target(each) for each in verdicts(report)],
    )


def _target(each: Verdict) -> list[str]:
    others = [name for name in each.cell.models if name != each.load.model]
    goals = ["-" if goal is None else f"{goal:g}" for goal in (each.target.ttft_p95_s, each.target.tokens_per_s)]
    found = [number(each.load.ttft_s.p95), number(each.load.answer_tokens_per_s)]
    where = [each.load.model, ", ".join(others) or "-", each.cell.profile, str(each.cell.concurrency)]
    return [
        *where,
        found[0],
        goals[0],
        found[1],
        goals[1],
        "missed" if each.misses else "met",
        each.held_back_by or "-",
    ]


def rooflines(report: Report) -> Table:
    rows = []
    for each in report.rooflines:
        needs = each.bytes_per_token
        sizes = [f"{size / 1e9:.3f}" for size in (needs.weights, needs.head, needs.kv_cache, needs.total)]
        measured = "-" if each.measured_tokens_per_s is None else number(each.measured_tokens_per_s)
        share = "-" if each.efficiency is None else f"{each.efficiency:.0%}"
        limits = [f"{each.read_bytes_per_s / 1e9:.1f}", number(each.modelled_tokens_per_s), measured, share, each.bound]
        rows.append([each.model, str(each.threads), *sizes, *limits])
    return Table(
        heading="Roofline",
        how="Modelled: the bytes that a token reads, from the lock file's tensors, over the reading bandwidth that was "
        "measured with the engine's number of threads. Measured tokens/s: 1 / (p50 of the time per token), one request "
        "at a time. Efficiency: measured / modelled.",
        columns=(
            *("model", "threads", "weights GB", "head GB", "KV GB", "GB a token", "read GB/s"),
            *("modelled tokens/s", "measured", "efficiency", "bound by"),
        ),
        rows=rows,
    )


def machine(report: Report) -> Iterator[Table]:
    found = report.machine
    yield Table(
        heading="Memory bandwidth",
        how=f"Measured by torch on three buffers of {found.buffer_bytes >> 20} MiB, GB/s, the best of five or more "
        "rounds. Bytes as STREAM counts them. Other work on the computer lowers it.",
        columns=("threads", "read", "copy", "triad"),
        rows=[
            [threads, *(f"{figures[kind] / 1e9:.1f}" for kind in ("read", "copy", "triad"))]
            for threads, figures in found.bandwidth_bytes_per_s.items()
        ],
    )
    yield Table(
        heading="Matrix products",
        how="Measured by torch on all cores with square matrices, the best of five rounds or more: multiplications and "
        "additions a second, in thousands of millions.",
        columns=("element", "Gop/s"),
        rows=[[name, number(value / 1e9)] for name, value in found.peak_ops_per_s.items()],
    )
    facts = {**found.processor, **found.memory, "load average before": f"{found.load_before:.2f}"}
    facts.pop("Flags", None)
    yield Table(
        heading="Computer",
        how="As lscpu and the kernel say.",
        columns=("fact", "value"),
        rows=[[name, value] for name, value in facts.items()],
    )


def quality(report: Report) -> Table:
    return Table(
        heading="Quality",
        how="Measured through the API, greedily. Bits per byte of a fixed text of this project's own: lower is better, "
        "and comparable between tokenizers. Right answers of short questions that have one. They show that a model is "
        "whole; they rank no models.",
        columns=("model", "bits per byte", "perplexity", "right", "note"),
        rows=[_quality(each) for each in report.quality],
    )


def _quality(each: Quality) -> list[str]:
    bits = "-" if each.bits_per_byte is None else f"{each.bits_per_byte:.3f}"
    perplexity = "-" if each.perplexity is None else number(each.perplexity)
    return [each.model, bits, perplexity, f"{each.right} of {each.questions}", "; ".join(each.problems[:2]) or "-"]
