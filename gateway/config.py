"""What the gateway is told: the one definition of gateway.json, dumped by the deployment and read by the server."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.words import words_in

MIB = 1024 * 1024

ServedName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$")]


Capability = Literal["vision", "tools", "thinking"]
"""In Ollama's words."""


class Frozen(BaseModel):
    """A value: immutable, and a key that is not a field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Listen(Frozen):
    """One address to accept connections on."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    """0 lets the system choose; used by tests."""


class TlsFiles(Frozen):
    """A certificate, those that sign it behind it, and its key; both may be in one file."""

    certificate: Path
    key: Path


class RouterSettings(Frozen):
    """What is changed in the requests that ask for a model by one of its names."""

    set: dict[str, Any] = {}
    strip: tuple[str, ...] = ()


class OnDemand(Frozen):
    """That a model is loaded when somebody asks for it, and what it then takes."""

    memory_bytes: Annotated[int, Field(gt=0)]
    idle_stop_s: Annotated[float, Field(gt=0)] = 900.0
    """Without a request, after which it is stopped."""
    keep_warm: bool = False
    """Loaded whenever there is room, and stopped only for another model."""


class Memory(Frozen):
    """What models on demand share, and who starts them."""

    budget_bytes: Annotated[int, Field(gt=0)]
    """For all of them that are loaded at a time."""
    starter: Path
    """The socket of agent/starter.py."""


class ServedModel(Frozen):
    """One model behind the gateway and the Unix socket its engine serves on."""

    name: ServedName
    aliases: tuple[str, ...] = ()
    domain: str = "general"
    description: str = ""
    socket: Path
    adapters: tuple[str, ...] = ()
    """LoRA adapters that the engine serves beside the model, under names of their own."""
    router_settings: dict[str, RouterSettings] = {}
    """By the name that a client sends."""
    owned_by: str = "local"
    concurrency: Annotated[int, Field(gt=0)] | None = None
    """Requests that its engine works on at once; the others wait here, where the wait is seen. None: all of them."""
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    """No request gets more. None: as many as the engine has room for."""
    stall_s: Annotated[float, Field(gt=0)] = 60.0
    """Without a finished step of what its engine was asked: then it gets nothing new."""
    response_s: Annotated[float, Field(gt=0)] | None = None
    """Instead of the general limit: what the longest answer of this model may take."""
    capabilities: tuple[Capability, ...] = ()
    """What it takes and gives besides text, as far as its engine was started for it."""
    on_demand: OnDemand | None = None
    """None: its engine always runs."""


class RoutingRule(Frozen):
    """A model, and what a request must be to go there; all that is said must hold."""

    name: str
    model: str
    words: tuple[str, ...] = ()
    has_images: bool | None = None
    tools: bool | None = None
    min_prompt_chars: int | None = None

    @cached_property
    def folded(self) -> frozenset[str]:
        """The words without regard to case and accents."""
        return words_in(" ".join(self.words))


class Routing(Frozen):
    """How the model is chosen for requests that leave it to the gateway."""

    rules: tuple[RoutingRule, ...] = ()
    fallback: str | None = None
    """Where no rule applies; left out, the default model."""


class Timeouts(Frozen):
    """How long the gateway waits for what."""

    body_s: Annotated[float, Field(gt=0)] = 120.0
    """For all of a request's body to arrive."""
    connect_s: Annotated[float, Field(gt=0)] = 5.0
    response_s: Annotated[float, Field(gt=0)] = 600.0
    """To the first byte of an engine's answer; a whole answer when it is not streamed."""
    stream_idle_s: Annotated[float, Field(gt=0)] = 300.0
    """Between two pieces of a stream."""
    ping_s: Annotated[float, Field(ge=0)] = 10.0
    """Silence in a stream after which its client gets a comment; 0 for none."""
    probe_s: Annotated[float, Field(gt=0)] = 10.0
    probe_interval_s: Annotated[float, Field(gt=0)] = 1.0
    drain_s: Annotated[float, Field(ge=0)] = 30.0
    """After SIGTERM, for requests in flight to finish."""
    hold_s: Annotated[float, Field(ge=0)] = 30.0
    """For a model that is being restarted on purpose; without it a release switch would refuse requests."""
    queue_s: Annotated[float, Field(gt=0)] = 60.0
    """For a place at an engine that has `concurrency` requests."""
    load_s: Annotated[float, Field(gt=0)] = 600.0
    """For a model on demand to be loaded; the start of its engine has as long."""


class GatewayConfig(Frozen):
    """Everything the gateway knows; a reload may change all of it but `listen`, and whether there is `tls`."""

    listen: tuple[Listen, ...] = Field(min_length=1)
    open: bool = False
    """Whether any client may be answered without a key on an address that other machines reach."""
    tls: TlsFiles | None = None
    """Spoken on every address that other machines reach, and on no other: the host itself asks without it."""
    default_model: str
    models: tuple[ServedModel, ...] = Field(min_length=1)
    hosts: tuple[str, ...] = ()
    """Other names under which clients reach a gateway that listens on loopback only, through a proxy."""
    cors_origins: tuple[str, ...] = ()
    """Web pages that may use the gateway from a browser."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 32 * MIB
    max_held: Annotated[int, Field(ge=0)] = 256
    """Requests that may wait for one model, busy or being restarted; their bodies wait in memory."""
    log_format: Literal["text", "json"] = "text"
    otlp_socket: Path | None = None
    """Where a collector takes traces. None: nobody gets any."""
    timeouts: Timeouts = Timeouts()
    memory: Memory | None = None
    """Needed where a model is on demand."""
    routing: Routing | None = None
    """Without it, the default model is what `auto` and `default` mean."""

    @model_validator(mode="after")
    def names_are_unambiguous(self) -> Self:
        """Refuse a name, an alias or a socket that two models share, and a default that nobody serves; all at once."""
        owner: dict[str, str] = {}
        sockets: dict[Path, str] = {}
        problems: list[str] = []
        for model in self.models:
            for name in (model.name, *model.aliases, *model.adapters):
                if name in owner:
                    problems.append(f"{name!r} names both {owner[name]} and {model.name}. Give it to one of them.")
                owner.setdefault(name, model.name)
            if model.socket in sockets:
                shared = f"{sockets[model.socket]} and {model.name} share the socket {model.socket}."
                problems.append(f"{shared} Give each its own.")
            sockets.setdefault(model.socket, model.name)
        if self.default_model not in {model.name for model in self.models}:
            problems.append(f"default_model: no served model is called {self.default_model!r}. Name one that is.")
        problems += self._too_large()
        named = [(f"routing.{rule.name}", rule.model) for rule in (self.routing.rules if self.routing else ())]
        named += [("routing.fallback", self.routing.fallback)] if self.routing and self.routing.fallback else []
        for where, name in named:
            if name not in {model.name for model in self.models}:
                problems.append(f"{where}: no served model is called {name!r}. Name one that is.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _too_large(self) -> list[str]:
        on_demand = {model.name: model.on_demand.memory_bytes for model in self.models if model.on_demand is not None}
        if self.memory is None:
            return [f"memory: missing, and {', '.join(on_demand)} is on demand. Add it."] if on_demand else []
        budget = self.memory.budget_bytes
        return [
            f"{name}: on demand, and larger than memory.budget_bytes {budget}, got {size}. Lower it, or raise that."
            for name, size in on_demand.items()
            if size > budget
        ]
