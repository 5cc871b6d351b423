"""The tables of docs/capacity.md: the production models on C4A machines, beside the project's targets.

.venv/bin/python -m bench.capacity
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.expected import BASELINE
from deployment.capacity.engine import Engine, engine_of
from deployment.capacity.load import LoadFile, loads_of
from deployment.capacity.machine import Machine, assumed
from deployment.capacity.plan import cheapest, choices, fleet, shape_of
from deployment.models.load import load_deployment
from deployment.models.spec import Deployment
from deployment.stack.catalog import load_catalog

SIZES = (8, 16, 32, 48, 64, 72)
GIGABYTES = (200, 250, 280)
PROMPT_TOKENS = 512
RESERVED_CORES = 4
REGION = "us-central1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the project aims at: tokens a second of one answer."""

    least: int
    most: int


TARGETS: Mapping[str, Wanted] = {
    "phi4_fast": Wanted(80, 120),
    "mistral_balanced": Wanted(70, 100),
    "qwen_coder": Wanted(60, 90),
    "gemma3_multimodal": Wanted(15, 25),
}
GEMMA_TTFT_S = 0.5


def engine_alone(deployment: Deployment, name: str, vcpus: int, gigabytes: int) -> Engine:
    """A model on all cores but the system's, with nobody beside it."""
    machine = Machine(vcpus=vcpus, host_bytes_per_s=gigabytes * 1e9)
    return replace(
        engine_of(deployment.models[name], machine, BASELINE, threads=vcpus - RESERVED_CORES - 1), step_tokens=2048
    )


def machines_table(deployment: Deployment) -> Iterator[str]:
    """One answer at a time, on every machine at every bandwidth."""
    yield f"| machine | GB/s | {' | '.join(TARGETS)} |"
    yield f"|---|---:|{'---:|' * len(TARGETS)}"
    for vcpus in SIZES:
        for gigabytes in GIGABYTES:
            engines = [engine_alone(deployment, name, vcpus, gigabytes) for name in TARGETS]
            cells = [
                f"{each.tokens_per_s(PROMPT_TOKENS):.0f}, {each.prefill_s(PROMPT_TOKENS):.1f} s" for each in engines
            ]
            shown = f"{engines[0].machine.bytes_per_s / 1e9:.0f}"
            yield f"| c4a-standard-{vcpus} | {shown} | {' | '.join(cells)} |"


def targets_table(deployment: Deployment) -> Iterator[str]:
    """Which targets are reached, and by what."""
    yield "| target | on c4a-standard-32 at 250 GB/s | reached by |"
    yield "|---|---|---|"
    for name, wanted in TARGETS.items():
        here = engine_alone(deployment, name, 32, 250).tokens_per_s(PROMPT_TOKENS)
        yield f"| {name} {wanted.least} to {wanted.most} tokens/s | {here:.0f} | {_reached(deployment, name, wanted)} |"
    gemma = [engine_alone(deployment, "gemma3_multimodal", vcpus, 250) for vcpus in (32, 72)]
    here_s = gemma[0].prefill_s(PROMPT_TOKENS)
    longest = [_longest(each) for each in gemma]
    yield (
        f"| gemma3_multimodal first token in {GEMMA_TTFT_S} s | {here_s:.1f} s after {PROMPT_TOKENS} tokens | prompts "
        f"of up to {longest[0]} tokens; up to {longest[1]} on c4a-standard-72 |"
    )
    for prompt, output in ((512, 128), (64, 64)):
        most = _most_per_min(deployment, prompt, output)
        load = LoadFile(requests_per_min=300, prompt_tokens=prompt, output_tokens=output)
        loads = loads_of(load, deployment, "load")
        best = cheapest(list(choices(deployment, loads, REGION, load_catalog(), BASELINE)))
        assert best is not None, "some number of hosts completes any load without a target"
        yield (
            f"| 250 to 300 requests/min of all four, {prompt} and {output} tokens | at most {most:.0f} | "
            f"{best.fleet.hosts} x {best.fleet.shape.machine_type} ({best.hosts_high} to {best.hosts_low}), "
            f"{best.on_demand_usd:.2f} USD/hour |"
        )


def _reached(deployment: Deployment, name: str, wanted: Wanted) -> str:
    """The smallest machine that reaches the lower figure, at the lowest bandwidth that does."""
    best = 0.0
    for vcpus in SIZES:
        for gigabytes in GIGABYTES:
            speed = engine_alone(deployment, name, vcpus, gigabytes).tokens_per_s(PROMPT_TOKENS)
            best = max(best, speed)
            if speed >= wanted.least:
                cores = vcpus - RESERVED_CORES
                return f"c4a-standard-{vcpus} at {gigabytes} GB/s for 32 vCPUs, `cores: {cores}`, alone: {speed:.0f}"
    return f"none of these: at most {best:.0f}"


def _longest(engine: Engine) -> int:
    """Tokens of a prompt whose first token comes in time."""
    return max((tokens for tokens in range(1, 4096) if engine.prefill_s(tokens) <= GEMMA_TTFT_S), default=0)


def _most_per_min(deployment: Deployment, prompt: int, output: int) -> float:
    """Requests a minute, equally many of each model, that one c4a-standard-32 with divided cores completes."""
    shape, machine = shape_of("c4a-standard-32", load_catalog()), assumed(32)["middle"]
    low, high = 0.0, 600.0
    for _ in range(12):
        middle = (low + high) / 2
        load = LoadFile(requests_per_min=middle, prompt_tokens=prompt, output_tokens=output)
        found = fleet(deployment, loads_of(load, deployment, "load"), shape, 1, machine, BASELINE)
        low, high = (low, middle) if found.problems else (middle, high)
    return low


def main() -> None:
    deployment = load_deployment(Path("models.yaml"))
    print("\n".join([*machines_table(deployment), "", *targets_table(deployment)]))


if __name__ == "__main__":
    main()
