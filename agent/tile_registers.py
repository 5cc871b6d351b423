"""Have every process of an environment ask for AMX's tile registers when it starts, on x86-64.

vLLM's attention uses them for a single token before anything has asked, and its worker dies of SIGILL. Linux grants
them to a process and not to what it executes, so neither the launcher nor a unit can ask (Documentation/arch/x86/
xstate.rst: ARCH_REQ_XCOMP_PERM of XFEATURE_XTILEDATA). Where there are none the call fails, and nothing else happens.
Run by the environment's own Python.
"""

import platform
import sysconfig
from pathlib import Path

ASKING = "import ctypes; ctypes.CDLL(None).syscall(158, 0x1023, 18)  # arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA)\n"


def main() -> int:
    if platform.machine() == "x86_64":
        Path(sysconfig.get_path("purelib"), "axion_tile_registers.pth").write_text(ASKING)
    return 0
