"""What `fab bench` asks of a host, and what it is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from agent.message import Excerpt, Message


@dataclass(frozen=True)
class Generator(Excerpt):
    """One load generator."""

    model: str
    """Which model it asks."""
    arguments: tuple[str, ...]
    """Of the engine environment's `vllm`, without where its result goes."""


@dataclass(frozen=True)
class LoadOrder(Message):
    """Generators that run at the same time."""

    SCHEMA: ClassVar[str] = "axion.bench-load-order/1"

    gateway: str
    """host:port."""
    keys: str | None
    """The file with the gateway's keys."""
    generators: tuple[Generator, ...]
    timeout_s: float


@dataclass(frozen=True)
class Generated(Excerpt):
    """What one generator left, and what its engine counted meanwhile."""

    result: Mapping[str, Any] | None
    """The generator's own file; None where it made none."""
    problem: str
    """Why it made none: the end of what it printed."""
    cpu_s: float
    """Processor time of the generator from its first request to its end."""
    before: Mapping[str, float]
    """The engine's counters, by vLLM's names."""
    after: Mapping[str, float]


@dataclass(frozen=True)
class LoadResult(Message):
    """What each generator left, by its model."""

    SCHEMA: ClassVar[str] = "axion.bench-load-result/1"

    generated: Mapping[str, Generated]


@dataclass(frozen=True)
class MachineResult(Message):
    """What a computer can do at most, measured on it."""

    SCHEMA: ClassVar[str] = "axion.bench-machine/1"

    processor: Mapping[str, str]
    """What lscpu says."""
    memory: Mapping[str, str]
    """What /proc/meminfo says of sizes and huge pages, and the kernel of transparent ones."""
    load_before: float
    """How many processes wanted a processor in the minute before."""
    bandwidth_bytes_per_s: Mapping[str, Mapping[str, float]]
    """By number of threads: read, copy and triad, the best of several rounds."""
    peak_ops_per_s: Mapping[str, float]
    """Multiplications and additions a second of large products of matrices, by type of element."""
    buffer_bytes: int


@dataclass(frozen=True)
class Question(Excerpt):
    """A prompt with one right answer."""

    ask: str
    answer: str


@dataclass(frozen=True)
class QualityOrder(Message):
    """Texts to find likely, and questions to answer."""

    SCHEMA: ClassVar[str] = "axion.bench-quality-order/1"

    gateway: str
    keys: str | None
    model: str
    texts: tuple[str, ...]
    questions: tuple[Question, ...]
    timeout_s: float
    """For each answer."""


@dataclass(frozen=True)
class QualityResult(Message):
    """How likely the texts were, and what was answered."""

    SCHEMA: ClassVar[str] = "axion.bench-quality-result/1"

    logprobs: tuple[tuple[float, ...], ...]
    """Of every token of each text but its first, as natural logarithms."""
    answers: tuple[str, ...]
    problems: tuple[str, ...]
