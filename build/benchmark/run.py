"""Carry out one host's benchmark. Each finished part is a file, so that the same command goes on where one stopped."""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agent.bench_messages import MachineResult
from agent.durable import replace_file
from build.benchmark.cells import PROFILES, Cell, Subject, plan_cells
from build.benchmark.document import CellPair, CellReport, Checkout, Machine, Quality, Report, to_json
from build.benchmark.figures import Frozen
from build.benchmark.meter import Meter
from build.benchmark.quality import measure_quality
from build.benchmark.render import html, markdown
from build.benchmark.roofline import Roofline, roofline
from build.deploy.facts import Facts
from build.deploy.prepare import checkpoint_paths, host_facts
from build.deploy.state import current
from build.engine.commands import BuildDirectory
from build.errors import DeployError
from build.pins import PINS, load_pins
from build.progress import Phase
from build.remote.command import Command
from build.remote.executor import LocalExecutor, ask
from build.remote.host import Host
from build.remote.target import REPOSITORY
from deployment.capacity.load import Target
from deployment.errors import why
from deployment.models.load import load_deployment
from deployment.models.sizing import plan
from deployment.models.spec import Deployment

MACHINE_TIMEOUT_S = 900.0

Part = TypeVar("Part", bound=BaseModel)


class Choice(Frozen):
    """What a person chose: kept beside the parts, which belong to it alone."""

    began_at: str
    checkout: Checkout
    release: str
    models: tuple[str, ...]
    profiles: tuple[str, ...]
    concurrency: tuple[int, ...]
    is_quick: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options of `fab bench`."""

    models: tuple[str, ...]
    """Empty for all that are served."""
    profiles: tuple[str, ...]
    concurrency: tuple[int, ...]
    is_quick: bool
    goes_on_when_used: bool
    cell_timeout_s: float
    targets: Mapping[str, Target] = field(default_factory=dict)
    """Of models that must answer within some time."""


def run(host: Host, models_file: Path, wish: Wish, directory: Path) -> Report:
    """Measure, or finish what was begun in the directory, and write the report there. Raises DeployError."""
    facts, desired = current(host)
    deployment = load_deployment(models_file)
    refuse_used(host, facts, wish)
    models = _models(wish, deployment, desired.engines)
    seeing = seeing_of(deployment, models, wish.profiles)
    choice = chosen(directory, wish, models, desired.release)
    agent = BuildDirectory.of(host.target.root, desired.build).agent

    def measure_machine() -> Machine:
        command = agent.command("bench-machine", what="measure memory and processor", timeout_s=MACHINE_TIMEOUT_S)
        return Machine.model_validate(asdict(ask(host.executor, command, MachineResult)))

    with host.reporter.phase("Measure memory and processor"):
        machine = kept(directory / "machine.json", Machine, measure_machine)
    paths = checkpoint_paths(deployment, host.target, models_file)
    longest = {name: model.engine.max_model_len for name, model in deployment.models.items()}
    subjects = {name: Subject(name=name, tokenizer=paths[name], context_tokens=longest[name]) for name in choice.models}

    meter = Meter(
        host=host, desired=desired, subjects=subjects, is_quick=choice.is_quick, cell_timeout_s=wish.cell_timeout_s
    )
    cells = _cells(host, choice, seeing, directory, meter.measure_pair)
    with host.reporter.phase("Ask for likelihoods and answers"):
        quality = [
            kept(directory / f"quality-{name}.json", Quality, lambda name=name: measure_quality(host, desired, name))  # type: ignore[misc] # mypy takes the default for an argument
            for name in choice.models
        ]
    report = Report(
        host=host.target.name,
        began_at=choice.began_at,
        is_quick=choice.is_quick,
        checkout=choice.checkout,
        pins_digest=hashlib.sha256(PINS.read_bytes()).hexdigest()[:16],
        release=choice.release,
        engine_environment=desired.build,
        vllm=load_pins(PINS).vllm.version,
        machine=machine,
        rooflines=rooflines(host, facts, deployment, machine, cells),
        quality=tuple(quality),
        cells=tuple(cells),
        targets={name: target for name, target in wish.targets.items() if name in models},
    )
    _write(directory, report)
    return report


def _write(directory: Path, report: Report) -> None:
    """Write the report for programs, for people in a terminal or a repository, and for a browser."""
    for name, text in (
        ("report.json", to_json(report)),
        ("report.md", markdown(report)),
        ("report.html", html(report)),
    ):
        replace_file(directory / name, text, mode=0o644)


def refuse_used(host: Host, facts: Facts, wish: Wish) -> None:
    """Raise DeployError where somebody is being answered, unless that was chosen."""
    models = facts.gateway.models if facts.gateway else {}
    used = [f"{name} ({model.in_flight})" for name, model in models.items() if model.in_flight]
    if used and not wish.goes_on_when_used:
        step = "Wait, or add --when-used go-on: the report then marks what others' tokens were counted in"
        raise DeployError(f"{host.target.name}: in use, got requests in flight: {', '.join(used)}. {step}.")


def _models(wish: Wish, deployment: Deployment, served: Mapping[str, str]) -> tuple[str, ...]:
    known = [name for name in deployment.models if name in served]
    if unknown := [name for name in wish.models if name not in known]:
        step = f"Use {', '.join(known)}" if known else "Deploy the models file first, or name the one that is served"
        raise DeployError(f"--only: not served, or not in the models file, got {', '.join(unknown)}. {step}.")
    if not known:
        raise DeployError("bench: none of the models file's models is served. Name the file that is: --models FILE.")
    return wish.models or tuple(known)


def seeing_of(deployment: Deployment, models: Sequence[str], profiles: Sequence[str]) -> tuple[str, ...]:
    """Those that take pictures. Raises DeployError where some profile is of pictures and none does."""
    found = tuple(name for name in models if deployment.models[name].takes_pictures)
    if not found and (blind := [name for name in profiles if PROFILES[name].pictures]):
        what = f"--profile: none of these models takes pictures, got {', '.join(blind)} for {', '.join(models)}"
        raise DeployError(f"{what}. Name one that does, or leave that profile out.")
    return found


def chosen(directory: Path, wish: Wish, models: tuple[str, ...], release: str) -> Choice:
    """Begin a run in a directory, or take up the one in it. Raises DeployError where that is another."""
    made = Choice(
        began_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        checkout=checkout(),
        release=release,
        models=models,
        profiles=wish.profiles,
        concurrency=wish.concurrency,
        is_quick=wish.is_quick,
    )
    found = kept(directory / "choice.json", Choice, lambda: made)
    same = made.model_copy(update={"began_at": found.began_at, "checkout": found.checkout})
    if same != found:
        differs = [name for name in Choice.model_fields if getattr(same, name) != getattr(found, name)]
        what = f"{directory}: holds a benchmark of another choice, got other {', '.join(differs)}"
        raise DeployError(f"--out: {what}. Repeat the command that began it, or name another directory.")
    return found


def kept(file: Path, kind: type[Part], make: Callable[[], Part]) -> Part:
    """Read a finished part, or make it and write it. One that cannot be read is made again."""
    try:
        return kind.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        part = make()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, part.model_dump_json(by_alias=True), mode=0o644)
    except OSError as error:
        raise DeployError(
            f"--out: {file}: cannot be written: {why(error)}. Name a directory that you may write."
        ) from None
    return part


def _cells(
    host: Host, choice: Choice, seeing: Collection[str], directory: Path, measure: Callable[[Cell], CellPair]
) -> list[CellReport]:
    """Measure what is not there yet."""
    planned = plan_cells(choice.models, choice.profiles, choice.concurrency, seeing=seeing, is_quick=choice.is_quick)
    done: list[CellReport] = []
    with host.reporter.phase(f"Measure {len(planned)} loads, cold and warm") as phase:
        progress = Progress(phase, len(planned))
        for cell in planned:
            file = directory / "cells" / f"{cell.key}.json"
            is_new = not file.is_file()
            progress.begin(cell.key)
            pair = kept(file, CellPair, lambda cell=cell: measure(cell))  # type: ignore[misc] # as above
            progress.end(is_measured=is_new)
            done += [pair.cold, pair.warm]
    return done


class Progress:
    """Says which load is measured, and about how long the rest takes: as long each as those before, on average."""

    def __init__(self, phase: Phase, total: int) -> None:
        self._phase, self._total, self._done = phase, total, 0
        self._taken_s: list[float] = []
        self._began = 0.0

    def begin(self, key: str) -> None:
        self._began = time.monotonic()
        left = left_words(self._taken_s, self._total - self._done)
        self._phase.part("loads", f"{self._done + 1} of {self._total}: {key}{left}")

    def end(self, *, is_measured: bool) -> None:
        self._done += 1
        if is_measured:
            self._taken_s.append(time.monotonic() - self._began)
        self._phase.count(self._done, self._total)


def left_words(taken_s: Sequence[float], left: int) -> str:
    """The time left, in words; nothing before the first load is over."""
    if not taken_s:
        return ""
    seconds = left * sum(taken_s) / len(taken_s)
    return f", about {seconds:.0f} s left" if seconds < 90 else f", about {seconds / 60:.0f} min left"


def rooflines(
    host: Host, facts: Facts, deployment: Deployment, machine: Machine, cells: Sequence[CellReport]
) -> tuple[Roofline, ...]:
    """One for each model that was measured, from its first cell with one request in flight."""
    engines = plan(deployment, host_facts(host.target, facts), host.target.root).engines
    found = []
    for name in dict.fromkeys(load.model for cell in cells for load in cell.loads):
        alone = (cell.loads[0] for cell in cells if cell.models == (name,) and cell.concurrency == 1)
        single = next((load for load in alone if load.requests), None)
        first = single.requests[0] if single else None
        found.append(
            roofline(
                name,
                deployment.models[name],
                threads=engines[name].compute_threads,
                bandwidths=machine.bandwidth_bytes_per_s,
                context_tokens=first.prompt_tokens + first.output_tokens // 2 if first else 0,
                tpot_s=single.tpot_s.p50 if single else None,
            )
        )
    return tuple(found)


def checkout() -> Checkout:
    """Which commit this is, and whether files differ from it; nothing known where it is no repository."""
    git, here = ("git", "-C", str(REPOSITORY)), LocalExecutor()
    head = here.run(Command(argv=(*git, "rev-parse", "HEAD"), what="ask git for the commit"))
    status = here.run(Command(argv=(*git, "status", "--porcelain"), what="ask git for changes"))
    return Checkout(commit=head.stdout.strip() or "unknown", is_changed=bool(status.stdout.strip()))
