"""Everything that would make a deployment fail half-way, found before anything is touched."""

import json
from collections.abc import Iterator, Mapping

from agent.protocol import Room
from agent.room import lack
from build.deploy.facts import Facts
from build.engine.needs import BUILD_BYTES
from build.engine.origin import missing_features
from build.engine.toolchain import memory_problem
from build.pins import Origin
from build.remote.minimum import is_python_supported, problems_of
from build.remote.target import DEMO_STORE, Target
from deployment.models.spec import Deployment, Model, adapter_key
from deployment.quantities import GIB, shown_bytes
from deployment.stack.minimum import SYSTEMS

RELEASE_BYTES = GIB // 16
# The environment has 63,000 files and directories (measured on x86-64), sources that are compiled some more.
BUILD_INODES, RELEASE_INODES = 120_000, 512
SMALL_BYTES, SMALL_INODES = 4 << 20, 64
"""For what is written elsewhere than below the root: units, and what programs need for a moment."""
EVERY_HOST = "0.0.0.0"  # noqa: S104 - compared
LOOPBACK = ("127.", "localhost:")


def host_problems(
    deployment: Deployment, facts: Facts, *, is_build: bool, name: str, cleared_bytes: int = 0
) -> list[str]:
    """Report every problem of a host with this deployment. `name` is how to call the host.

    `cleared_bytes` are on its disk and gone before anything is built.
    """
    return [
        *_system(facts, name),
        *_addresses(deployment, facts, name),
        *(f"gateway.tls: on {name}: {problem}" for problem in facts.tls_problems),
        *_disk(facts.disk_free_bytes + cleared_bytes, is_build=is_build, name=name),
        *_inodes(facts, is_build=is_build, name=name),
        *(_small(each, name) for each in facts.disks[1:] if lack(each, SMALL_BYTES, SMALL_INODES)),
    ]


def _system(facts: Facts, name: str) -> Iterator[str]:
    yield from problems_of(name, facts.system.said)
    if not facts.system.said and not is_python_supported(facts.python):
        yield f"{name}: vLLM runs on Python 3.11 to 3.14, got {facts.python}. Use {SYSTEMS}."


def build_problems(facts: Facts, origin: Origin, *, is_compiling: bool, name: str) -> Iterator[str]:
    """Report what a build there would fail on, whatever is installed."""
    if missing := missing_features(facts.machine, origin, facts.system.features):
        yield (
            f"{name}: its processor lacks what the engine is built for: {', '.join(missing)}. "
            f"Use an Axion machine (C4A or N4A){_or_a_wheel(facts, origin)}."
        )
    problem = memory_problem(facts.system, name=name) if is_compiling else None
    if problem is not None:
        yield problem


def _or_a_wheel(facts: Facts, origin: Origin) -> str:
    is_enough = origin == "compiled" and not missing_features(facts.machine, "wheel", facts.system.features)
    return ", or take the engine from a wheel (--engine wheel)" if is_enough else ""


def _addresses(deployment: Deployment, facts: Facts, name: str) -> Iterator[str]:
    # One that answers without a runner is on its way out.
    release = facts.release(facts.current) if facts.gateway is not None else None
    held = (*facts.served_addresses, *(release.listen if release else ()))
    for index, address in enumerate(deployment.gateway.listen):
        why = facts.refused_addresses.get(address)
        if why is None or (why == "EADDRINUSE" and any(_meet(address, each) for each in held)):
            continue
        where, got = f"gateway.listen[{index}]", f"got {json.dumps(address)}"
        if why == "EACCES":
            yield f"{where}: ports below 1024 need root on {name}, {got}. Choose one from 1024 on."
        elif why == "EADDRNOTAVAIL":
            yield (
                f"{where}: no address of {name}, {got}. Give one that `ip -brief address` shows there, or 0.0.0.0 for "
                "all of them."
            )
        elif why == "EADDRINUSE":
            yield (
                f"{where}: in use on {name} by another program, {got}. "
                f"Stop it (`ss -ltnp 'sport = :{address.rpartition(':')[2]}'` shows it) or choose another port."
            )
        else:
            yield f"{where}: nothing can listen there on {name}, {got}: {why}. Choose another address."


def exposure_problems(deployment: Deployment, target: Target) -> Iterator[str]:
    """Report addresses that other machines can reach where nobody is asked for a key."""
    if target.keys is not None or deployment.gateway.open:
        return
    keys = "Give keys (axion:gatewayApiKeys of the stack, gateway_keys of an inventory), or use"
    for index, address in enumerate(deployment.gateway.listen):
        if not address.startswith(LOOPBACK):
            yield (
                f"gateway.listen[{index}]: other machines can reach it, and {target.name} asks for no keys, got "
                f"{json.dumps(address)}. {'Use' if target.is_here else keys} 127.0.0.1; where a network of your own "
                "keeps strangers out, say so: `open: true` under gateway."
            )


def _meet(one: str, other: str) -> bool:
    """Whether who listens at one address keeps others from the other: 0.0.0.0 is every one."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    return port == other_port and (host == other_host or EVERY_HOST in (host, other_host))


def kernel_problems(deployment: Deployment, *, machine: str) -> Iterator[str]:
    """Report what only our plug-in can do. `machine` has an environment without it."""
    if deployment.host.core_policy == "elastic":
        yield (
            f"host.core_policy: our plug-in lends cores, and the environment has none, got elastic on {machine}. "
            f'Add "{machine}" to kernels.machines in build/pins.toml, or write disjoint.'
        )
    for name, model in deployment.models.items():
        if model.kernels.variable is not None:
            yield (
                f"models.{name}.kernels: the environment has none of our kernels, got {machine}. "
                f'Add "{machine}" to kernels.machines in build/pins.toml, or delete it.'
            )
        if model.engine.quantization == "axion_w4":
            yield (
                f"models.{name}.engine.quantization: axion_w4 is one of our kernels, and the environment has none, got "
                f'{machine}. Add "{machine}" to kernels.machines in build/pins.toml, or delete it.'
            )


def checkpoint_problems(
    deployment: Deployment, facts: Facts, paths: Mapping[str, str], *, elsewhere: str | None = None
) -> Iterator[str]:
    """Report checkpoints that are missing, or that are not what models.yaml claims.

    `elsewhere` is the name of a host that is not this computer: there a path means something else than here.
    """
    for name, model in deployment.models.items():
        path, found = paths[name], facts.checkpoints.get(name)
        if found is None and model.weights.path is None:
            continue  # the deployment downloads it
        if found is None:
            where = f" on {elsewhere}" if elsewhere else ""
            step = _step(path, elsewhere)
            yield f"models.{name}.weights.path: no such directory{where}, got {json.dumps(path)}. {step}"
        elif found.problems:
            yield from (f"models.{name}.weights: {path}: {problem}" for problem in found.problems)
        else:
            from deployment.checkpoint.reading import differences  # noqa: PLC0415 - every format, where one is there

            if different := differences(model.checkpoint, found.texts, found.digest):
                yield (
                    f"models.{name}.weights: {path} is not what the lock file says, got {'; '.join(different)}. "
                    f"Point weights at the right checkpoint, or run `fab models-update {name}`."
                )
        yield from _adapter_problems(name, model, facts, paths, elsewhere)


def _adapter_problems(
    name: str, model: Model, facts: Facts, paths: Mapping[str, str], elsewhere: str | None
) -> Iterator[str]:
    where = f" on {elsewhere}" if elsewhere else ""
    for adapter in model.lora:
        key, at = adapter_key(name, adapter), f"models.{name}.lora.{adapter}.path"
        found = facts.checkpoints.get(key)
        if found is None:
            yield f"{at}: no such directory{where}, got {json.dumps(paths[key])}. {_step(paths[key], elsewhere)}"
        else:
            yield from (f"{at}: {paths[key]}: {problem}" for problem in found.problems)


def _step(path: str, elsewhere: str | None) -> str:
    if elsewhere:
        return f"A path counts on {elsewhere}, a relative one from its directory of models: copy the checkpoint there."
    if path.startswith(f"{DEMO_STORE}/"):
        return "Run `make demo`, which makes the demonstration's models."
    return "Make or download the checkpoint there, or correct the path."


def _disk(free_bytes: int, *, is_build: bool, name: str) -> Iterator[str]:
    needed = RELEASE_BYTES + (BUILD_BYTES if is_build else 0)
    if free_bytes < needed:
        yield (
            f"{name}: too little free disk, got {shown_bytes(free_bytes)} where {shown_bytes(needed)} "
            "are needed. Free some, or prune old releases and builds."
        )


def _inodes(facts: Facts, *, is_build: bool, name: str) -> Iterator[str]:
    """A disk with free bytes and no free inode says that it has no space left, which nobody understands."""
    needed = RELEASE_INODES + (BUILD_INODES if is_build else 0)
    for room in facts.disks[:1]:
        if room.inodes and room.free_inodes < needed:
            got = f"got {room.free_inodes} of {room.inodes} where {needed} are needed, one for each file"
            step = "Remove files there, or use a file system with more of them (mkfs -N)"
            yield f"{name}: too few free inodes at {room.mount}, {got}. {step}."


def _small(room: Room, name: str) -> str:
    lacking = lack(room, SMALL_BYTES, SMALL_INODES)
    return f"{name}: {room.place} is full: {lacking}. Make room there: a deployment writes a little to it."
