"""Divide a host's cores among its models: first to whom misses its target most, then to whom a core helps most."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from deployment.capacity.load import Load
from deployment.capacity.queueing import MOST_USED, Answers, Queue
from deployment.models.spec import Deployment, Served

FEWEST = 2
"""One that schedules, and one that computes."""


def shortfall(answers: Answers, load: Load) -> float:
    """How many times too slow the worst of a model's targets is: at most 1 where all are met."""
    target = load.target
    found = [answers.used / MOST_USED]
    if answers.used < 1:
        if target.ttft_p95_s is not None:
            found.append(answers.ttft_p95_s / target.ttft_p95_s)
        if target.tokens_per_s is not None and load.per_s:
            found.append(target.tokens_per_s / answers.tokens_per_s)
        return max(found)
    return 1e3 * answers.used  # it has no times to compare: worse than any that has


def worth(answers: Answers, load: Load) -> float:
    """What a model's speed is worth, by its share of the requests: twice as fast is worth the same at any speed."""
    if not load.per_s or answers.used >= 1:
        return 0.0
    return load.per_s * (math.log(answers.tokens_per_s) - math.log(answers.ttft_p95_s))


def with_cores(model: Served, cores: int) -> Served:
    return model.model_copy(update={"cores": cores})


@dataclass(slots=True)
class _Share:
    """What one model would do with so many cores, and its part of the memory."""

    model: Served
    queue: Queue
    load: Load
    most_cores: int
    """Of all models together, by which the memory is divided here."""
    known: dict[int, Answers]

    def at(self, cores: int) -> Answers:
        if cores not in self.known:
            threads = max(1, cores - 1)
            machine = self.queue.engine.machine
            part = machine.bytes_per_s * cores / self.most_cores
            step = with_cores(self.model, cores).step_tokens
            engine = replace(self.queue.engine, threads=threads, bytes_per_s=part, step_tokens=step)
            queue = replace(self.queue, engine=engine)
            self.known[cores] = queue.answers(self.load.per_s) if self.load.per_s else Answers(used=0, busy=0)
        return self.known[cores]

    def lack(self, cores: int) -> float:
        return shortfall(self.at(cores), self.load) if self.load.per_s else 0.0

    def gain(self, cores: int) -> float:
        return worth(self.at(cores + 1), self.load) - worth(self.at(cores), self.load)


def divided(
    deployment: Deployment, queues: Mapping[str, Queue], loads: Mapping[str, Load], cores: int
) -> dict[str, int]:
    """Cores of each model; those that are left where nobody gains by one stay free."""
    shares = {name: _Share(model, queues[name], loads[name], cores, {}) for name, model in deployment.models.items()}
    found = dict.fromkeys(shares, FEWEST)
    for _ in range(cores - FEWEST * len(shares)):
        lacks = {name: share.lack(found[name]) for name, share in shares.items()}
        worst = max(lacks, key=lambda name: lacks[name])
        if lacks[worst] <= 1:
            gains = {name: share.gain(found[name]) for name, share in shares.items()}
            worst = max(gains, key=lambda name: gains[name])
        found[worst] += 1
    return found
