"""Engines beside each other on one host: what each has of the memory's bandwidth, and how fast it answers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deployment.capacity.engine import Engine, engine_of
from deployment.capacity.load import Load
from deployment.capacity.machine import Machine
from deployment.capacity.queueing import MOST_USED, Answers, Queue
from deployment.errors import ConfigError
from deployment.models.spec import Deployment

ROUNDS = 4
"""Of finding bandwidths and busy shares that agree."""
MOST_THREADS, MOST_SEQUENCES, LONGEST = 71, 64, 8192
"""Beyond which no published figure, and no simulation of ours, supports the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One model under its load."""

    answers: Answers
    load: Load
    threads: int
    bytes_per_s: float
    """Of memory, while the others are as busy as they are."""
    alone_tokens_per_s: float
    """Of one request with the host to itself."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Where it misses its target, in words."""
        answers, target = self.answers, self.load.target
        if answers.used >= 1:
            return (f"is asked {answers.used:.1f} times what it can complete",)
        found = []
        if answers.used > MOST_USED:
            found.append(f"is used at {answers.used:.0%}, above {MOST_USED:.0%}: queues are too long to foresee")
        if target.ttft_p95_s is not None and answers.ttft_p95_s > target.ttft_p95_s:
            found.append(f"TTFT p95 {shown_s(answers.ttft_p95_s)} instead of {shown_s(target.ttft_p95_s)}")
        if target.tokens_per_s is not None and answers.tokens_per_s < target.tokens_per_s:
            found.append(f"{answers.tokens_per_s:.1f} tokens/s instead of {target.tokens_per_s:g}")
        return tuple(found)


def shown_s(seconds: float) -> str:
    """A time for people."""
    return "no end" if math.isinf(seconds) else f"{seconds:.1f} s"


def on_demand_note(deployment: Deployment) -> str:
    """Say what is not modelled of models on demand; nothing where there is none."""
    names = [name for name, model in deployment.models.items() if model.on_demand]
    if not names:
        return ""
    return (
        f"On demand: {', '.join(names)}. Memory is counted for the largest of them at a time, beside those that always "
        "run; speeds are those of models that are loaded. Loading, and waiting for it, is not modelled."
    )


def refusals(deployment: Deployment, loads: Mapping[str, Load]) -> list[str]:
    """Say what of it the model knows nothing about."""
    found = []
    if deployment.host.core_policy == "shared":
        what = "engines that share cores slow each other in a way that is not modelled, got shared"
        found.append(f"host.core_policy: {what}. Use disjoint.")
    for name, model in deployment.models.items():
        at, engine = f"models.{name}", model.engine
        if engine.dtype == "float32":
            found.append(f"{at}.engine.dtype: no figure of float32 kernels, got float32. Ask for another model.")
        if model.cores - 1 > MOST_THREADS:
            found.append(f"{at}.cores: no figure of more than {MOST_THREADS + 1} cores, got {model.cores}. Give fewer.")
        if engine.max_num_seqs > MOST_SEQUENCES:
            what = f"no figure of more than {MOST_SEQUENCES}, got {engine.max_num_seqs}"
            found.append(f"{at}.engine.max_num_seqs: {what}. Give fewer.")
        if engine.speculative_config is not None:
            what = "how often a guess is right is not modelled, got a method"
            found.append(f"{at}.engine.speculative_config: {what}. Ask without it; `fab tune` says what it must reach.")
        if name in loads and loads[name].work.context > LONGEST:
            what = f"no figure of more than {LONGEST} tokens, got {loads[name].work.context}"
            found.append(f"load of {name}: {what}. Ask for fewer.")
    return found


def queues_of(deployment: Deployment, loads: Mapping[str, Load], machine: Machine, baseline: Path) -> dict[str, Queue]:
    """Each model's engine and queue, as if it were alone. Raises ConfigError outside of what is modelled."""
    if problems := refusals(deployment, loads):
        raise ConfigError(problems)
    return {
        name: Queue(engine=engine_of(model, machine, baseline), work=loads[name].work, most=model.engine.max_num_seqs)
        for name, model in deployment.models.items()
    }


def outcomes(queues: Mapping[str, Queue], loads: Mapping[str, Load]) -> Mapping[str, Outcome]:
    """Let the engines share the memory: each has what the others, as busy as they are, leave of it.

    It never has less than its part by threads, which it gets when all of them read at once.
    """
    host = {name: queue.engine.machine for name, queue in queues.items()}
    threads = sum(queue.engine.threads for queue in queues.values())
    found = {name: _answers(queue, loads[name]) for name, queue in queues.items()}
    limits = {name: queue.engine.bandwidth for name, queue in queues.items()}
    for _ in range(ROUNDS if len(queues) > 1 else 0):
        reads = {
            name: found[name].busy * _reads_per_s(queues[name].engine, limits[name], loads[name]) for name in queues
        }
        limits = {
            name: max(
                host[name].bytes_per_s * queue.engine.threads / threads,
                host[name].bytes_per_s - sum(read for other, read in reads.items() if other != name),
            )
            for name, queue in queues.items()
        }
        found = {name: _answers(_limited(queue, limits[name]), loads[name]) for name, queue in queues.items()}
    return {
        name: Outcome(
            answers=found[name],
            load=loads[name],
            threads=queue.engine.threads,
            bytes_per_s=min(limits[name], queue.engine.bandwidth),
            alone_tokens_per_s=queue.engine.tokens_per_s(loads[name].work.context),
        )
        for name, queue in queues.items()
    }


def _limited(queue: Queue, bytes_per_s: float) -> Queue:
    return replace(queue, engine=replace(queue.engine, bytes_per_s=bytes_per_s))


def _reads_per_s(engine: Engine, bytes_per_s: float, load: Load) -> float:
    """What a busy engine takes of the memory: the bytes of a step over its time, which arithmetic may decide."""
    limited = replace(engine, bytes_per_s=bytes_per_s)
    context = load.work.context
    return limited.bytes_per_step(context) / limited.step_s(sequences=1, context=context)


def _answers(queue: Queue, load: Load) -> Answers:
    return queue.answers(load.per_s) if load.per_s else Answers(used=0, busy=0, ttft_s=0, ttft_p95_s=0)
