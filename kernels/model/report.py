"""The table of the modelled benchmark, in Markdown."""

from kernels.model.case import Case, Result

HEAD = """Neoverse V2 (LLVM 19's model), one core. Modelled, not measured: no caches, no branch prediction.

| case | instructions | cycles d16 | d8 | d6 | figure at d8 | of ideal | bar | | against plain C++ |
|---|---:|---:|---:|---:|---:|---:|---:|---|---:|"""


def figure(case: Case, value: float) -> str:
    if case.figure == "cycles":
        return f"{value:.0f} cycles"
    unit = f"{case.unit}/cycle" if case.figure == "per_cycle" else f"cycles/{case.unit}"
    return f"{value:.3g} {unit}" if value < 10 else f"{value:.2f} {unit}"


def bar(case: Case) -> str:
    if case.at_least is not None:
        return f"≥ {case.at_least:g}"
    return "" if case.at_most is None else f"≤ {case.at_most:g}"


def row(result: Result, plain: Result | None) -> str:
    modelled = result.modelled
    ideal = result.share_of_ideal()
    cells = [
        result.case.name + (" ¹" if modelled.calls_outside else ""),
        str(modelled.instructions),
        *(str(modelled.cycles[width]) for width in (16, 8, 6)),
        figure(result.case, result.figure()),
        "" if ideal is None else f"{ideal:.1%}",
        bar(result.case),
        result.verdict(),
        "" if plain is None else f"{plain.cycles_per_unit() / result.cycles_per_unit():.1f} x",
    ]
    return f"| {' | '.join(cells)} |"


def markdown(results: list[Result]) -> str:
    by_name = {result.case.name: result for result in results}
    lines = [row(result, by_name.get(result.case.plain or "")) for result in results]
    foot = "\n\n¹ calls functions that are not in the figures (named in bench.json as calls_outside)."
    return "\n".join([HEAD, *lines]) + (foot if any(r.modelled.calls_outside for r in results) else "")
