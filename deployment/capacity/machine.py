"""A machine as far as it bounds an engine's step: memory bandwidth, clock, and what a modelled kernel is worth on it.

A step takes its bytes over the bandwidth, its multiply-accumulates (MACs) over the kernels' throughput, or longer than
both where they do not overlap: (memory^p + compute^p)^(1/p), plus an overhead. An infinite p is the roofline's maximum;
see OVERLAP for the one that published runs have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

CORE_BYTES_PER_S = 37e9
"""One Neoverse V2 core of Graviton4, as Arm's learning path on its memory subsystem publishes it."""
MOST_BYTES_PER_S = 465e9
"""64 vCPUs of Graviton4, published there as well: no larger machine is taken to have more."""
CLOCK_HZ = 3.0e9
"""Assumed: the clock of C4A is not published."""
GEMV_SHARE, GEMM_SHARE = 0.55, 0.7
"""What a modelled cycle is worth on Axion: ggml's GEMV q4_0_4x8 models at 9.87 bytes/cycle and runs there at 5.0 to
5.4, its GEMM at 49.6 MACs/cycle against about 35.
"""
OVERLAP = 1.7
"""How much of the smaller of memory and compute time hides behind the larger. With 231 GB/s, which its F16 run shows,
this p gives a 4.5B model's published Q4_0 decoding on 4, 8 and 16 vCPUs of Axion (24.2, 40.9, 62.4 tokens/s) to within
8 %; the maximum gives 91 instead of 62.4. tests/unit/deployment/capacity/test_engine.py holds it against another model.
"""
STEP_OVERHEAD_S = 1e-3
"""Assumed: about 200 parallel regions of 1.6 us (measured on x86-64), and the scheduler's own work between steps."""
ASSUMED_VCPUS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is assumed of a machine."""

    vcpus: int
    host_bytes_per_s: float = 200e9
    """Of 32 vCPUs together, assumed: 215 to 231 GB/s follow from published F16 decoding on 16 vCPUs of Axion."""
    core_bytes_per_s: float = CORE_BYTES_PER_S
    clock_hz: float = CLOCK_HZ
    gemv_share: float = GEMV_SHARE
    gemm_share: float = GEMM_SHARE
    overlap: float = OVERLAP
    step_overhead_s: float = STEP_OVERHEAD_S

    @property
    def bytes_per_s(self) -> float:
        """Of all its cores: a larger machine has a larger share of the chip, a smaller one is bound by its cores."""
        share = min(MOST_BYTES_PER_S, self.host_bytes_per_s * max(1.0, self.vcpus / ASSUMED_VCPUS))
        return min(share, self.vcpus * self.core_bytes_per_s)

    def bandwidth(self, threads: int) -> float:
        """Bytes a second that so many threads read while nobody else does."""
        return min(self.bytes_per_s, threads * self.core_bytes_per_s)

    def step_s(self, memory_s: float, compute_s: float) -> float:
        """One step of an engine."""
        longer, p = max(memory_s, compute_s), self.overlap
        if not longer:
            return self.step_overhead_s
        # As a share of the longer, which no large p makes vanish.
        share: float = (1 + (min(memory_s, compute_s) / longer) ** p) ** (1 / p)
        return longer * share + self.step_overhead_s


def assumed(vcpus: int) -> Mapping[str, Machine]:
    """The three machines between which the truth is taken to lie."""
    middle = Machine(vcpus=vcpus, host_bytes_per_s=250e9)
    return {
        "low": replace(middle, host_bytes_per_s=200e9, gemv_share=0.5, gemm_share=0.6, step_overhead_s=3e-3),
        "middle": middle,
        "high": replace(middle, host_bytes_per_s=280e9, gemv_share=0.6, gemm_share=0.8, step_overhead_s=0.5e-3),
    }
