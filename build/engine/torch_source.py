"""Where torch comes from: found out on the host, decided here, and said aloud.

The build of torch for CPUs alone is not on every index, and the default build of the same version works as well.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from build.errors import DeployError
from build.pins import Pins
from build.remote.command import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSource:
    """Which build of torch to install and from where, with the sentence that says so."""

    requirement: str
    index_args: tuple[str, ...]
    said: str


def probe_commands(pins: Pins, python: PurePosixPath, index_args: tuple[str, ...] = ()) -> tuple[Command, ...]:
    """Ask for the versions of torch on offer: from what pip is configured with, and from PyTorch's CPU index.

    They read index pages and download no wheel. A failure is an answer: nothing on offer there. `index_args` name a
    mirror, and then nothing else is asked.
    """
    ask = (str(python), "-I", "-m", "pip", "index", "versions", "torch", "--disable-pip-version-check")
    bounded = ("--timeout", "5", "--retries", "0")
    if index_args:
        return (Command(argv=(*ask, *bounded, *index_args), what="ask the mirror for torch", timeout_s=180),)
    return (
        Command(argv=(*ask, *bounded), what="ask the configured package index for torch", timeout_s=180),
        Command(
            argv=(*ask, *bounded, "--index-url", pins.torch.cpu_index_url),
            what="ask the PyTorch CPU index for torch",
            timeout_s=180,
        ),
    )


def choose_torch_source(
    pins: Pins, *, configured: str, cpu_index: str = "", is_cpu_only: bool = False, index_args: tuple[str, ...] = ()
) -> TorchSource:
    """Decide from what the probes printed; the smallest build that works wins.

    `is_cpu_only`: no other will do. On Arm the default build is one for an accelerator, whose linear algebra lacks a
    function (`sbgemm_`) that vLLM's kernels call: they do not load beside it.
    """
    plain, cpu = pins.torch.version, f"{pins.torch.version}+cpu"
    if cpu in _offered(configured):
        return TorchSource(
            requirement=f"torch=={cpu}",
            index_args=index_args,
            said=f"torch {cpu}, from {'the mirror' if index_args else 'where pip is configured to look'}",
        )
    if cpu in _offered(cpu_index):
        return TorchSource(
            requirement=f"torch=={cpu}",
            index_args=("--index-url", pins.torch.cpu_index_url),
            said=f"torch {cpu}, from the PyTorch CPU index",
        )
    if plain in _offered(configured) and not is_cpu_only:
        return TorchSource(
            requirement=f"torch=={plain}",
            index_args=index_args,
            said=f"torch {plain}, the default build: works without an accelerator, but adds about 3 GB. "
            "The CPU build was not on offer",
        )
    if index_args or is_cpu_only:
        got = ", ".join(sorted(_offered(configured) | _offered(cpu_index))[-5:]) or "no answer"
        where = "in the mirror's wheels/" if index_args else f"at {pins.torch.cpu_index_url}, or where pip looks"
        raise DeployError(f"torch: version {cpu} is not on offer, got {got}. Put its wheel {where}.")
    raise DeployError(
        f"torch: version {plain} is not on offer, got {', '.join(sorted(_offered(configured))[-5:]) or 'no answer'}. "
        f"Check the network, or put its wheel where pip looks (PIP_FIND_LINKS)."
    )


def _offered(printed: str) -> frozenset[str]:
    """The versions in the output of `pip index versions`."""
    found = re.search(r"^Available versions:(.*)$", printed, re.MULTILINE)
    return frozenset(version.strip() for version in found.group(1).split(",")) if found else frozenset()
