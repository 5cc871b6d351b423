"""The report of a benchmark as one JSON document, from which Markdown and HTML are rendered and two are compared."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from build.benchmark.figures import Frozen, Load
from build.benchmark.roofline import Roofline
from build.errors import DeployError
from deployment.capacity.load import Target
from deployment.errors import why

SCHEMA = "axion.bench-report/1"


class Machine(Frozen):
    """What the computer is, and can do at most. Measured."""

    processor: Mapping[str, str]
    memory: Mapping[str, str]
    load_before: float
    bandwidth_bytes_per_s: Mapping[str, Mapping[str, float]]
    """By number of threads, then read, copy and triad."""
    peak_ops_per_s: Mapping[str, float]
    """By type of element."""
    buffer_bytes: int


class CellReport(Frozen):
    """One load and what came of it."""

    key: str
    models: tuple[str, ...]
    profile: str
    concurrency: int
    is_warm: bool
    """Whether the prompts were asked just before, so that the engine may know their beginnings."""
    seed: int
    """Of the prompts."""
    overlap_share: float
    """How much of the time all of its models were asked at once: 1 for one alone."""
    loads: tuple[Load, ...]

    @property
    def name(self) -> str:
        return f"{self.key}-{'warm' if self.is_warm else 'cold'}"


class CellPair(Frozen):
    """A load with prompts that the engine had not seen, then the same once more."""

    cold: CellReport
    warm: CellReport


class Quality(Frozen):
    """How well a model does, beside how fast. Measured."""

    model: str
    nats: float
    """The sum of -log likelihood over the texts' tokens, but the first of each."""
    tokens: int
    text_bytes: int
    right: int
    questions: int
    wrong: tuple[str, ...]
    """Question, right answer and what was said."""
    problems: tuple[str, ...]

    @property
    def bits_per_byte(self) -> float | None:
        """Comparable between models of different tokenizers; lower is better."""
        return self.nats / math.log(2) / self.text_bytes if self.tokens else None

    @property
    def perplexity(self) -> float | None:
        return math.exp(self.nats / self.tokens) if self.tokens else None


class Checkout(Frozen):
    """Which sources measured."""

    commit: str
    is_changed: bool
    """Whether files differed from that commit."""


class Report(Frozen):
    """One host's benchmark. Latencies, rates, bandwidths and quality are measured; rooflines are modelled from them."""

    document_schema: Literal["axion.bench-report/1"] = Field("axion.bench-report/1", alias="schema")
    host: str
    began_at: str
    is_quick: bool
    checkout: Checkout
    pins_digest: str
    """Of build/pins.toml."""
    release: str
    engine_environment: str
    """Its digest."""
    vllm: str | None = None
    """The version of vLLM in it; None in reports that do not say."""
    machine: Machine
    rooflines: tuple[Roofline, ...]
    quality: tuple[Quality, ...]
    cells: tuple[CellReport, ...]
    targets: Mapping[str, Target] = {}
    """By model."""

    @property
    def loads(self) -> Sequence[tuple[CellReport, Load]]:
        return [(cell, load) for cell in self.cells for load in cell.loads]


def to_json(report: Report) -> str:
    return report.model_dump_json(by_alias=True, indent=1) + "\n"


def read_report(path: Path) -> Report:
    """Read a report, or the one in a directory. Raises DeployError."""
    file = path / "report.json" if path.is_dir() else path
    try:
        return Report.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"{file}: cannot be read: {why(error)}. Name a report.json of `fab bench`.") from None
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise DeployError(f"{file}: no {SCHEMA}: {where}: {first['msg']}. Name a report.json of `fab bench`.") from None
