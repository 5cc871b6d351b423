"""Tasks that measure: a benchmark of hosts, and two reports beside each other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.durable import replace_files
from build.benchmark.ablate import Wish as AblationWish
from build.benchmark.ablate import ablate
from build.benchmark.ablation_page import effects
from build.benchmark.compare import LEVEL, Difference, compare, left_out
from build.benchmark.document import Report, read_report
from build.benchmark.llm_d import SCHEMA_VERSION, exported
from build.benchmark.run import Wish, run
from build.benchmark.tables import speeds, targets
from build.cli import output
from build.cli.asked_load import Asked
from build.cli.tasking import one_after_another
from build.deploy.models_file import models_files
from build.errors import DeployError
from build.remote.host import Host
from build.remote.lock import host_lock
from build.remote.target import REPOSITORY, expanded
from deployment.errors import why
from deployment.models.load import load_deployment

__all__ = ["AblationWish", "Wish", "bench", "bench_ablate", "bench_compare", "bench_export"]

DEFAULT_OUT = REPOSITORY / "out" / "bench"


def bench(hosts: Sequence[Host], models: str | None, wish: Wish, asked: Asked, out: str | None) -> None:
    files = models_files(models, hosts)
    wishes = {name: replace(wish, targets=asked.targets(load_deployment(file))) for name, file in files.items()}
    base = DEFAULT_OUT if out is None else expanded(out)

    def measure(host: Host) -> None:
        directory = base / ("local" if host.target.is_here else host.target.name)
        with host_lock(host, "fab bench") as lock:
            lock.note(is_change=False)
            report = run(host, files[host.target.name], wishes[host.target.name], directory)
        _print(report, directory)
        host.reporter.say(f"{host.reporter.elapsed_s:.0f} s in all.", style="bold green")

    one_after_another(hosts, measure)


def bench_ablate(hosts: Sequence[Host], models: str | None, wish: AblationWish, out: str | None) -> None:
    files = models_files(models, hosts)
    base = DEFAULT_OUT.with_name("ablation") if out is None else expanded(out)

    def measure(host: Host) -> None:
        directory = base / ("local" if host.target.is_here else host.target.name)
        with host_lock(host, "fab bench-ablate"):
            report = ablate(host, files[host.target.name], wish, directory)
        table = effects(report)
        shown = output.new_table(*table.columns)
        for row in table.rows:
            shown.add_row(*row)
        console = output.stdout()
        console.print(shown)
        for name, reason in report.left_out.items():
            console.print(f"{name}: left out: {reason}", markup=False, soft_wrap=True)
        console.print(f"Report: {directory / 'ablation.html'}, .md and .json beside it", markup=False)
        host.reporter.say(f"{host.reporter.elapsed_s:.0f} s in all.", style="bold green")

    one_after_another(hosts, measure)


def _print(report: Report, directory: Path) -> None:
    shown = speeds(report)
    kept = (0, 2, 3, 4, 5, 6, 7, 9, len(shown.columns) - 1)
    table = output.new_table(*(shown.columns[index] for index in kept))
    for row in shown.rows:
        table.add_row(*(row[index] for index in kept))
    console = output.stdout()
    console.print(table)
    if report.targets:
        goals = targets(report)
        table = output.new_table(*goals.columns)
        for row in goals.rows:
            table.add_row(*row)
        console.print(table)
    console.print(f"Report: {directory / 'report.html'}, report.md and report.json beside it", markup=False)


def bench_compare(before: str, after: str, *, json: bool) -> None:
    reports: list[Report] = []
    problems: list[str] = []
    for path in (before, after):
        try:
            reports.append(read_report(expanded(path)))
        except DeployError as error:
            problems += error.problems
    if problems:
        raise DeployError(*problems)
    differences, missing = compare(*reports), left_out(*reports)
    if json:
        output.print_json({"level": LEVEL, "differences": differences, "left_out": missing})
        return
    console = output.stdout()
    table = output.new_table("cell", "model", "figure", "before", "after", "change", "p", "")
    for each in differences:
        table.add_row(*_compared(each))
    console.print(table)
    for line in missing:
        console.print(f"Not compared: {line}.", style="yellow", markup=False)
    changed = sum(each.is_significant for each in differences)
    console.print(f"{changed} of {len(differences)} differ at the level of {LEVEL:g}, all considered together.")


def bench_export(report: str, out: str | None) -> None:
    source = expanded(report)
    read = read_report(source)
    directory = expanded(out) if out else (source if source.is_dir() else source.parent) / "llm-d"
    made = {directory / name: text for name, text in exported(read).items()}
    if not made:
        raise DeployError(f"{report}: no load in it has a result. Measure again.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        replace_files(made, mode=0o644)
    except OSError as error:
        raise DeployError(f"--out: {directory}: cannot be written: {why(error)}. Name another directory.") from None
    said = f"{directory}: {len(made)} files in the schema of llm-d-benchmark {SCHEMA_VERSION}"
    output.stdout().print(said, markup=False, soft_wrap=True)


def _compared(each: Difference) -> list[str]:
    verdict = ("slower" if each.change > 0 else "faster") if each.is_significant else "no difference seen"
    name, before, after = each.figure.removesuffix("_s"), f"{each.before:.4g} s", f"{each.after:.4g} s"
    return [each.cell, each.model, name, before, after, f"{each.change:+.1%}", f"{each.p:.4f}", verdict]
