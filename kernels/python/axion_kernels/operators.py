"""Load the compiled operators into torch, once, and refuse a torch they were not compiled against."""

import functools
import json
from pathlib import Path

import torch

LIBRARY = Path(__file__).with_name("libaxion_torch.so")
BUILD = Path(__file__).with_name("build.json")


@functools.cache
def load() -> None:
    """Register `torch.ops.axion.*` with their fake implementations."""
    built_for = json.loads(BUILD.read_text())["torch"]
    running = torch.__version__.split("+")[0]
    if built_for != running:
        raise RuntimeError(
            f"axion_kernels: torch: compiled against {built_for}, got {running}. "
            f"Install torch {built_for}, or build the wheel again in this environment."
        )
    torch.ops.load_library(str(LIBRARY))
    from axion_kernels import fakes  # noqa: F401  # registers on import


def isa() -> str:
    """The instruction set of the kernels in use: portable, neon or sve2."""
    return str(torch.ops.axion.isa())
