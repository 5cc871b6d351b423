"""The tasks that measure, with their options: for these fabfile.py had no room. build/cli/bench.py does them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from build.cli.arguments import (
    Choice,
    Location,
    Name,
    Names,
    Positive,
    Rounds,
    Several,
    Timeout,
    WhenUsed,
    Whole,
    host_task,
    task,
)

if TYPE_CHECKING:
    from build.remote.host import Host

    Hosts = Sequence[Host]

Profiles = Annotated[tuple[str, ...], Several(Choice(("chat", "code", "long", "long-shared", "pictures")), "chat,code")]
Concurrency = Annotated[tuple[int, ...], Several(Whole(1, 512), "1,2,4,8")]

BENCH_HELP = {
    "models": "models file (default: AXION_MODELS, else the host's own, else models.yaml)",
    "only": "these models, separated by commas (default: all that are served)",
    "out": "directory of the report; the same one again goes on where a benchmark stopped (default: out/bench)",
    "profile": "chat, code, long, long-shared or pictures, or several, separated by commas (default: chat)",
    "concurrency": "requests in flight at once, separated by commas (default: 1,2,4,8)",
    "quick": "short prompts and few requests: minutes, and rough figures",
    "when_used": "refuse or go-on, where others are using the host (default: refuse)",
    "timeout_s": "seconds for each load (default: 1800)",
}
TARGETS_HELP = {
    "load": "a YAML file that says how fast each model's answers must be, as in docs/capacity.md",
    "ttft_s": "seconds in which 95 % of answers must begin",
    "tokens_per_s": "tokens a second that each answer must have",
}


@host_task(**BENCH_HELP, **TARGETS_HELP)
def bench(  # noqa: PLR0913, PLR0917 - a task's options are its arguments
    hosts: "Hosts",
    models: Location | None = None,
    only: Names = (),
    out: Location | None = None,
    profile: Profiles = ("chat",),
    concurrency: Concurrency = (1, 2, 4, 8),
    quick: bool = False,
    when_used: WhenUsed = "refuse",
    timeout_s: Timeout = 1800.0,
    load: Location | None = None,
    ttft_s: Positive | None = None,
    tokens_per_s: Positive | None = None,
) -> None:
    """Measure speed, latency, quality and the computer's limits through the gateway, and write a report."""
    from build.cli import bench as task
    from build.cli.asked_load import Asked

    wish = task.Wish(
        models=only,
        profiles=profile,
        concurrency=tuple(sorted(concurrency)),
        is_quick=quick,
        goes_on_when_used=when_used == "go-on",
        cell_timeout_s=timeout_s,
    )
    task.bench(hosts, models, wish, Asked.of(load, None, None, None, ttft_s, tokens_per_s), out)


ABLATE_HELP = {
    "models": BENCH_HELP["models"],
    "model": "the model (default: the only one)",
    "off": "what to take away, each by itself, separated by commas (default: all that it has, and everything at once)",
    "rounds": "starts of each variant: 4 show large changes, 10 small ones",
    "out": "directory of the report; the same one again goes on where it stopped (default: out/ablation)",
    **{name: BENCH_HELP[name] for name in ("profile", "concurrency", "quick", "timeout_s")},
}


@host_task(**ABLATE_HELP)
def bench_ablate(  # noqa: PLR0913, PLR0917 - a task's options are its arguments
    hosts: "Hosts",
    models: Location | None = None,
    model: Name | None = None,
    off: Names = (),
    rounds: Rounds = 4,
    out: Location | None = None,
    profile: Profiles = ("chat",),
    concurrency: Concurrency = (1,),
    quick: bool = False,
    timeout_s: Timeout = 1800.0,
) -> None:
    """Start a model with and without each of its optimisations, and say what each brings. Ends what it answers."""
    from build.cli import bench as task

    wish = task.AblationWish(
        model=model,
        off=off,
        rounds=rounds,
        profiles=profile,
        concurrency=tuple(sorted(concurrency)),
        is_quick=quick,
        cell_timeout_s=timeout_s,
    )
    task.bench_ablate(hosts, models, wish, out)


COMPARE_HELP = {"before": "a report.json of `fab bench`, or its directory", "after": "another one"}


@task("before", "after", **COMPARE_HELP, json="print JSON")
def bench_compare(before: Location, after: Location, json: bool = False) -> None:
    """Say which figures of two benchmarks differ by more than chance."""
    from build.cli import bench as task

    task.bench_compare(before, after, json=json)


@task(
    "report",
    report=COMPARE_HELP["before"],
    out="directory of the files (default: llm-d, beside the report)",
)
def bench_export(report: Location, out: Location | None = None) -> None:
    """Write a benchmark in the schema of llm-d-benchmark, a file for each load."""
    from build.cli import bench as task

    task.bench_export(report, out)
