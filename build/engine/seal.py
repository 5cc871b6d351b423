"""Prove an engine environment, and seal it: from then on it is used as it is."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from build.engine.commands import BuildDirectory
from build.engine.proofs import Gate
from build.pins import Pins
from build.remote.command import Command

# One from each family that an engine calls at every step: a wheel without them would fail at the first request.
REQUIRED_OPERATORS = frozenset(
    f"_C::{name}"
    for name in ("cpu_attention_with_kv_cache", "onednn_mm", "rms_norm", "rotary_embedding", "silu_and_mul")
)


def proof_command(build: BuildDirectory) -> Command:
    """Ask the environment what it is; the answer is the last line of its stdout."""
    return build.agent.command("environment", what="load the kernels and ask vLLM for its version", timeout_s=1800)


def judge_proofs(stdout: str, pins: Pins) -> list[str]:
    """What is wrong with the environment that printed this; empty when nothing is."""
    try:
        answer = json.loads(stdout.strip().rpartition("\n")[2])
    except json.JSONDecodeError:
        return [f"proofs: no answer from the environment, got {stdout[-200:]!r}. Read the build's log."]
    problems = [*_package_problems(answer, pins), *_kernel_problems(answer["kernels"])]
    expected, command = f"{pins.vllm.version}+cpu", answer["command_version"]
    if command["value"] != expected:
        problems.append(
            f"proofs.command_version: `vllm --version` does not say {expected}, "
            f"got {command['error'] or command['value']}. Build again; read the build's log if it persists."
        )
    return problems


def _package_problems(answer: Mapping[str, Any], pins: Pins) -> list[str]:
    got = answer["packages"]
    allowed = {
        "vllm": (f"{pins.vllm.version}+cpu",),
        "torch": (pins.torch.version, f"{pins.torch.version}+cpu"),
        "torchvision": (pins.torch.torchvision, f"{pins.torch.torchvision}+cpu"),
        "transformers": None,
    }
    return [
        f"proofs.packages.{name}: {f'another version, got {got[name]}' if name in got else 'missing'}. "
        f"Build again with {name} {' or '.join(versions or ('of any version',))}."
        for name, versions in allowed.items()
        if name not in got or (versions is not None and not _matches(got[name], versions))
    ]


def _matches(version: str, allowed: Sequence[str]) -> bool:
    """The default build of torch may carry a local version of its own, such as +cu130."""
    return version in allowed or version.partition("+")[0] in allowed


def _kernel_problems(kernels: Mapping[str, Any]) -> list[str]:
    if kernels["error"] is not None:
        return [f"proofs.kernels: vLLM's kernels do not load, got {kernels['error']}. Build again on this machine."]
    value = kernels["value"]
    problems = []
    if value["device_type"] != "cpu":
        problems.append(
            f"proofs.kernels.device_type: the platform is not the CPU, got {value['device_type']!r}. "
            "Check that the stand-in distribution `vllm` is installed."
        )
    missing = sorted(REQUIRED_OPERATORS - set(value["operators"]))
    if missing:
        problems.append(
            f"proofs.kernels.operators: {', '.join(missing)} missing, got {len(value['operators'])} operators from "
            f"{value['extension']}. Install the wheel that fits this processor."
        )
    return problems


def manifest(digest: str, proofs: str, *, built: Mapping[str, Any], gates: Sequence[Gate], findings: str = "") -> str:
    """What the sealed directory says about itself: what it was made from, what it showed, how that was judged."""
    content = {
        "digest": digest,
        "recipe": built.get("recipe", "wheel"),
        "built": dict(built),
        "gates": [gate.as_data() for gate in gates],
        "proofs": json.loads(proofs.strip().rpartition("\n")[2]),
        "findings": json.loads(findings.strip().rpartition("\n")[2]) if findings else {},
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"
