"""Time vLLM's own penalties and ours on this machine, in turns: with the engine's Python and the unpacked wheel.

    PYTHONPATH=SITE ENGINE_PYTHON kernels/bench/penalties_native.py

Both get tensors of tokens, as vLLM's apply_penalties does, and both of them change the logits to the same values. The
third figure is the least that any pass over the whole vocabulary could cost: one multiplication by factors that are
ready. The fourth is what vLLM spends before either, on turning lists of tokens into a tensor.
"""

import json
import statistics
import time
from collections.abc import Callable

import torch
from axion_kernels import operators, penalties
from vllm.model_executor.layers.utils import apply_penalties
from vllm.v1.sample.ops.penalties import _convert_to_tensors

VOCAB = 152064
ROUNDS, CALLS = 3, 12
COPIES = 8  # of the logits, so that they are not in this core's cache, as after a model's last layer


def times_us(call: Callable[[torch.Tensor], object], logits: torch.Tensor) -> list[float]:
    times = []
    for at in range(CALLS):
        start = time.perf_counter()
        call(logits[at % COPIES])
        times.append((time.perf_counter() - start) * 1e6)
    return times


def row(batch: int, threads: int, prompt: int, said: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    logits = torch.randn(COPIES, batch, VOCAB) * 3
    prompts = torch.randint(0, VOCAB, (batch, prompt))
    lists = torch.randint(0, VOCAB, (batch, said)).tolist()
    outputs = _convert_to_tensors(lists, VOCAB, torch.device("cpu"))
    settings = (torch.full((batch,), 0.1), torch.full((batch,), 0.1), torch.full((batch,), 1.05))
    factors = torch.rand(batch, VOCAB) + 0.5
    given = (prompts, outputs, *settings)
    calls: dict[str, Callable[[torch.Tensor], object]] = {
        "vllm": lambda x: apply_penalties(x, *given),
        "ours": lambda x: penalties.apply_penalties(x, *given),
        "one_pass": lambda x: x.mul_(factors),
        "lists": lambda _: _convert_to_tensors(lists, VOCAB, torch.device("cpu")),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times[name] += times_us(call, logits)
    medians = {f"{name}_median_us": round(statistics.median(each), 1) for name, each in times.items()}
    ratio = statistics.median(times["vllm"]) / statistics.median(times["ours"])
    best = min(times["vllm"]) / min(times["ours"])
    sizes = {"batch": batch, "threads": threads, "prompt": prompt, "said": said}
    return {**sizes, **medians, "ratio_of_medians": round(ratio, 1), "ratio_of_bests": round(best, 1)}


def main() -> None:
    operators.load()
    for batch in (1, 8):
        for threads in (1, 2):
            for prompt, said in ((500, 100), (4000, 1000), (30000, 2000)):
                print(json.dumps(row(batch, threads, prompt, said)), flush=True)


if __name__ == "__main__":
    main()
