"""What an environment's processes ask the kernel for, on a processor with AMX: its tile registers."""

import platform
import subprocess
import sys
from pathlib import Path

from tests.support.agent import agent_file, run_agent

ASKED = "import ctypes; v = ctypes.c_ulong(); ctypes.CDLL(None).syscall(158, 0x1022, ctypes.byref(v)); print(v.value)"


def has_tiles(python: Path) -> bool:
    """Whether a process of an environment may use them: bit 18 of what arch_prctl(ARCH_GET_XCOMP_PERM) gives."""
    done = subprocess.run((python, "-P", "-c", ASKED), capture_output=True, text=True, check=True, timeout=60)
    return bool(int(done.stdout) >> 18 & 1)


def test_every_process_of_an_environment_gets_them_where_there_are_any(tmp_path: Path) -> None:
    subprocess.run((sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"), check=True, timeout=60)
    python = tmp_path / "venv" / "bin" / "python"
    assert not has_tiles(python)
    run_agent(agent_file(tmp_path), "tile-registers", python=str(python), check=True)
    is_x86 = platform.machine() == "x86_64"
    assert len(list((tmp_path / "venv").rglob("axion_tile_registers.pth"))) == is_x86
    assert has_tiles(python) is ("amx_tile" in Path("/proc/cpuinfo").read_text().split())
