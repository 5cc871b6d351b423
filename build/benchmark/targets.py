"""Whether each model was as fast as it must be, and what held it back where it was not."""

from collections.abc import Mapping, Sequence

from build.benchmark.document import CellReport, Report
from build.benchmark.figures import Frozen, Load
from build.benchmark.plots import number
from build.benchmark.roofline import Roofline
from deployment.capacity.load import Target


class Verdict(Frozen):
    """One model in one load, beside its target."""

    cell: CellReport
    load: Load
    target: Target
    misses: tuple[str, ...]
    held_back_by: str
    """Empty where nothing was missed."""


def verdicts(report: Report) -> Sequence[Verdict]:
    """Judge all loads of models that have a target, with prompts that the engine had not seen."""
    rooflines = {each.model: each for each in report.rooflines}
    return [
        _verdict(cell, load, report.targets[load.model], rooflines)
        for cell, load in report.loads
        if load.model in report.targets and load.requests and not cell.is_warm
    ]


def _verdict(cell: CellReport, load: Load, target: Target, rooflines: Mapping[str, Roofline]) -> Verdict:
    misses = []
    if target.ttft_p95_s is not None and load.ttft_s.p95 > target.ttft_p95_s:
        misses.append(f"TTFT p95 {number(load.ttft_s.p95)} s instead of {target.ttft_p95_s:g}")
    is_slow = target.tokens_per_s is not None and 0 < load.answer_tokens_per_s < target.tokens_per_s
    if is_slow:
        misses.append(f"{number(load.answer_tokens_per_s)} tokens/s instead of {target.tokens_per_s:g}")
    limit = rooflines.get(load.model)
    return Verdict(
        cell=cell,
        load=load,
        target=target,
        misses=tuple(misses),
        held_back_by=_cause(cell, target, limit, is_slow=is_slow) if misses else "",
    )


def _cause(cell: CellReport, target: Target, limit: Roofline | None, *, is_slow: bool) -> str:
    """As far as these figures can tell: which resource, or who else had it."""
    if is_slow and limit and target.tokens_per_s and limit.modelled_tokens_per_s < target.tokens_per_s:
        return f"memory bandwidth: {number(limit.modelled_tokens_per_s)} tokens/s is the most, modelled"
    if len(cell.models) > 1:
        return "the models beside it, or its own limit: see its loads alone"
    if cell.concurrency > 1:
        return "the requests beside it: they share each step"
    if not is_slow:
        return "reading the prompt: computing"
    return limit.bound if limit else "unknown"
