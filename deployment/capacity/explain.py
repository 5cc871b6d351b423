"""The arithmetic behind one model's figures, in words and numbers that a person can check."""

from collections.abc import Iterator

from deployment.capacity.load import Load
from deployment.capacity.queueing import Queue


def arithmetic(name: str, queue: Queue, load: Load, hosts: int = 1) -> Iterator[str]:
    """How a load becomes a share of what an engine completes."""
    engine, work = queue.engine, queue.work
    weights, machine, most = engine.weights, engine.machine, queue.most
    chunk = min(work.prompt_tokens, engine.step_tokens)
    rate = engine.kernels.linear.macs_per_s(chunk, machine) / 1e9
    prompt_s, step_s, per_s = queue.prompts_s[-1], queue.steps_s[-1], load.per_s
    macs = weights.linear_parameters * work.prompt_tokens / 1e12
    cache = weights.cache_bytes * weights.seen(work.context)
    read = (weights.linear_bytes + weights.head_bytes + most * cache) / 1e9
    each_s = prompt_s + (work.output_tokens - 1) * step_s / most
    where = "" if hosts == 1 else f", on each of {hosts} hosts"
    yield (
        f"{name}: {per_s * 60:.4g} requests/min = {per_s:.3g} a second{where}, each of {work.prompt_tokens} tokens, "
        f"with {work.output_tokens} tokens of answer."
    )
    yield (
        f"  prompt: {work.prompt_tokens} x {weights.linear_parameters / 1e9:.2f} G MACs = {macs:.2f} T, on "
        f"{engine.threads} threads x {rate:.0f} G/s = {macs * 1e3 / (engine.threads * rate):.2f} s; with attention, in "
        f"pieces of {engine.step_tokens} tokens beside running answers {prompt_s:.2f} s"
    )
    yield (
        f"  step of {most} answers: reads {read:.2f} GB at {engine.bandwidth / 1e9:.0f} GB/s = "
        f"{read * 1e9 / engine.bandwidth * 1e3:.0f} ms; with arithmetic and overhead {step_s * 1e3:.0f} ms"
    )
    yield (
        f"  request: {prompt_s:.2f} s + {work.output_tokens - 1} x {step_s * 1e3:.0f} ms / {most} = {each_s:.2f} s of "
        f"the engine; {per_s:.3g} a second use {per_s * each_s:.0%} of it"
    )
