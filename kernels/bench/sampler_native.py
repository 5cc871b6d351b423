"""Time vLLM's own sampling and ours on this machine, in turns: sampler_native.py PROGRAM, with the engine's Python.

PROGRAM is the built sampler_native. Both get the same work: top_p 0.8 and top_k 20 over 152064 logits that are not in
the cache. vLLM's is TopKTopPSampler.forward_cpu: sort, softmax, cumulative sum, scatter, then the Gumbel noise.
"""

import json
import statistics
import subprocess
import sys
import time

import torch
from vllm import _custom_ops  # noqa: F401  (loads torch.ops._C)
from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler

VOCAB = 152064
ROUNDS = 3
CALLS = 12


def vllm_times_us(sampler: TopKTopPSampler, batch: int) -> list[float]:
    k = torch.full((batch,), 20, dtype=torch.int32)
    p = torch.full((batch,), 0.8)
    times_us = []
    for _ in range(CALLS):
        logits = torch.randn(batch, VOCAB) * 3 / 0.7  # after the temperature, which our side applies itself
        start = time.perf_counter()
        sampler.forward_cpu(logits, {}, k.clone(), p)
        times_us.append((time.perf_counter() - start) * 1e6)
    return times_us


def our_times_us(program: str, batch: int, threads: int) -> dict[str, float]:
    command = [program, str(VOCAB), str(batch), "20", "0.8", str(threads), "0.3"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    sampler = TopKTopPSampler()
    for batch in (1, 8):
        for threads in (1, 2):
            torch.set_num_threads(threads)
            vllm_us: list[float] = []
            ours_us: list[float] = []
            best_us: list[float] = []
            for _ in range(ROUNDS):
                vllm_us += vllm_times_us(sampler, batch)
                ours = our_times_us(sys.argv[1], batch, threads)
                ours_us.append(ours["median_us"])
                best_us.append(ours["best_us"])
            row = {
                "batch": batch,
                "threads": threads,
                "vllm_median_us": round(statistics.median(vllm_us), 1),
                "vllm_best_us": round(min(vllm_us), 1),
                "ours_median_us": round(statistics.median(ours_us), 1),
                "ours_best_us": round(min(best_us), 1),
                "ratio_of_medians": round(statistics.median(vllm_us) / statistics.median(ours_us), 1),
                "ratio_of_bests": round(min(vllm_us) / min(best_us), 1),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
