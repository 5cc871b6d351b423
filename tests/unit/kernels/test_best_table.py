"""Which table the kernels' tests expect of the computer that they run on, by the words of its /proc/cpuinfo."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "kernels" / "best-table.sh"
# As Linux prints it on a Neoverse N2: what has Neoverse V2's instructions among GitHub's runners.
N2 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 "
    "sm3 sm4 asimddp sha512 sve asimdfhm uscat ilrcpc flagm sb dcpodp sve2 sveaes svebitperm svesha3 flagm2 frint "
    "svei8mm svebf16 i8mm bf16"
)
N1 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
V1 = f"{N1} sve svei8mm svebf16 i8mm bf16"  # SVE without SVE2


@pytest.mark.parametrize(
    ("machine", "features", "table"),
    [
        ("aarch64", N2, "sve2"),
        ("aarch64", V1, "neon"),
        ("aarch64", N1, "portable"),
        ("aarch64", N2.replace(" bf16", ""), "portable"),
        ("aarch64", N2.replace(" svebf16", ""), "neon"),
        ("aarch64", "", "portable"),
        ("x86_64", N2, "portable"),
    ],
)
def test_the_table_follows_from_the_instructions(machine: str, features: str, table: str, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    core = f"BogoMIPS\t: 50.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n\n"
    cpuinfo.write_text(f"processor\t: 0\n{core}processor\t: 1\n{core}")
    done = subprocess.run(["bash", SCRIPT, machine, cpuinfo], capture_output=True, text=True, check=True, timeout=10)
    assert done.stdout == f"{table}\n"


def test_a_computer_whose_file_says_nothing_of_arm_is_portable() -> None:
    done = subprocess.run(
        ["bash", SCRIPT, "x86_64", "/proc/cpuinfo"], capture_output=True, text=True, check=True, timeout=10
    )
    assert done.stdout == "portable\n"
