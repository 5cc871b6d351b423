"""Decide how an engine environment comes to be on a host: from wheels, by compiling, from wheels compiled elsewhere."""

import json
from dataclasses import dataclass, field

from build.activation import Host
from build.command import Command
from build.engine import built_wheels
from build.engine.built_wheels import (
    fetch_commands,
    install_wheels,
    is_absent,
    look_command,
    record_command,
    stored_wheels,
)
from build.engine.commands import BuildDirectory, begin_commands, install_commands
from build.engine.gates import use_commands
from build.engine.kernels_build import beside_a_wheel, kernel_files
from build.engine.source_build import source_commands
from build.engine.source_plan import SourceBuild, check_machine
from build.engine.sources import Sources
from build.engine.toolchain import (
    Toolchain,
    ToolchainFacts,
    choose_toolchain,
    facts_command,
    install_command,
    needs_packages,
    update_command,
)
from build.engine.torch_source import TorchSource, choose_torch_source, probe_commands
from build.errors import DeployError
from build.executor import check
from build.pins import Pins


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an environment is made from."""

    pins: Pins
    constraints_text: str
    digest: str
    machine: str
    sources: Sources = field(default_factory=Sources)


def check_host(recipe: Recipe, host: Host) -> Toolchain | None:
    """Look whether the host can compile, before anything is touched; None where nothing is compiled there.

    Raises DeployError with everything that is in the way. Installs what its distribution offers.
    """
    if not recipe.pins.is_compiled(recipe.machine) or stored(recipe, host):
        return None
    check_machine(recipe.pins, recipe.machine)
    look = facts_command(python=host.target.python)
    facts = ToolchainFacts.model_validate_json(check(host.executor, look).stdout)
    may_install = recipe.sources.mirror is None
    if needs_packages(facts, recipe.pins) and may_install and facts.is_root and facts.has_apt:
        with host.reporter.phase("Read the distribution's package lists"):
            check(host.executor, update_command())
        facts = ToolchainFacts.model_validate_json(check(host.executor, look).stdout)
    return choose_toolchain(facts, recipe.pins, name=host.target.name, may_install=may_install)


def stored(recipe: Recipe, host: Host) -> dict[str, str]:
    """Wheels of this very build that another host has left; empty where there are none."""
    if recipe.sources.wheels is None or not recipe.pins.is_compiled(recipe.machine):
        return {}
    store = recipe.sources.wheels
    found = host.executor.run(look_command(store, recipe.digest))
    if found.succeeded:
        return stored_wheels(found.stdout, recipe.digest, store)
    if not is_absent(found.stderr):  # an hour later the wheels could not be left there either
        got = (found.stderr.strip().splitlines() or [f"exit status {found.status}"])[-1]
        raise DeployError(f"--wheels: {store} cannot be read, got {got}. Let the host read it, or deploy without it.")
    return {}


def build_steps(recipe: Recipe, host: Host, build: BuildDirectory, toolchain: Toolchain | None) -> tuple[Command, ...]:
    """All steps from an empty virtual environment to one that is finished and was put to use."""
    torch = _torch_source(recipe, host, build)
    proof = use_commands(build, recipe.pins, recipe.machine)
    return (*_filling(recipe, host, build, toolchain, torch), *proof)


def _filling(
    recipe: Recipe, host: Host, build: BuildDirectory, toolchain: Toolchain | None, torch: TorchSource
) -> tuple[Command, ...]:
    pins, sources = recipe.pins, recipe.sources
    if toolchain is not None:
        plan = SourceBuild(
            pins=pins,
            build=build,
            machine=recipe.machine,
            torch=torch,
            toolchain=toolchain,
            sources=sources,
            constraints_text=recipe.constraints_text,
            kernels=kernel_files() if pins.has_kernels(recipe.machine) else [],
        )
        packages = (install_command(toolchain.packages),) if toolchain.packages else ()
        return (*packages, *source_commands(plan))
    if pins.is_compiled(recipe.machine):
        assert sources.wheels is not None
        wheels = stored(recipe, host)
        host.reporter.say(f"Taking finished wheels from {sources.wheels}")
        return (
            *begin_commands(
                pins, build, torch, constraints_text=recipe.constraints_text, index_args=sources.index_args
            ),
            *fetch_commands(build, sources.wheels, wheels),
            record_command(
                build,
                {"recipe": "wheels of another host", "from": sources.wheels, "torch_source": torch.said},
                repositories=(),
            ),
            *install_wheels(pins, build, index_args=sources.index_args, has_kernels=pins.has_kernels(recipe.machine)),
        )
    return (
        *install_commands(
            pins,
            build,
            torch,
            machine=recipe.machine,
            constraints_text=recipe.constraints_text,
            index_args=sources.index_args,
        ),
        *(beside_a_wheel(pins, build, sources.index_args) if pins.has_kernels(recipe.machine) else ()),
        record_command(build, {"recipe": "wheel", "torch_source": torch.said}, repositories=()),
    )


def export(recipe: Recipe, host: Host, build: BuildDirectory) -> None:
    """Leave the wheels of a compiled, proven build where the next host looks for them, unless they are there."""
    store = recipe.sources.wheels
    if store is None or not recipe.pins.is_compiled(recipe.machine):
        return
    built = json.loads(check(host.executor, built_wheels.read_command(build)).stdout)
    if built["recipe"] != "source" or stored(recipe, host):
        return
    with host.reporter.phase(f"Export the wheels to {store}"):
        for command in built_wheels.export_commands(build, store, built["wheels"]):
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
        is_cpu_only=recipe.pins.is_compiled(recipe.machine),
        index_args=index_args,
    )
    host.reporter.say(f"Using {source.said}")
    return source
