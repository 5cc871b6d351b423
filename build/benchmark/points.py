"""What a benchmark's report says to the planner of capacity: speeds of one model alone by prompt and concurrency."""

from build.benchmark.cells import PROFILES
from build.benchmark.document import CellReport, Report
from build.benchmark.figures import Load
from build.errors import DeployError
from deployment.capacity.calibration import Point, Points


def points_of(report: Report, name: str) -> Points:
    """Return the cold loads of single models that can be believed. Raises DeployError where there is none.

    Prefix caches and pictures are not modelled, nor is what engines beside each other cost: those loads are left out.
    """
    found = tuple(_point(cell, cell.loads[0]) for cell in report.cells if _is_plain(cell))
    if not found:
        what = f"{name}: no load of one model alone, without shared prefix, that is free of notes, got none"
        raise DeployError(f"{what}. Run `fab bench --profile chat,long` while nobody else asks.")
    cpus = report.machine.processor.get("CPU(s)", "")
    if not cpus.isascii() or not cpus.isdigit():
        raise DeployError(f"{name}: machine.processor: CPU(s) is no count, got {cpus or 'nothing'}. Measure again.")
    return Points(schema="axion.capacity.points/1", vcpus=int(cpus), points=found)


def _is_plain(cell: CellReport) -> bool:
    profile = PROFILES.get(cell.profile)
    if profile is None or profile.prefix_tokens or profile.pictures or cell.is_warm or len(cell.loads) != 1:
        return False
    (load,) = cell.loads
    return load.is_exact and bool(load.requests) and _mean([each.output_tokens for each in load.requests]) > 1


def _point(cell: CellReport, load: Load) -> Point:
    return Point(
        model=load.model,
        concurrency=cell.concurrency,
        prompt_tokens=_mean([each.prompt_tokens for each in load.requests]),
        output_tokens=_mean([each.output_tokens for each in load.requests]),
        tokens_per_s=load.output_tokens_per_s,
        ttft_s=load.ttft_s.mean,
    )


def _mean(counts: list[int]) -> int:
    return round(sum(counts) / len(counts))
