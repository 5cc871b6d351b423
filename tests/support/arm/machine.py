"""What programs in the emulated root read about the machine: a Neoverse V2 instead of the host.

qemu-user translates instructions and system calls; /proc/cpuinfo and /sys stay the host's. PyTorch's cpuinfo dies of
an x86 machine under Arm code, and without cache sizes vLLM's attention cannot divide its work.
"""

from collections.abc import Mapping
from pathlib import Path

# Linux's names for what Neoverse V2 has; vLLM looks for bf16 and i8mm, cpuinfo for the rest.
FEATURES = """
fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 asimddp
sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb dcpodp sve2 sveaes svebitperm svesha3 flagm2 frint svei8mm svebf16
i8mm bf16 dgh rng bti
"""
MIDR = "0x00000000410fd4f1"  # Arm Ltd, Neoverse V2, r0p1
# level, type, size in KiB, ways; the first two levels are the core's own
CACHES = ((1, "Data", 64, 4), (1, "Instruction", 64, 4), (2, "Unified", 2048, 8), (3, "Unified", 81920, 16))
LINE_BYTES = 64


def cpuinfo(cpus: int) -> str:
    core = (
        "BogoMIPS\t: 2000.00\n"
        f"Features\t: {' '.join(FEATURES.split())}\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd4f\nCPU revision\t: 1\n"
    )
    return "".join(f"processor\t: {cpu}\n{core}\n" for cpu in range(cpus))


def lscpu(cpus: int) -> str:
    """The one call that vLLM makes: `lscpu --json --extended=CPU,CORE,NODE --online`."""
    listed = ",".join(f'{{"cpu":{cpu},"core":{cpu},"node":0}}' for cpu in range(cpus))
    return f"#!/bin/sh\necho '{{\"cpus\":[{listed}]}}'\n"


def sys_files(cpus: int) -> Mapping[str, str]:
    """Files below /sys/devices/system/cpu."""
    every = f"0-{cpus - 1}" if cpus > 1 else "0"
    files = {"possible": every, "present": every, "online": every}
    for cpu in range(cpus):
        own = {"list": str(cpu), "map": f"{1 << cpu:x}"}
        shared = {"list": every, "map": f"{(1 << cpus) - 1:x}"}
        topology = {"core_id": str(cpu), "physical_package_id": "0", "thread_siblings": own["map"]}
        topology |= {"thread_siblings_list": own["list"], "core_siblings": shared["map"]}
        topology |= {"core_siblings_list": shared["list"], "package_cpus_list": shared["list"]}
        files |= {f"cpu{cpu}/topology/{name}": value for name, value in topology.items()}
        files[f"cpu{cpu}/regs/identification/midr_el1"] = MIDR
        for index, (level, kind, size_kib, ways) in enumerate(CACHES):
            users = shared if level == 3 else own
            cache = {"level": str(level), "type": kind, "size": f"{size_kib}K", "ways_of_associativity": str(ways)}
            cache |= {"coherency_line_size": str(LINE_BYTES), "shared_cpu_list": users["list"]}
            cache |= {"number_of_sets": str(size_kib * 1024 // ways // LINE_BYTES), "shared_cpu_map": users["map"]}
            files |= {f"cpu{cpu}/cache/index{index}/{name}": value for name, value in cache.items()}
    return files


def write_facts(root: Path, cpus: int) -> None:
    """Put them where programs look; /proc/cpuinfo is bound over the real one when the root is entered."""
    (root / "srv" / "cpuinfo").write_text(cpuinfo(cpus))
    program = root / "usr" / "bin" / "lscpu"
    program.write_text(lscpu(cpus))
    program.chmod(0o755)
    for name, text in sys_files(cpus).items():
        path = root / "sys" / "devices" / "system" / "cpu" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
