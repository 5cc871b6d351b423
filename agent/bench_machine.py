"""What a computer can do at most: memory bandwidth by number of threads, and products of large matrices.

It runs on an engine environment's Python, for torch moves memory and multiplies with the libraries that engines use.
Bytes are counted as STREAM does: two buffers for a copy, three for a triad, nothing for what a cache line fetches
before it is written. The best round counts: other work on the computer only makes rounds slower.
"""

import importlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from agent.bench_messages import MachineResult

BUFFER_BYTES = 256 << 20
"""Of each of three buffers: several times the last cache of today's processors, per core that an engine has."""
LEAST_ROUNDS, LEAST_S = 5, 1.5
"""A process that shares its processor needs several tries to have it for the whole of a round."""
SIDE = 1024
"""Of the matrices."""
KEPT_PROCESSOR = (
    *("Architecture", "Model name", "CPU(s)", "Thread(s) per core", "Core(s) per socket", "Socket(s)", "CPU max MHz"),
    *("L1d cache", "L2 cache", "L3 cache", "NUMA node(s)", "Flags", "Hypervisor vendor"),
)
KEPT_MEMORY = ("MemTotal", "MemAvailable", "HugePages_Total", "Hugepagesize", "AnonHugePages")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def best_s(act: Callable[[], object]) -> float:
    """The shortest of many rounds, after one that does not count."""
    act()
    taken: list[float] = []
    while len(taken) < LEAST_ROUNDS or sum(taken) < LEAST_S:
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return min(taken)


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4 ... and all of them."""
    return sorted({1 << power for power in range(cores.bit_length()) if 1 << power <= cores} | {cores})


def bandwidths(cores: int, buffer_bytes: int) -> dict[str, dict[str, float]]:
    torch = importlib.import_module("torch")

    count = buffer_bytes // 4
    one, two, three = (torch.full((count,), float(value)) for value in range(1, 4))
    found = {}
    for threads in thread_counts(cores):
        torch.set_num_threads(threads)
        found[str(threads)] = {
            "read": buffer_bytes / best_s(lambda: torch.sum(one)),
            "copy": 2 * buffer_bytes / best_s(lambda: two.copy_(one)),
            "triad": 3 * buffer_bytes / best_s(lambda: torch.add(one, two, alpha=3.0, out=three)),
        }
    return found


def peaks(cores: int) -> dict[str, float]:
    """Two operations for each product that is added up. What this torch cannot do is left out."""
    torch = importlib.import_module("torch")

    torch.set_num_threads(cores)
    found = {}
    plain = torch.randn(SIDE, SIDE)
    brain = plain.to(torch.bfloat16)
    small = torch.randint(-127, 127, (SIDE, SIDE), dtype=torch.int8)
    products: dict[str, Callable[[], object]] = {
        "float32": lambda: torch.mm(plain, plain),
        "bfloat16": lambda: torch.mm(brain, brain),
        "int8": lambda: torch._int_mm(small, small),
    }
    for name, product in products.items():
        try:
            found[name] = 2 * SIDE**3 / best_s(product)
        except RuntimeError:
            continue
    return found


def processor(said: str) -> dict[str, str]:
    """What lscpu says, as far as speed depends on it."""
    pairs = (line.partition(":") for line in said.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip() in KEPT_PROCESSOR}


def memory(said: str, transparent: str) -> dict[str, str]:
    """Sizes and huge pages. The kernel puts the kind in use between brackets."""
    pairs = (line.partition(":") for line in said.splitlines())
    kept = {name: value.strip() for name, _, value in pairs if name in KEPT_MEMORY}
    return {**kept, "transparent huge pages": transparent.partition("[")[2].partition("]")[0]}


def main() -> None:
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    lscpu = subprocess.run(["lscpu"], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    transparent = HUGE_PAGES.read_text() if HUGE_PAGES.is_file() else ""
    result = MachineResult(
        processor=processor(lscpu.stdout),
        memory=memory(Path("/proc/meminfo").read_text(), transparent),
        load_before=load,
        bandwidth_bytes_per_s=bandwidths(cores, BUFFER_BYTES),
        peak_ops_per_s=peaks(cores),
        buffer_bytes=BUFFER_BYTES,
    )
    print(result.to_json())
