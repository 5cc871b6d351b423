"""Decide how an engine environment comes to be on a host: from wheels, by compiling, from wheels compiled elsewhere."""

from collections.abc import Mapping
from dataclasses import replace

from build.engine import built_wheels
from build.engine.built_wheels import fetch_commands, install_wheels, record_command, stored
from build.engine.commands import BuildDirectory, begin_commands, install_commands
from build.engine.compilers import runtime_compiler
from build.engine.kernels_build import beside_a_wheel
from build.engine.proofs import use_commands
from build.engine.recipe import Recipe, kernel_files
from build.engine.source_build import source_commands
from build.engine.source_plan import SourceBuild
from build.engine.toolchain import build_minimum, choose_toolchain
from build.engine.torch_source import TorchSource, choose_torch_source, probe_commands
from build.remote.command import Command
from build.remote.executor import check
from build.remote.host import Host


def build_steps(recipe: Recipe, host: Host, build: BuildDirectory) -> tuple[Command, ...]:
    """All steps from an empty virtual environment to one that is finished and was put to use."""
    torch = _torch_source(recipe, host, build)
    # What passes through a temporary directory does so beside the environment: a /tmp may be small.
    scratch = {"TMPDIR": str(build.scratch)}
    filling = _filling(recipe, host, build, torch)
    return (*(replace(step, env={**scratch, **step.env}) for step in filling), *proof_steps(recipe, build))


def proof_steps(recipe: Recipe, build: BuildDirectory) -> tuple[Command, ...]:
    """The last of these steps, and all that is left for an environment that is filled: to put it to use."""
    cxx = runtime_compiler(recipe.system.compilers, recipe.pins.compiler.runtime_min(recipe.machine))
    return use_commands(build, recipe.pins, recipe.machine, cxx=cxx)


def _filling(recipe: Recipe, host: Host, build: BuildDirectory, torch: TorchSource) -> tuple[Command, ...]:
    if recipe.origin == "wheel":
        return _from_a_wheel(recipe, build, torch)
    wheels = stored(recipe.sources.wheels, recipe.digest, host.executor)
    return _from_a_store(recipe, host, build, torch, wheels) if wheels else _from_sources(recipe, build, torch)


def _from_sources(recipe: Recipe, build: BuildDirectory, torch: TorchSource) -> tuple[Command, ...]:
    plan = SourceBuild(
        pins=recipe.pins,
        build=build,
        machine=recipe.machine,
        torch=torch,
        toolchain=choose_toolchain(recipe.system, build_minimum(recipe.pins, "compiled", recipe.machine)),
        sources=recipe.sources,
        constraints_text=recipe.constraints_text,
        kernels=kernel_files() if recipe.pins.has_kernels(recipe.machine) else [],
    )
    return source_commands(plan)


def _from_a_store(
    recipe: Recipe, host: Host, build: BuildDirectory, torch: TorchSource, wheels: Mapping[str, str]
) -> tuple[Command, ...]:
    pins, store, index_args = recipe.pins, recipe.sources.wheels, recipe.sources.index_args
    assert store is not None
    host.reporter.say(f"Taking finished wheels from {store}")
    facts = {"recipe": "wheels of another host", "from": store, "torch_source": torch.said}
    return (
        *begin_commands(pins, build, torch, constraints_text=recipe.constraints_text, index_args=index_args),
        *fetch_commands(build, store, wheels),
        record_command(build, facts, repositories=()),
        *install_wheels(pins, build, index_args=index_args, has_kernels=pins.has_kernels(recipe.machine)),
    )


def _from_a_wheel(recipe: Recipe, build: BuildDirectory, torch: TorchSource) -> tuple[Command, ...]:
    pins, index_args = recipe.pins, recipe.sources.index_args
    kernels: tuple[Command, ...] = ()
    facts = {"recipe": "wheel", "torch_source": torch.said}
    if pins.has_kernels(recipe.machine):
        toolchain = choose_toolchain(recipe.system, build_minimum(pins, "wheel", recipe.machine))
        kernels = beside_a_wheel(pins, build, toolchain, index_args)
        facts["compiler"] = f"{toolchain.cxx} {toolchain.version}"
    return (
        *install_commands(
            pins,
            build,
            torch,
            machine=recipe.machine,
            constraints_text=recipe.constraints_text,
            index_args=index_args,
        ),
        *kernels,
        record_command(build, facts, repositories=()),
    )


def export(recipe: Recipe, host: Host, build: BuildDirectory) -> None:
    """Leave the wheels of a compiled, proven build where the next host looks for them, unless they are there."""
    store = recipe.sources.wheels
    if store is None or recipe.origin == "wheel":
        return
    built = built_wheels.read(build, host.executor)
    if built.recipe != "source" or stored(recipe.sources.wheels, recipe.digest, host.executor):
        return
    with host.reporter.phase(f"Export the wheels to {store}"):
        for command in built_wheels.export_commands(build, store, built.wheels):
            check(host.executor, command)


def _torch_source(recipe: Recipe, host: Host, build: BuildDirectory) -> TorchSource:
    index_args = recipe.sources.index_args
    with host.reporter.phase("Look for torch"):
        commands = probe_commands(recipe.pins, build.python, index_args)
        offered = [host.executor.run(command).stdout for command in commands]
    source = choose_torch_source(
        recipe.pins,
        configured=offered[0],
        cpu_index="".join(offered[1:]),
        is_cpu_only=recipe.machine == "aarch64",
        index_args=index_args,
    )
    host.reporter.say(f"Using {source.said}")
    return source
