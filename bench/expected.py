"""Tokens per second that each model of models.yaml should reach on Neoverse V2: computed, never measured.

    .venv/bin/python -m bench.expected [MODELS_FILE]

Both are given for the cores that models.yaml gives the model, and for 28 cores, as if it were alone on the host. The
formula and its assumptions are deployment.capacity's; docs/capacity.md has them for other machines and loads.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deployment.capacity.engine import Engine, engine_of
from deployment.capacity.machine import Machine
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.spec import Deployment

BASELINE = Path(__file__).parents[1] / "kernels" / "bench" / "baseline.json"
PROMPT_TOKENS = 512
MOST_CORES = 28
"""Of c4a-standard-32, beside the four that models.yaml keeps for the system."""
MACHINE = Machine(vcpus=32)


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
        own = engine_of(model, MACHINE, baseline)
        alone = replace(own, threads=MOST_CORES - 1)
        weights = own.weights.linear_bytes + own.weights.head_bytes
        yield Expected(name, weights, speed(own), speed(alone))


def speed(engine: Engine) -> Speed:
    """One request at a time, after a prompt of PROMPT_TOKENS."""
    return Speed(engine.tokens_per_s(PROMPT_TOKENS), engine.prefill_s(PROMPT_TOKENS))


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
    print("Computed, not measured: batch 1, prompts of 512 tokens, assumptions in deployment/capacity/machine.py.\n")
    print(table(expected(deployment, BASELINE)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
