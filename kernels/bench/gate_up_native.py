"""Time a fused gate_up layer against its two operators on this machine, in turns.

    PYTHONPATH=SITE ENGINE_PYTHON kernels/bench/gate_up_native.py [threads]

SITE holds the unpacked wheel axion_kernels. The layer is Qwen2.5-1.5B's: 2 x 8960 rows of 1536, groups of 128.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from axion_kernels import operators

N, K, GROUP = 17920, 1536, 128
ROUNDS = 9


def time_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    operators.load()
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    axion = torch.ops.axion
    q = torch.randint(0, 16, (N, K), dtype=torch.uint8)
    packed = axion.pack_w4(q, torch.rand(N, K // GROUP) * 0.02, None, GROUP)
    shape = (packed, None, N, K, GROUP)
    for rows in (1, 8, 64):
        x = torch.randn(rows, K).bfloat16()
        times: dict[str, list[float]] = {"two_ms": [], "fused_ms": [], "activation_alone_ms": []}
        between = axion.linear_w4(x, *shape)
        axion.linear_w4_silu_and_mul(x, *shape)
        for _ in range(ROUNDS):
            times["two_ms"].append(time_ms(lambda: axion.silu_and_mul(axion.linear_w4(x, *shape))))  # noqa: B023
            times["fused_ms"].append(time_ms(lambda: axion.linear_w4_silu_and_mul(x, *shape)))  # noqa: B023
            times["activation_alone_ms"].append(time_ms(lambda: axion.silu_and_mul(between)))  # noqa: B023
        row = {name: round(statistics.median(found), 3) for name, found in times.items()}
        best = min(times["two_ms"]) / min(times["fused_ms"])
        about = {"isa": operators.isa(), "threads": torch.get_num_threads(), "rows": rows}
        print(
            json.dumps(
                about | row | {"two_over_fused": round(row["two_ms"] / row["fused_ms"], 3), "of_bests": round(best, 3)}
            )
        )


if __name__ == "__main__":
    main()
