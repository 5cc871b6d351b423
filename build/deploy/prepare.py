"""Read everything, decide everything, touch nothing: what `plan` shows and `build-and-deploy` carries out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent import GATEWAY, LAUNCHER
from agent.protocol import TlsFiles
from build.deploy.diff import Desired, Diff, decide, file_changes, release_name
from build.deploy.facts import Facts, gather, probe_command, refuse_unmounted
from build.deploy.place import place_problems
from build.deploy.preflight import (
    build_problems,
    checkpoint_problems,
    exposure_problems,
    host_problems,
    kernel_problems,
)
from build.engine.compilers import runtime_compiler
from build.engine.needs import Building, Needs, needs_of
from build.engine.origin import choose_origin
from build.engine.recipe import JOB, Recipe, wanted_digest
from build.engine.sources import Sources, choose_sources
from build.errors import DeployError
from build.pins import CONSTRAINTS, PINS, load_pins
from build.remote.executor import Executor
from build.remote.jobs import is_underway
from build.remote.proxies import download_problems
from build.remote.target import REPOSITORY, USER, Target, path_on
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.sizing import HostFacts, Plan, plan
from deployment.models.spec import Deployment, adapter_key
from deployment.render.files import Place, render
from deployment.render.release import GATEWAY_CODE, Release, RenderedFile, compose, digest_of

CARRIED = frozenset({".py", ".html", ".css", ".js"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A deployment held against one host, without a problem left."""

    models_file: Path
    deployment: Deployment
    target: Target
    facts: Facts
    recipe: Recipe
    needs: Needs
    is_installing: bool
    """Whether packages have to be installed first; then everything is looked at again."""
    plan: Plan
    release: Release
    desired: Desired
    diff: Diff
    files: Mapping[str, str]
    """Path of each file that differs from the current release, with how."""
    stamp: str

    @property
    def pulls(self) -> tuple[str, ...]:
        """Models whose checkpoints have to be downloaded first; then everything is looked at again."""
        return tuple(
            name
            for name, model in self.deployment.models.items()
            if model.weights.hub is not None and self.facts.checkpoints.get(name) is None
        )


def prepare(  # noqa: PLR0913 - what is served, where, and by whose word
    models_file: Path,
    target: Target,
    executor: Executor,
    *,
    engine: str | None = None,
    sources: Sources | None = None,
    now: datetime | None = None,
    deployment: Deployment | None = None,
) -> Prepared:
    """Load, look, size, check and render. Raises ConfigError or DeployError with everything that is wrong.

    `engine` is where the command line wants the engine from, `sources` where it wants its material from. `deployment`
    is to be served instead of what the models file says; its paths begin at that file all the same.
    """
    deployment = deployment or load_deployment(models_file)
    checkpoints = checkpoint_paths(deployment, target, models_file)
    facts = look(deployment, target, executor, checkpoints)
    recipe = choose_recipe(deployment, facts, engine=engine, sources=sources or choose_sources())
    is_build = recipe.digest not in facts.builds
    # What builds it already has the memory and the disk that it needs, and is followed.
    is_begun = is_build and is_underway(target, executor, JOB, recipe.digest)
    needs, problems = host_needs(deployment, recipe, facts, target, executor, is_begun=is_begun)
    problems += place_problems(target, facts)
    problems += exposure_problems(deployment, target)
    cleared_bytes = facts.unfinished_builds.get(recipe.digest, 0)
    problems += host_problems(
        deployment, facts, is_build=is_build and not is_begun, name=target.name, cleared_bytes=cleared_bytes
    )
    if not recipe.pins.has_kernels(facts.machine):
        problems += kernel_problems(deployment, machine=facts.machine)
    problems += checkpoint_problems(deployment, facts, checkpoints, elsewhere=None if target.is_here else target.name)
    try:
        sized = plan(deployment, host_facts(target, facts), target.root)
    except ConfigError as error:
        raise DeployError(*error.problems, *problems) from None
    if problems:
        raise DeployError(*problems)
    release = make_release(deployment, sized, target, models_file, recipe, facts)
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S")
    name = release_name(release, facts, stamp=stamp)
    desired = Desired.rendered(release, name, deployment.gateway.listen[0])
    return Prepared(
        models_file=models_file,
        deployment=deployment,
        target=target,
        facts=facts,
        recipe=recipe,
        needs=needs,
        is_installing=recipe.may_install and needs.is_open(facts.system),
        plan=sized,
        release=release,
        desired=desired,
        diff=decide(desired, facts),
        files=file_changes(release, facts),
        stamp=stamp,
    )


def nothing_to_do(prepared: Prepared) -> str:
    return f"Nothing to do: {prepared.desired.release} is what {prepared.models_file.name} says, and it serves."


def choose_recipe(deployment: Deployment, facts: Facts, *, engine: str | None, sources: Sources) -> Recipe:
    """Decide which engine environment a host gets. Raises DeployError where it cannot be had."""
    pins, constraints = load_pins(PINS), CONSTRAINTS.read_text(encoding="utf-8")
    origin = choose_origin(pins, machine=facts.machine, flag=engine, key=deployment.host.engine)
    return Recipe(
        pins=pins,
        constraints_text=constraints,
        digest=wanted_digest(pins, constraints, machine=facts.machine, python=facts.python, origin=origin),
        machine=facts.machine,
        origin=origin,
        system=facts.system,
        sources=sources,
    )


def host_needs(
    deployment: Deployment,
    recipe: Recipe,
    facts: Facts,
    target: Target,
    executor: Executor,
    *,
    is_begun: bool = False,
) -> tuple[Needs, list[str]]:
    """Say what an engine environment needs of the host's system, and what of that it cannot have."""
    building: Building | None = None if recipe.digest in facts.builds else recipe.origin
    if building == "compiled" and recipe.sources.wheels is not None:
        from build.engine.built_wheels import stored  # noqa: PLC0415 - for who keeps wheels

        building = "stored" if stored(recipe.sources.wheels, recipe.digest, executor) else building
    needs = needs_of(
        recipe.pins,
        machine=facts.machine,
        python=facts.python,
        building=building,
        is_compiling_models=deployment.is_compiling_models,
    )
    problems = [] if building is None or is_begun or recipe.sources.mirror else download_problems(target)
    if building is not None and not is_begun:
        problems += build_problems(facts, recipe.origin, is_compiling=building == "compiled", name=target.name)
    if not recipe.may_install and (missing := needs.problem(facts.system, name=target.name)):
        problems.append(missing)
    return needs, problems


def host_facts(target: Target, facts: Facts) -> HostFacts:
    """What of a host decides whether a deployment fits."""
    return HostFacts(name=target.name, cores=facts.cores, memory_bytes=facts.memory_bytes)


def look(deployment: Deployment, target: Target, executor: Executor, checkpoints: Mapping[str, str]) -> Facts:
    """Gather the facts that this deployment depends on. Raises DeployError where the data disk is away."""
    tls = deployment.gateway.tls
    files = None if tls is None else TlsFiles(certificate=tls.certificate, key=tls.key)
    facts = gather(executor, probe_command(target, checkpoints, deployment.gateway.listen, files), name=target.name)
    refuse_unmounted(target, facts)
    return facts


def checkpoint_paths(deployment: Deployment, target: Target, models_file: Path) -> dict[str, str]:
    """Say where each model's checkpoint lies on the host, and each of its adapters.

    Here `path` counts from the models file. On another host it counts there, from the directory of the models: what
    lies beside the file here is of no use to it.
    """
    adapters = {
        adapter_key(name, each): path_on(target, adapter.path, models_file)
        for name, model in deployment.models.items()
        for each, adapter in model.lora.items()
    }
    return adapters | {
        name: path_on(target, model.weights.path, models_file)
        if model.weights.path is not None
        else target.checkpoint(name, model.weights.revision or "")
        for name, model in deployment.models.items()
    }


def make_release(
    deployment: Deployment, sized: Plan, target: Target, models_file: Path, recipe: Recipe, facts: Facts
) -> Release:
    """Render all files, the gateway's code among them, and digest them."""
    oldest = recipe.pins.compiler.runtime_min(facts.machine)
    place = Place(
        root=target.root,
        runner=target.runner,
        cxx=runtime_compiler(facts.system.compilers, oldest),
        user=target.user or USER,
        allowed_clients=target.clients,
        keys=target.keys,
    )
    checkpoints = checkpoint_paths(deployment, target, models_file)
    files = [*render(deployment, sized, place, checkpoints), *gateway_code()]
    fingerprints = {name: fingerprint(name, deployment, facts) for name in deployment.models}
    return compose(files, build=recipe.digest, engines=deployment.models, fingerprints=fingerprints)


def fingerprint(name: str, deployment: Deployment, facts: Facts) -> str:
    """Stand for the bytes that one engine loads: its checkpoint's, and those of its adapters."""
    own = facts.checkpoints.get(name)
    base = own.fingerprint if own is not None else ""
    keys = [adapter_key(name, each) for each in deployment.models[name].lora]
    found = [facts.checkpoints.get(key) for key in keys]
    return digest_of(base, *(each.fingerprint if each else "" for each in found)) if keys else base


def gateway_code() -> list[RenderedFile]:
    """Read what travels with every release: the gateway with its page, what brings its keys, what launches engines."""
    gateway = (path for path in (REPOSITORY / "gateway").rglob("*") if path.suffix in CARRIED)
    agents = (REPOSITORY / "agent" / f"{name}.py" for name in (*LAUNCHER, *GATEWAY))
    return [
        RenderedFile(path=f"{GATEWAY_CODE}{path.relative_to(REPOSITORY)}", text=path.read_text(encoding="utf-8"))
        for path in (*sorted(gateway), *agents)
    ]
