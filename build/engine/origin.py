"""Where the engine of a host comes from: compiled there from vLLM's sources, or a wheel that others have compiled."""

import json
from typing import get_args

from build.errors import DeployError
from build.pins import Origin, Pins

# What the commands of source_build compile for.
COMPILED_MACHINES = ("aarch64",)
# What wheels for Arm are compiled for, whoever compiles: without these an engine dies of its first instruction.
WHEEL_FEATURES = ("bf16", "i8mm")
# A host that compiles does so for Axion. Without the first two at build time vLLM leaves its fast attention and int8
# kernels out and says nothing.
COMPILED_FEATURES = (*WHEEL_FEATURES, "sve2")


def choose_origin(pins: Pins, *, machine: str, flag: str | None = None, key: str | None = None) -> Origin:
    """Take what the command line says, else the models file, else what the machine is for.

    Raises DeployError where that cannot be had.
    """
    asked, where = (flag, "--engine") if flag is not None else (key, "host.engine")
    if asked not in (None, *get_args(Origin)):
        raise DeployError(f"{where}: not an origin of engines, got {json.dumps(asked)}. Use compiled or wheel.")
    can_compile, has_wheel = machine in COMPILED_MACHINES, machine in pins.vllm.wheels
    if not (can_compile or has_wheel):
        raise DeployError(
            f"pins.toml: vllm.wheels: no binary build for {machine}, got {', '.join(pins.vllm.wheels)}, and vLLM is "
            f"compiled for {', '.join(COMPILED_MACHINES)} only. Use an x86-64 or an Arm machine."
        )
    if asked == "compiled" and not can_compile:
        raise DeployError(
            f'{where}: vLLM is compiled on {", ".join(COMPILED_MACHINES)} only, got "compiled" for {machine}. '
            "Use wheel, or leave it out."
        )
    if asked == "wheel" and not has_wheel:
        raise DeployError(f'{where}: no wheel is pinned for {machine}, got "wheel". Use compiled, or pin one.')
    return "wheel" if asked == "wheel" or not can_compile else "compiled"


def missing_features(machine: str, origin: Origin, features: "tuple[str, ...]") -> tuple[str, ...]:
    """Name what the processor lacks for such an engine."""
    if machine != "aarch64":
        return ()
    needed = COMPILED_FEATURES if origin == "compiled" else WHEEL_FEATURES
    return tuple(feature for feature in needed if feature not in features)
