"""Carry out an ablation: serve a model without one of its optimisations, measure, and put back what served before.

What is measured is a release like any other, deployed as any other: rendered, sized, validated and healthy before a
load begins. Each start is a file, so that the same command goes on where one stopped.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.durable import replace_file
from build.benchmark.ablation import BASE, AblationReport, Block, Variant, effects, order
from build.benchmark.ablation_page import html, markdown
from build.benchmark.cells import Subject, plan_cells
from build.benchmark.document import Checkout
from build.benchmark.figures import Frozen
from build.benchmark.meter import Meter
from build.benchmark.quality import measure_quality
from build.benchmark.run import Progress, checkout, kept, seeing_of
from build.deploy.activate import restart_and_wait
from build.deploy.deploy import bring, prune_models_command
from build.deploy.diff import Desired, decide
from build.deploy.prepare import Prepared, checkpoint_paths, prepare
from build.deploy.state import read_state
from build.deploy.switch import switch_to
from build.deploy.upload import remove_commands
from build.errors import DeployError
from build.pins import PINS
from build.remote.executor import check
from build.remote.host import Host
from deployment.checkpoint.lock import lock_path, read_lock
from deployment.errors import ConfigError
from deployment.models.ablation import EVERYTHING, Ablation, ablations, together, without
from deployment.models.load import load_deployment, parse_deployment, read_models_text
from deployment.models.spec import Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options of `fab bench-ablate`."""

    model: str | None
    """None for the only one."""
    off: tuple[str, ...]
    """What to take away, each by itself. Empty for everything that the model has."""
    rounds: int
    profiles: tuple[str, ...]
    concurrency: tuple[int, ...]
    is_quick: bool
    cell_timeout_s: float


class Choice(Frozen):
    """What a person chose: kept beside the parts, which belong to it alone."""

    began_at: str
    checkout: Checkout
    seed: int
    """Of the orders of all rounds."""
    release: str
    model: str
    variants: tuple[str, ...]
    profiles: tuple[str, ...]
    concurrency: tuple[int, ...]
    is_quick: bool


class Releases(Frozen):
    """Those that were brought to be measured, by variant. They go at the end."""

    names: Mapping[str, str]


def ablate(host: Host, models_file: Path, wish: Wish, directory: Path) -> AblationReport:
    """Measure, or finish what was begun in the directory, and write the report there. Raises DeployError."""
    deployment = load_deployment(models_file)
    model = _model(wish, deployment)
    known = ablations(deployment, model)
    prepared, left_out = _prepared(host, models_file, model, known)
    served = {name: prepared[name] for name in (BASE, *_wanted(wish, [*known, EVERYTHING], left_out))}
    known[EVERYTHING] = together([known[name] for name in known if name in prepared])
    choice = _chosen(directory, wish, model, tuple(served), served[BASE].desired.release)
    laboratory = Laboratory(host, models_file, choice, served, directory, wish.cell_timeout_s)
    try:
        blocks = laboratory.measure(wish.rounds)
    except KeyboardInterrupt:
        step = "`fab build-and-deploy` serves the models file again; this command goes on with the measurement"
        host.reporter.say(f"{model} may be served without one of its optimisations now: {step}.", style="yellow")
        raise
    except (ConfigError, DeployError) as error:
        raise DeployError(*error.problems, *laboratory.put_back_or_say()) from None
    laboratory.put_back()
    report = AblationReport(
        host=host.target.name,
        model=model,
        began_at=choice.began_at,
        is_quick=choice.is_quick,
        checkout=choice.checkout,
        pins_digest=hashlib.sha256(PINS.read_bytes()).hexdigest()[:16],
        engine_environment=served[BASE].desired.build,
        variants=tuple(_variant(name, known, blocks) for name in served),
        left_out={name: why for name, why in left_out.items() if not wish.off},
        blocks=tuple(blocks),
        effects=tuple(effects(blocks, [name for name in served if name != BASE])),
    )
    json = report.model_dump_json(by_alias=True, indent=1) + "\n"
    for file, text in (("ablation.json", json), ("ablation.md", markdown(report)), ("ablation.html", html(report))):
        replace_file(directory / file, text, mode=0o644)
    return report


def _model(wish: Wish, deployment: Deployment) -> str:
    known = ", ".join(deployment.models)
    if wish.model is None and len(deployment.models) > 1:
        raise DeployError(f"--model: several are served, got none named. Use one of {known}.")
    name = wish.model or next(iter(deployment.models))
    if name not in deployment.models:
        raise DeployError(f"--model: not in the models file, got {name}. Use one of {known}.")
    return name


def _wanted(wish: Wish, known: Sequence[str], left_out: Mapping[str, str]) -> list[str]:
    """Name what is taken away. Raises DeployError for what this model does not have, or cannot be served without."""
    problems = [f"--off {name}: cannot be served without it: {left_out[name]}" for name in wish.off if name in left_out]
    if unknown := [name for name in wish.off if name not in known]:
        has = ", ".join(known)
        problems.append(f"--off: not an optimisation that this model has, got {', '.join(unknown)}. Use {has}.")
    if problems:
        raise DeployError(*problems)
    return [name for name in wish.off or known if name not in left_out]


def _prepared(
    host: Host, models_file: Path, model: str, known: Mapping[str, Ablation]
) -> tuple[dict[str, Prepared], dict[str, str]]:
    """Hold each variant against the host, before one is served, and all that can be served together as the last.

    Those that cannot be are returned with the reason.
    """
    base = prepare(models_file, host.target, host.executor)
    if not base.diff.is_nothing:
        step = "Run `fab build-and-deploy` first"
        raise DeployError(f"{host.target.name}: does not serve what {models_file.name} says. {step}.")
    prepared, left_out = {BASE: base}, {}
    text, lock = read_models_text(models_file), read_lock(lock_path(models_file))

    def hold(each: Ablation) -> None:
        try:
            changed = parse_deployment(without(text, model, each), models_file.name, lock, models_file.parent)
            prepared[each.name] = prepare(models_file, host.target, host.executor, deployment=changed)
        except (ConfigError, DeployError) as error:
            left_out[each.name] = " ".join(error.problems)

    for each in known.values():
        hold(each)
    hold(together([each for name, each in known.items() if name in prepared]))
    return prepared, left_out


def _chosen(directory: Path, wish: Wish, model: str, variants: tuple[str, ...], release: str) -> Choice:
    """Begin in a directory, or take up what is in it. Raises DeployError where that is another choice."""
    made = Choice(
        began_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        checkout=checkout(),
        seed=secrets.randbits(31),
        release=release,
        model=model,
        variants=variants,
        profiles=wish.profiles,
        concurrency=wish.concurrency,
        is_quick=wish.is_quick,
    )
    found = kept(directory / "choice.json", Choice, lambda: made)
    same = made.model_copy(update={name: getattr(found, name) for name in ("began_at", "checkout", "seed")})
    if same != found:
        differs = [name for name in Choice.model_fields if getattr(same, name) != getattr(found, name)]
        what = f"{directory}: holds an ablation of another choice, got other {', '.join(differs)}"
        raise DeployError(f"--out: {what}. Repeat the command that began it, or name another directory.")
    return found


def _variant(name: str, known: Mapping[str, Ablation], blocks: Sequence[Block]) -> Variant:
    mine = [block for block in blocks if block.variant == name]
    quality = next((block.quality for block in mine if block.quality is not None), None)
    what = known[name].what if name in known else "the models file"
    return Variant(name=name, what=what, release=mine[0].release, quality=quality)


class Laboratory:
    """One host, whose model is started again and again with and without what it has."""

    def __init__(
        self, host: Host, models_file: Path, choice: Choice, served: Mapping[str, Prepared], directory: Path,
        cell_timeout_s: float,
    ) -> None:  # fmt: skip
        self._host, self._models_file, self._choice, self._served = host, models_file, choice, served
        self._directory, self._timeout_s = directory, cell_timeout_s
        base = served[BASE]
        paths = checkpoint_paths(base.deployment, host.target, models_file)
        longest = base.deployment.models[choice.model].engine.max_model_len
        self._seeing = seeing_of(base.deployment, [choice.model], choice.profiles)
        self._subject = Subject(name=choice.model, tokenizer=paths[choice.model], context_tokens=longest)

    def measure(self, rounds: int) -> list[Block]:
        """Return all blocks, those of an earlier run included."""
        planned = [
            (index, place, variant)
            for index in range(rounds)
            for place, variant in enumerate(order(self._choice.variants, index, self._choice.seed))
        ]
        blocks = []
        with self._host.reporter.phase(f"Start {self._choice.model} {len(planned)} times and measure it") as phase:
            progress = Progress(phase, len(planned))
            for index, place, variant in planned:
                file = self._directory / "blocks" / f"{index}-{variant.replace(' ', '-')}.json"
                is_new = not file.is_file()
                progress.begin(f"round {index + 1}, {variant if variant == BASE else f'without {variant}'}")
                make = lambda index=index, place=place, variant=variant: self._block(index, place, variant)  # noqa: E731
                blocks.append(kept(file, Block, make))
                progress.end(is_measured=is_new)
        return blocks

    def _block(self, index: int, place: int, variant: str) -> Block:
        desired = self._start(variant)
        meter = Meter(
            host=self._host, desired=desired, subjects={self._choice.model: self._subject},
            is_quick=self._choice.is_quick, cell_timeout_s=self._timeout_s,
        )  # fmt: skip
        choice = self._choice
        cells = plan_cells(
            [choice.model], choice.profiles, choice.concurrency, seeing=self._seeing, is_quick=choice.is_quick
        )
        loads = tuple(meter.measure_pair(cell) for cell in cells)
        quality = measure_quality(self._host, desired, self._choice.model) if index == 0 else None
        return Block(
            round=index, variant=variant, release=desired.release, place=place, loads=loads, quality=quality
        )  # fmt: skip

    def _start(self, variant: str) -> Desired:
        """Start the model anew in a variant, also where the same one serves already."""
        release = self._choice.release if variant == BASE else self._brought(variant)
        facts = read_state(self._host)
        description = facts.release(release)
        if description is None:
            raise DeployError(f"{release}: gone from {self._host.target.name}. Name another --out, to begin anew.")
        desired = Desired.described(release, description)
        is_restarted = self._choice.model in decide(desired, facts).restart
        switch_to(self._host, release)
        if not is_restarted:
            restart_and_wait(self._host, desired, self._choice.model, facts)
        return desired

    def _brought(self, variant: str) -> str:
        """Name the release of a variant; the first time it is brought there."""
        file, none = self._directory / "releases.json", Releases(names={})
        names = kept(file, Releases, lambda: none).names
        if variant not in names:
            prepared = prepare(
                self._models_file, self._host.target, self._host.executor, deployment=self._served[variant].deployment
            )
            names = {**names, variant: prepared.desired.release}
            replace_file(file, Releases(names=names).model_dump_json(), mode=0o644)  # first: what is there can go
            bring(prepared, self._host)
        return names[variant]

    def put_back(self) -> None:
        """Serve what served before, and forget the releases that were made to be measured."""
        with self._host.reporter.phase(f"Serve {self._choice.release} again"):
            switch_to(self._host, self._choice.release)
            made = kept(self._directory / "releases.json", Releases, lambda: Releases(names={})).names.values()
            for kind in ("releases", "answered"):
                for command in remove_commands(self._host.target, kind, [*made]):
                    check(self._host.executor, command)
            check(self._host.executor, prune_models_command(self._host.target))
        (self._directory / "releases.json").unlink(missing_ok=True)

    def put_back_or_say(self) -> list[str]:
        """The same after a failure; returns what is to be said if it fails as well."""
        try:
            self.put_back()
        except (ConfigError, DeployError) as error:
            return [*error.problems, "What served before could not be served again: run `fab build-and-deploy`."]
        return [f"{self._choice.release}, which served before, serves again."]
