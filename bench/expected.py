"""Tokens per second that each model of models.yaml should reach on Neoverse V2: computed, never measured.

    .venv/bin/python -m bench.expected [MODELS_FILE]

A token at batch 1 reads every weight once, so it takes at least the bytes over the bandwidth, and at least the cycles
of the kernel. Both are given for the cores that models.yaml gives the model, and for 28 cores, as if it were alone on
the host. Kernel figures are the modelled ones of kernels/bench/baseline.json times what such a model was worth
elsewhere: ggml's GEMV q4_0_4x8 models at 9.87 bytes/cycle and runs on Axion at 5.0 to 5.4, its GEMM at 49.6 MAC/cycle
against about 35. KV cache and everything but the linear layers are left out; contexts are short.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deployment.checkpoint.tensors import packed_bytes
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.spec import Deployment, Served

BASELINE = Path(__file__).parents[1] / "kernels" / "bench" / "baseline.json"
CLOCK_HZ = 3.0e9
"""Assumed: the clock of C4A is not published."""
CORE_BYTES_PER_S = 37e9
"""One Neoverse V2 core of Graviton4, as Arm's learning path on its memory subsystem publishes it."""
HOST_BYTES_PER_S = 200e9
"""Assumed for 32 cores. 215 to 231 GB/s follow from published F16 decoding of a 4.5B model on 16 vCPUs of Axion."""
GEMV_SHARE, GEMM_SHARE = 0.55, 0.7
"""What a modelled cycle is worth on Axion: see above."""
PROMPT_TOKENS = 512
MOST_CORES = 28
"""Of c4a-standard-32, beside the four that models.yaml keeps for the system."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """Modelled throughput of one core."""

    gemv_bytes_per_cycle: float
    """4-bit weights without their scales, one row of activations."""
    gemm_macs_per_cycle: float


def kernels_of(path: Path, group: int) -> Kernels:
    """The figures for weights of which so many share a scale; groups of 64 have those of 128."""
    cases, name = json.loads(path.read_text())["cases"], "g32" if group == 32 else "g128"
    return Kernels(*(cases[f"linear_w4 NEON M={rows} {name}"]["figure"] for rows in (1, 128)))


@dataclass(frozen=True, slots=True)
class Speed:
    """What one model should reach on some cores, alone."""

    tokens_per_s: float
    first_token_s: float
    """After a prompt of PROMPT_TOKENS."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One model's row."""

    name: str
    bytes_per_token: int
    own_cores: Speed
    all_cores: Speed


def expected(deployment: Deployment, baseline: Path) -> Iterator[Expected]:
    """Compute a row for each model, in the order of the file."""
    for name, model in deployment.models.items():
        weights, head, packed = read_per_token(model)
        kernels = kernels_of(baseline, min(int4_of(model), default=128))
        # One core of a set schedules (deployment.models.sizing.EnginePlan.compute_threads).
        threads = [max(1, cores - 1) for cores in (model.cores, MOST_CORES)]
        speeds = [speed(weights, head, packed, kernels, cores=each) for each in threads]
        yield Expected(name, weights + head, *speeds)


def read_per_token(model: Served) -> tuple[int, int, int]:
    """Bytes of the linear layers and of the output head that a token reads, and how many weights are 4-bit."""
    int4 = int4_of(model)
    packed = sum(int4.values())
    linear = model.checkpoint.tensors.parts["linear"].parameters
    weights = sum(packed_bytes(count, group) for group, count in int4.items()) + 2 * (linear - packed)
    shape = model.checkpoint.shape
    return weights, shape.hidden_size * shape.vocab_size * (1 if model.kernels.lm_head else 2), packed


def int4_of(model: Served) -> Mapping[int, int]:
    """How many weights are 4-bit once they are loaded, by the group that shares a scale."""
    tensors = model.checkpoint.tensors
    return {**tensors.int4, **(tensors.convertible if model.engine.quantization == "axion_w4" else {})}


def speed(weights: int, head: int, packed: int, kernels: Kernels, *, cores: int) -> Speed:
    """Bound a token by memory and by the 4-bit kernel, and a prompt by arithmetic."""
    bandwidth = min(HOST_BYTES_PER_S, cores * CORE_BYTES_PER_S)
    kernel_s = packed / 2 / (cores * kernels.gemv_bytes_per_cycle * GEMV_SHARE * CLOCK_HZ)
    token_s = max(weights / bandwidth, kernel_s) + head / bandwidth
    macs = PROMPT_TOKENS * (packed or weights // 2)
    prompt_s = macs / (cores * kernels.gemm_macs_per_cycle * GEMM_SHARE * CLOCK_HZ)
    return Speed(1 / token_s, prompt_s + token_s)


def table(rows: Iterator[Expected]) -> str:
    """The rows in Markdown."""
    lines = [
        "| model | GB a token | tokens/s, own cores | first token | tokens/s, 28 cores | first token |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [row.name, f"{row.bytes_per_token / 1e9:.2f}"]
        for each in (row.own_cores, row.all_cores):
            cells += [f"{each.tokens_per_s:.0f}", f"{each.first_token_s:.1f} s"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    try:
        deployment = load_deployment(Path(arguments[0] if arguments else "models.yaml"))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print("Computed, not measured: batch 1, short contexts, prompts of 512 tokens, assumptions in bench/expected.py.\n")
    print(table(expected(deployment, BASELINE)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
