"""An ablation for people: Markdown, and one HTML page that needs nothing else."""

from collections.abc import Iterator

from build.benchmark import plots
from build.benchmark.ablation import BASE, AblationReport, Effect
from build.benchmark.render import page, text_of
from build.benchmark.tables import Table

HOW = (
    "Measured. Each round starts the model once as it is and once without each optimisation, in random order. Change: "
    "the figure with it against the figure without it, averaged over the rounds, with its interval of 95 %. Visible: "
    "the smallest change that so many rounds show in four cases out of five. Many figures are tested here, and one in "
    "twenty looks changed by chance alone."
)


def heading(report: AblationReport) -> str:
    return f"What each optimisation of {report.model} brings on {report.host}, {report.began_at}"


def origin(report: AblationReport) -> str:
    """What was measured, in a few sentences."""
    quick = "A quick run: short prompts, few requests. " if report.is_quick else ""
    changed = ", with changes" if report.checkout.is_changed else ""
    starts = len(report.blocks)
    return (
        f"{quick}{starts} starts of the engine on environment {report.engine_environment}, measured by commit "
        f"{report.checkout.commit[:12]}{changed}, pins {report.pins_digest}. docs/benchmarks.md explains each figure."
    )


def tables(report: AblationReport) -> Iterator[Table]:
    yield effects(report)
    yield Table(
        heading="Without it",
        how="What is served instead, and how well the model then does, as `fab bench` measures it.",
        columns=("variant", "what is served", "bits per byte", "right"),
        rows=[
            [each.name, each.what, *_quality(each.quality.bits_per_byte, each.quality.right)]
            if each.quality
            else [each.name, each.what, "-", "-"]
            for each in report.variants
        ],
    )
    if report.left_out:
        yield Table(
            heading="Left out",
            how="These cannot be served on this host without it.",
            columns=("variant", "why"),
            rows=[list(each) for each in report.left_out.items()],
        )


def _quality(bits: float | None, right: int) -> list[str]:
    return ["-" if bits is None else f"{bits:.4f}", str(right)]


def effects(report: AblationReport) -> Table:
    return Table(
        heading="What each brings",
        how=HOW,
        columns=(
            "optimisation",
            "load",
            "figure",
            "with it",
            "without it",
            "change",
            "from",
            "to",
            "visible",
            "rounds",
        ),
        rows=[_effect(each) for each in report.effects],
    )


def _effect(each: Effect) -> list[str]:
    scale = 1 if each.figure == "tokens/s" else 1000
    figure = each.figure if scale == 1 else f"{each.figure} ms"
    values = [plots.number(scale * value) for value in (each.with_it, each.without_it)]
    seen = "" if each.is_seen else " (not seen)"
    change = f"{each.change:+.1%}{seen}"
    return [each.variant, each.cell, figure, *values, change, f"{each.low:+.1%}", f"{each.high:+.1%}",
            f"{each.visible:.1%}", str(each.rounds)]  # fmt: skip


def figures(report: AblationReport) -> Iterator[tuple[str, str]]:
    """Tokens a second with and without each, for each load."""
    for cell in dict.fromkeys(each.cell for each in report.effects):
        rows = {
            each.variant: [(BASE, each.with_it), ("without it", each.without_it)]
            for each in report.effects
            if each.cell == cell and each.figure == "tokens/s"
        }
        if rows:
            name = f"Tokens/s: {cell} (measured)"
            yield name, plots.bars(name, "tokens/s", rows)


def markdown(report: AblationReport) -> str:
    return text_of(heading(report), origin(report), tables(report))


def html(report: AblationReport) -> str:
    return page(heading(report), origin(report), figures(report), tables(report))
