"""A report for people: Markdown, and one HTML page that needs nothing else."""

from collections.abc import Iterable, Iterator
from html import escape

from build.benchmark import plots
from build.benchmark.document import Report
from build.benchmark.tables import Table, tables

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 1rem auto; padding: 0 1rem }
h2 { margin-top: 2rem } .how { opacity: .75; max-width: 46rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #8886; text-align: left; vertical-align: top }
figure { margin: 1.5rem 0; max-width: 44rem } figcaption { font-weight: 600; margin-bottom: .4rem } svg { width: 100%; height: auto; font-size: 13px }
svg text { fill: currentColor } .strong { font-weight: 600 } .grid { stroke: #8885; stroke-width: 1 }
@media print { body { max-width: none } .wide { overflow: visible } table { font-size: 9px } figure, tr { break-inside: avoid } }
"""  # noqa: E501


def heading(report: Report) -> str:
    return f"Benchmark of {report.host}, {report.began_at}"


def origin(report: Report) -> str:
    """What was measured, in one sentence."""
    changed = ", with changes" if report.checkout.is_changed else ""
    quick = "A quick run: short prompts, few requests. " if report.is_quick else ""
    load = report.machine.load_before
    busy = f"The computer was busy before (load average {load:.1f}): other work slowed this. " if load > 1 else ""
    return (
        f"{busy}{quick}Release {report.release} on engine environment {report.engine_environment}, measured by commit "
        f"{report.checkout.commit[:12]}{changed}, pins {report.pins_digest}. docs/benchmarks.md explains each figure."
    )


def markdown(report: Report) -> str:
    """The whole report but its plots and samples."""
    return text_of(heading(report), origin(report), tables(report))


def text_of(title: str, said: str, shown: Iterable[Table]) -> str:
    """A document in Markdown."""
    parts = [f"# {title}", "", said, ""]
    for table in shown:
        parts += [f"## {table.heading}", "", table.how, "", *_markdown_rows(table), ""]
    return "\n".join(parts)


def _markdown_rows(table: Table) -> Iterator[str]:
    yield _markdown_row(table.columns)
    yield f"|{'---|' * len(table.columns)}"
    yield from map(_markdown_row, table.rows)


def _markdown_row(cells: object) -> str:
    assert isinstance(cells, (list, tuple)), "a row"
    texts = (" ".join(str(cell).replace("|", "\\|").split()) for cell in cells)
    return f"| {' | '.join(texts)} |"


def html(report: Report) -> str:
    """The whole report but its samples, on one page."""
    return page(heading(report), origin(report), figures(report), tables(report))


def page(title: str, said: str, plotted: Iterable[tuple[str, str]], shown: Iterable[Table]) -> str:
    """A document in HTML, in one file."""
    title = escape(title)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        f"<h1>{title}</h1><p>{escape(said)}</p>",
        *(f"<figure><figcaption>{escape(name)}</figcaption>{svg}</figure>" for name, svg in plotted),
    ]
    for table in shown:
        parts += [f'<h2>{escape(table.heading)}</h2><p class="how">{escape(table.how)}</p><div class="wide"><table>']
        parts += [_html_row(table.columns, "th"), *(_html_row(row, "td") for row in table.rows), "</table></div>"]
    return "\n".join([*parts, "</body></html>\n"])


def _html_row(cells: object, tag: str) -> str:
    assert isinstance(cells, (list, tuple)), "a row"
    return f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells)}</tr>"


def figures(report: Report) -> Iterator[tuple[str, str]]:
    """Throughput against concurrency, distributions of latency, and each model against its roofline; with titles."""
    throughput: dict[str, list[tuple[float, float]]] = {}
    first: dict[str, list[float]] = {}
    gaps: dict[str, list[float]] = {}
    for cell, load in report.loads:
        if cell.is_warm or not load.requests:
            continue
        beside = " (together)" if len(cell.models) > 1 else ""
        name = f"{load.model} {cell.profile}{beside}"
        throughput.setdefault(name, []).append((cell.concurrency, load.output_tokens_per_s))
        if not beside:
            key = f"{name}, {cell.concurrency} in flight"
            first[key] = [1000 * each.ttft_s for each in load.requests]
            gaps[key] = [1000 * gap for each in load.requests for gap in each.gaps_s]
    if throughput:
        name = "Throughput, cold prompts (measured)"
        yield name, plots.lines(name, "requests in flight", "tokens/s", throughput)
        name = "Time to the first token, cold prompts (measured)"
        yield name, plots.distribution(name, "ms", first)
        name = "Time between tokens, cold prompts (measured)"
        yield name, plots.distribution(name, "ms", gaps)
    if report.rooflines:
        rows = {
            each.model: [("roofline (modelled)", each.modelled_tokens_per_s)]
            + ([("measured", each.measured_tokens_per_s)] if each.measured_tokens_per_s else [])
            for each in report.rooflines
        }
        name = "One request at a time, against the roofline"
        yield name, plots.bars(name, "tokens/s", rows)
