"""What a deployment would change: the task, and how it is shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from build.cli.output import new_table, stdout
from build.cli.tasking import from_each
from build.deploy.models_file import models_files
from build.deploy.prepare import Prepared, nothing_to_do, prepare
from build.remote.host import Host
from deployment.models.memory import has_int4, has_int8_head, is_online
from deployment.models.spec import Served
from deployment.quantities import shown_bytes


def plan(hosts: Sequence[Host], models: str | None, engine: str | None, *, json: bool) -> None:
    files = models_files(models, hosts)
    answers = from_each(hosts, lambda host: prepare(files[host.target.name], host.target, host.executor, engine=engine))
    if json:
        answers.print_json({name: planned_change(each) for name, each in answers.found.items()})
    else:
        answers.print(_print_plan)
        stdout().print(f"{hosts[0].reporter.elapsed_s:.1f} s", style="dim")
    answers.check()


def _print_plan(prepared: Prepared) -> None:
    console = stdout()
    console.print(sizes(prepared))
    for step in steps(prepared) or [nothing_to_do(prepared)]:
        console.print(step, markup=False)
    for line in (*on_demand(prepared), *kernels(prepared)):
        console.print(line, markup=False)
    for line in (*stretched(prepared), *unchecked(prepared), *prepared.facts.unread_sentences):
        console.print(line, style="yellow", markup=False)


def sizes(prepared: Prepared) -> Table:
    """Show what each engine gets."""
    engines = prepared.plan.engines.values()
    borrows = ["borrows"] if any(engine.is_elastic for engine in engines) else []
    table = new_table("model", "cores", *borrows, "threads", "weights", "KV cache", "expected", "limit", "sequences")
    for engine in engines:
        memory = engine.memory
        amounts = [shown_bytes(size) for size in (memory.weights, memory.kv_cache, memory.total, memory.limit)]
        cores = [engine.core_list, *([engine.lent_list] if borrows else []), str(engine.compute_threads)]
        table.add_row(engine.name, *cores, *amounts, str(engine.full_length_sequences))
    return table


def steps(prepared: Prepared) -> list[str]:
    """Say in words what a deployment would do, in order."""
    diff, desired = prepared.diff, prepared.desired
    weights = {name: prepared.deployment.models[name].weights for name in prepared.pulls}
    lacking = prepared.needs.lacking(prepared.facts.system)
    said = [f"install packages that bring {', '.join(lacking)}"] if lacking else []
    if prepared.is_installing and not lacking:
        said.append("install a newer compiler for our kernels, if the distribution has one")
    if diff.is_build:
        said.append(f"build the engine environment {desired.build}")
    said += [f"download {name}: {each.hub} at {str(each.revision)[:12]}" for name, each in weights.items()]
    if diff.is_upload:
        said.append(f"make release {desired.release} of {len(prepared.release.files)} files:")
        said += [f"    {how} {path}" for path, how in _summary(prepared.files).items()]
    if diff.is_switch:
        said.append(f"switch from {prepared.facts.current or 'nothing'} to {desired.release}")
    if not diff.is_runner_up:
        said.append("start the process runner")
    if diff.repair:
        said.append(f"install again what was changed by hand: {', '.join(diff.repair)}")
    said += [f"stop {name}" for name in diff.stop]
    said += [f"unload {name}, which is on demand" for name in diff.unload]
    said += [f"start {name}" for name in diff.start]
    said += [f"restart {name}" for name in diff.restart]
    if diff.gateway != "keep":
        said.append(f"{diff.gateway} the gateway")
    if not diff.is_nothing:
        said.append(f"wait until {', '.join(desired.always)} answer" if desired.always else "wait for the gateway")
        said += [f"load {name}, which is on demand, once, to see that it answers" for name in diff.prove]
    return said


def _summary(files: Mapping[str, str]) -> dict[str, str]:
    """Fold the gateway's code into one line."""
    code = [how for path, how in files.items() if path.startswith("lib/")]
    rest = {path: how for path, how in files.items() if not path.startswith("lib/")}
    return rest | ({f"lib ({len(code)} files)": code[0]} if code else {})


def on_demand(prepared: Prepared) -> list[str]:
    """Say what models on demand share."""
    sizes = {each.name: each.memory.total for each in prepared.plan.engines.values() if each.model.on_demand}
    if not sizes:
        return []
    wanted, budget = sum(sizes.values()), prepared.plan.on_demand_bytes
    each = ", ".join(f"{name} {shown_bytes(size)}" for name, size in sizes.items())
    fits = "all fit at once" if wanted <= budget else "not all fit at once, so they take turns"
    return [f"on demand, in {shown_bytes(budget)} of memory: {each}; {fits}"]


def stretched(prepared: Prepared) -> list[str]:
    """Say whose short prompts are answered otherwise because their context is a long one."""
    return [
        f"{name} answers short prompts otherwise than its publisher shows: above {tokens} tokens of max_model_len "
        "longrope's long factors are taken for all of them"
        for name, model in prepared.deployment.models.items()
        if (tokens := model.checkpoint.long_from) is not None and model.engine.max_model_len > tokens
    ]


def kernels(prepared: Prepared) -> list[str]:
    """Say which engines multiply with our int4 and int8 weights, and what keeping these takes of the disk."""
    engines = [engine for engine in prepared.plan.engines.values() if engine.packed_bytes]
    if not engines or not prepared.recipe.pins.has_kernels(prepared.facts.machine):
        return []
    said = [
        f"{engine.name}: {' and '.join(int_kernels(engine.model))}; "
        f"{shown_bytes(engine.packed_bytes)} of packed weights, made at its first start and mapped at later ones"
        for engine in engines
    ]
    needed, free = sum(engine.packed_bytes for engine in engines), prepared.facts.disk_free_bytes
    if free < needed:
        said.append(
            f"the disk has {shown_bytes(free)} free where packed weights take up to {shown_bytes(needed)}: engines "
            "whose weights do not fit convert at each start"
        )
    return said


def int_kernels(model: Served) -> list[str]:
    """The kernels of a model's weights, in words."""
    by = "axion_w4" if is_online(model) else "linear_w4"
    said = {f"int4 weights by {by}": has_int4(model), "an int8 output head": has_int8_head(model)}
    return [words for words, is_true in said.items() if is_true]


def unchecked(prepared: Prepared) -> list[str]:
    """Say which arguments nobody has looked at before vLLM does."""
    extra = {name: model.engine.extra_args for name, model in prepared.deployment.models.items()}
    return [
        f"{name} passes on to vLLM unchecked: {', '.join(f'{key} {json.dumps(value)}' for key, value in given.items())}"
        for name, given in extra.items()
        if given
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEngine:
    """What an engine gets, for programs."""

    cores: str
    memory_bytes: int
    socket: str
    kernels: Sequence[str]
    packed_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChange:
    """What `fab plan --json` prints of a host."""

    changes: bool
    packages: Sequence[str]
    pull: Sequence[str]
    release: str
    build: str
    is_build: bool
    files: Mapping[str, str]
    start: Sequence[str]
    restart: Sequence[str]
    stop: Sequence[str]
    unload: Sequence[str]
    prove: Sequence[str]
    """Models on demand that are loaded once."""
    gateway: str
    repair: Sequence[str]
    unchecked: Mapping[str, Mapping[str, Any]]
    """Each model's `extra_args`."""
    engines: Mapping[str, PlannedEngine]
    free_bytes: int
    on_demand_bytes: int
    """What all models on demand share."""


def planned_change(prepared: Prepared) -> PlannedChange:
    """Return the plan for programs."""
    diff = prepared.diff
    return PlannedChange(
        changes=bool(prepared.pulls) or prepared.is_installing or not diff.is_nothing,
        packages=list(prepared.needs.packages(prepared.facts.system)),
        pull=list(prepared.pulls),
        release=prepared.desired.release,
        build=prepared.desired.build,
        is_build=diff.is_build,
        files=dict(prepared.files),
        start=diff.start,
        restart=diff.restart,
        stop=diff.stop,
        unload=diff.unload,
        prove=diff.prove,
        gateway=diff.gateway,
        repair=diff.repair,
        unchecked={name: model.engine.extra_args for name, model in prepared.deployment.models.items()},
        engines={
            name: PlannedEngine(
                cores=engine.core_list,
                memory_bytes=engine.memory.total,
                socket=engine.socket,
                kernels=int_kernels(engine.model),
                packed_bytes=engine.packed_bytes,
            )
            for name, engine in prepared.plan.engines.items()
        },
        free_bytes=prepared.plan.free_bytes,
        on_demand_bytes=prepared.plan.on_demand_bytes,
    )
