"""The entry point that vLLM calls in every one of its processes.

Only the standard library is imported at the top: vLLM logs and swallows what an import raises, but not what
`register` raises. So a plug-in that cannot work ends the engine instead of leaving it slow and silent.
"""

import functools
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from axion_kernels.switches import Switches

logger = logging.getLogger("vllm.axion_kernels")  # below "vllm": its handlers and its level

VLLM_SERIES = (0, 32)


@functools.cache
def register() -> None:
    """Hook the enabled kernels into vLLM. Idempotent: a process calls this several times."""
    from axion_kernels import lending
    from axion_kernels.switches import Switches

    if cores := os.environ.get("AXION_CORES"):
        check_vllm()
        lending.install(lending.Setting.of(cores))
    switches = Switches.from_environment()
    if not switches.enabled:
        logger.warning("axion_kernels: off, by AXION_KERNELS=none")
        return
    check_vllm()
    from axion_kernels import operators, report

    operators.load()
    isa = operators.isa()
    switches = switches.on(isa)
    _install(switches)
    if report.begin(switches.enabled, isa=isa):
        _announce(f"axion_kernels: {', '.join(sorted(switches.enabled))} on {isa}")


def _announce(line: str) -> None:
    """Say it in the log, or on stderr where vLLM has yet to configure one: its front end loads plug-ins first."""
    if logger.hasHandlers():
        logger.info(line)
    else:
        print(line, file=sys.stderr, flush=True)


def check_vllm() -> None:
    """Refuse another vLLM: what is hooked are its internals, which move with every release."""
    from vllm.version import __version__, __version_tuple__

    if tuple(__version_tuple__[:2]) != VLLM_SERIES:
        series = ".".join(map(str, VLLM_SERIES))
        raise RuntimeError(
            f"axion_kernels: vllm: version {series}.* is needed, got {__version__}. "
            f"Install vllm {series}.*, or set AXION_KERNELS=none to serve without these kernels."
        )


def _install(switches: "Switches") -> None:
    from axion_kernels import eager, linear_w4, lm_head, online_w4, penalties, sampler, speculation

    linear_w4.install_refusal()
    if "linear_w4" in switches.enabled:
        linear_w4.install()
    if "axion_w4" in switches.enabled:
        online_w4.install()
    if "sampler" in switches.enabled:
        sampler.install()
    if "penalties" in switches.enabled:
        penalties.install()
    if "speculation" in switches.enabled:
        speculation.install()
    if "lm_head" in switches.enabled:
        lm_head.install()
    eager.install(switches)
    if os.environ.get("AXION_PACKED"):
        from axion_kernels import packed_weights

        packed_weights.install(switches)
