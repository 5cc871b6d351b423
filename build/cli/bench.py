"""Tasks that measure: a benchmark of hosts, and two reports beside each other."""

from collections.abc import Sequence
from pathlib import Path

from build.benchmark.ablate import Wish as AblationWish
from build.benchmark.ablate import ablate
from build.benchmark.ablation_page import effects
from build.benchmark.compare import LEVEL, Difference, compare, left_out
from build.benchmark.document import Report, read_report
from build.benchmark.run import Wish, run
from build.benchmark.tables import speeds
from build.cli import output
from build.cli.tasking import one_after_another
from build.deploy.models_file import models_files
from build.errors import DeployError
from build.remote.host import Host
from build.remote.lock import host_lock
from build.remote.target import REPOSITORY, expanded

__all__ = ["AblationWish", "Wish", "bench", "bench_ablate", "bench_compare"]

DEFAULT_OUT = REPOSITORY / "out" / "bench"


def bench(hosts: Sequence[Host], models: str | None, wish: Wish, out: str | None) -> None:
    files = models_files(models, hosts)
    base = DEFAULT_OUT if out is None else expanded(out)

    def measure(host: Host) -> None:
        directory = base / ("local" if host.target.is_here else host.target.name)
        with host_lock(host, "fab bench") as lock:
            lock.note(is_change=False)
            report = run(host, files[host.target.name], wish, directory)
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
        for name, why in report.left_out.items():
            console.print(f"{name}: left out: {why}", markup=False, soft_wrap=True)
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


def _compared(each: Difference) -> list[str]:
    verdict = ("slower" if each.change > 0 else "faster") if each.is_significant else "no difference seen"
    name, before, after = each.figure.removesuffix("_s"), f"{each.before:.4g} s", f"{each.after:.4g} s"
    return [each.cell, each.model, name, before, after, f"{each.change:+.1%}", f"{each.p:.4f}", verdict]
