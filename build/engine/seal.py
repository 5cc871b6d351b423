"""Prove an engine environment, and seal it: from then on it is used as it is."""

from collections.abc import Mapping, Sequence

from agent.message import MessageError
from agent.protocol import Built, EnvironmentLook, EnvironmentManifest, Failure, Findings, LoadedKernels, Proof
from build.engine.commands import BuildDirectory
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
        look = EnvironmentLook.from_last_line(stdout)
    except MessageError:
        return [f"proofs: no answer from the environment: {stdout[-200:]!r}. Read the build's log."]
    problems = [*_package_problems(look.packages, pins), *_kernel_problems(look.kernels)]
    expected, said = f"{pins.vllm.version}+cpu", look.command_version
    if said != expected:
        got = f": {said.error}" if isinstance(said, Failure) else f", got {said}"
        problems.append(
            f"proofs.command_version: `vllm --version` does not say {expected}{got}. "
            "Build again; read the build's log if it persists."
        )
    return problems


def _package_problems(got: Mapping[str, str], pins: Pins) -> list[str]:
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


def _kernel_problems(kernels: LoadedKernels | Failure) -> list[str]:
    if isinstance(kernels, Failure):
        return [f"proofs.kernels: vLLM's kernels do not load: {kernels.error}. Build again on this machine."]
    problems = []
    if kernels.device_type != "cpu":
        problems.append(
            f"proofs.kernels.device_type: the platform is not the CPU, got {kernels.device_type!r}. "
            "Check that the stub distribution `vllm` is installed."
        )
    missing = sorted(REQUIRED_OPERATORS - set(kernels.operators))
    if missing:
        problems.append(
            f"proofs.kernels.operators: {', '.join(missing)} missing, got {len(kernels.operators)} operators from "
            f"{kernels.extension}. Install the wheel that fits this processor."
        )
    return problems


def manifest(digest: str, *, look: str, findings: str, built: Built, proofs: Sequence[Proof]) -> str:
    """What the sealed directory says about itself. `look` and `findings` are what was printed, and has been judged."""
    looked, found = EnvironmentLook.from_last_line(look), Findings.from_last_line(findings)
    return EnvironmentManifest(digest, built, tuple(proofs), looked, found).to_json(indent=1) + "\n"
