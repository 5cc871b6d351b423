"""What runs, in its own words: an engine by its launcher's record, the gateway by GET /stats."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from agent.message import Excerpt, Message

# Processes of other releases write them too: what a reader does not know of one is passed over.


@dataclass(frozen=True)
class ReleaseUnits(Excerpt):
    """release.json of any version of ours, as far as it names what the release runs."""

    units: Mapping[str, Any]
    """A digest of each engine, and of the gateway."""


@dataclass(frozen=True, kw_only=True)
class EngineRecord(Excerpt):
    """<root>/run/<engine>.json: what a launcher runs, and how the processes of its engine are recognised."""

    SCHEMA: ClassVar[str] = "axion.engine-record/1"

    pid: int
    """Of the launcher."""
    start_ticks: "int | None" = None
    """Its start: with its pid, a name that no other process of this boot has."""
    started_at: str
    release: str
    """The directory, not a link to it."""
    unit_digest: str
    boot_id: str
    session: int
    """Of the engine's processes."""
    session_start_ticks: "int | None" = None
    """Start of the process that leads it."""
    stdout: str = ""
    """The pipe or socket that they write to; empty for a file or a terminal, which others share."""


@dataclass(frozen=True)
class PackedWeights(Excerpt):
    """What became of the weights that our kernels pack."""

    state: str
    """made, mapped or converted."""
    bytes: "int | None" = None
    file: "str | None" = None
    locked: "bool | None" = None
    """Whether the kernel may not drop them from memory."""
    reason: "str | None" = None
    """Why they were converted."""


@dataclass(frozen=True)
class KernelsReport(Excerpt):
    """What an engine says of our kernels, in a file beside its socket (kernels/python/axion_kernels/report.py)."""

    isa: str
    layers: Mapping[str, int]
    """How many run on each kernel."""
    enabled: "tuple[str, ...]" = ()
    packed: "PackedWeights | None" = None
    """None where no layer's weights are packed."""


@dataclass(frozen=True)
class Percentiles:
    """Of the last requests that succeeded, in seconds; None where there was none."""

    p50: "float | None"
    p95: "float | None"


@dataclass(frozen=True, kw_only=True)
class ModelStats:
    """One served model. Totals begin with the gateway's process, and outlive a reload."""

    state: str
    unloadable: bool = False
    """Whether it is on demand, and loaded."""
    since: float
    """Seconds since 1970."""
    last_error: "str | None"
    in_flight: int
    requests_total: int
    errors_total: int
    cancelled_total: int
    interrupted_total: int
    held: int
    """Requests that wait now for an engine being restarted."""
    held_total: int
    running: int = 0
    """Requests that have a place at its engine."""
    waiting: int = 0
    """Requests that wait for one, or for an engine being restarted."""
    refused_total: int = 0
    """Requests that the engine was too busy for."""
    streamed_events_total: int
    sent_bytes_total: int
    latency_s: Percentiles
    time_to_first_byte_s: Percentiles
    kernels: "KernelsReport | None" = None
    """None where its engine has none of our kernels."""


@dataclass(frozen=True, kw_only=True)
class TlsStats:
    """The certificate that clients on other machines are shown."""

    ends_s: float
    """When it expires, in seconds since 1970."""
    error: "str | None"
    """Why a newer one is not shown, or why clients refuse this one."""


@dataclass(frozen=True, kw_only=True)
class KeysStats:
    """The keys that clients must send, never which."""

    count: int
    error: "str | None"
    """What is wrong with the newest list, line by line; the keys of the one before are in force."""
    usage_error: "str | None"
    """Why what they use cannot be written down at present."""
    unserved: tuple[str, ...] = ()
    """Models that the list names and nobody serves: a slip of the pen, or models that are gone."""


@dataclass(frozen=True, kw_only=True)
class OnDemandStats:
    """The memory of models on demand."""

    loaded_bytes: int
    budget_bytes: int


@dataclass(frozen=True, kw_only=True)
class GatewayStats(Excerpt):
    """GET /stats: a superset of what earlier servers showed."""

    SCHEMA: ClassVar[str] = "axion.gateway-stats/1"

    models_loaded: tuple[str, ...]
    models_available: tuple[str, ...]
    config: Mapping[str, Any]
    """Without paths, and with the switches that earlier servers reported."""
    config_digest: str
    config_error: "str | None"
    """Why the last reload changed nothing."""
    unit_digest: "str | None"
    """Of the release that the process runs; None in a checkout."""
    pid: int
    version: str
    uptime_s: float
    is_draining: bool
    rss_bytes: int
    ram_usage_percent: float
    models: Mapping[str, ModelStats]
    keys: "KeysStats | None" = None
    """None where no key is asked for."""
    on_demand: "OnDemandStats | None" = None
    """None where every model always runs."""
    tls: "TlsStats | None" = None
    """None where nobody is spoken to with TLS."""
    router_stats: Mapping[str, int] = field(default_factory=dict)
    """Of earlier servers, as the next one."""
    lazy_loading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StarterOrder(Message):
    """What the gateway asks of agent/starter.py: to begin, and to be told how all engines on demand are."""

    SCHEMA: ClassVar[str] = "axion.starter-order/1"

    do: Literal["start", "stop", "look"]
    name: str = ""


@dataclass(frozen=True)
class StarterAnswer(Message):
    """How each engine on demand is, in supervisord's words, after the order."""

    SCHEMA: ClassVar[str] = "axion.starter-answer/1"

    engines: Mapping[str, str]
    refusal: "str | None" = None
    """Why the order was not carried out."""


@dataclass(frozen=True)
class OnDemandTerms(Excerpt):
    """That a model is on demand, and what it takes."""

    memory_bytes: int


@dataclass(frozen=True)
class OnDemandModel(Excerpt):
    """One model of gateway.json."""

    name: str
    on_demand: "OnDemandTerms | None" = None


@dataclass(frozen=True)
class OnDemandMemory(Excerpt):
    """What all that are loaded at a time may take."""

    budget_bytes: int


@dataclass(frozen=True)
class OnDemandFile(Excerpt):
    """gateway.json, as far as it says which engines may be started on demand."""

    models: "tuple[OnDemandModel, ...]"
    memory: "OnDemandMemory | None" = None

    @property
    def sizes(self) -> "dict[str, int]":
        """The memory of each model on demand."""
        return {one.name: one.on_demand.memory_bytes for one in self.models if one.on_demand is not None}
