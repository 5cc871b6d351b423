"""The upstreams that a configuration names, under which names, and the change from one configuration to the next."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.config import GatewayConfig, RouterSettings, ServedModel
from gateway.config_file import LoadedConfig
from gateway.events import log_event
from gateway.probe import State
from gateway.upstream import Upstream

LATEST = ":latest"
"""The tag that Ollama's clients add to a name without one."""
MIN_PART_CHARS = 3
"""Of a part of a name that is taken for the name."""
MAX_NAME_CHARS = 256
NO_SETTINGS = RouterSettings()
DEFAULT_WORDS = frozenset({"", "auto", "default"})
"""What clients of earlier servers send when they leave the choice to the server."""
FIRST_PROBE_S = 0.3
"""How long a start or a reload waits to learn which engines are ready, so as not to refuse what could be served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Every name that is answered, and the model behind it."""

    models: Mapping[str, ServedModel]
    owner: Mapping[str, str]
    default: str
    adapters: frozenset[str] = frozenset()
    """Names that are answered by the engine of the model that owns them, and under which it is asked."""
    folded: Mapping[str, str] = field(default_factory=dict)
    """From a name without regard to case to the name."""
    settings: Mapping[str, RouterSettings] = field(default_factory=dict)
    """What is changed in requests, by the name that they ask for."""

    def resolve(self, asked: str | None) -> str | None:
        """Return the canonical name, None if nobody serves the name. A configured alias beats a default word."""
        named = self.named(asked)
        return self.default if named == "" else self.owner.get(named or "")

    def served_name(self, asked: str | None, model: str) -> str:
        """Return the name under which the engine of `model`, to which `asked` resolved, serves what was asked for."""
        named = self.named(asked)
        return named if named in self.adapters else model

    def settings_of(self, asked: str | None, model: str) -> RouterSettings:
        """Return what is changed in a request for this name; where it left the choice to us, those of `model`."""
        return self.settings.get(self.named(asked) or model, NO_SETTINGS)

    def named(self, asked: str | None) -> str | None:
        """Return the configured name that is meant, "" where the choice is left to us, None where nobody has the name.

        After the name as it was written come, in this order: without Ollama's tag and in any case; a default word; the
        only one of which it is a part.
        """
        if asked is None or asked in self.owner:
            return asked or ""
        if len(asked) > MAX_NAME_CHARS:
            return None
        plain = asked.casefold().removesuffix(LATEST)
        if plain in self.folded:
            return self.folded[plain]
        return "" if plain in DEFAULT_WORDS else self._only_with(plain)

    def _only_with(self, part: str) -> str | None:
        """Return the only adapter with this part in its name, or the only model with it in one of its names."""
        found = [name for folded, name in self.folded.items() if part in folded]
        if len(part) < MIN_PART_CHARS or len({self.owner[name] for name in found}) != 1:
            return None
        models = {self.owner[name] for name in found if name not in self.adapters}
        return models.pop() if models else found[0] if len(found) == 1 else None


def registry_of(config: GatewayConfig) -> Registry:
    """Index a configuration by name."""
    owner = {name: model.name for model in config.models for name in (model.name, *model.aliases, *model.adapters)}
    return Registry(
        models=MappingProxyType({model.name: model for model in config.models}),
        owner=MappingProxyType(owner),
        settings=MappingProxyType(
            {name: settings for model in config.models for name, settings in model.router_settings.items()}
        ),
        folded=MappingProxyType({name.casefold(): name for name in reversed(owner)}),
        default=config.default_model,
        adapters=frozenset(name for model in config.models for name in model.adapters),
    )


class Fleet:
    """The engines of the present configuration. A reload changes it between two requests, never within one."""

    def __init__(self, loaded: LoadedConfig) -> None:
        self.config: GatewayConfig = loaded.config
        self.digest = loaded.digest
        self.config_error: str | None = None
        self.registry: Registry = registry_of(loaded.config)
        self.upstreams: dict[str, Upstream] = {}

    async def start(self) -> None:
        """Open every upstream and give each a moment to be found ready."""
        self.upstreams = await self._opened(self.config)

    async def looked_around(self) -> None:
        """Wait until every engine was looked at once; each look has its bound."""
        for upstream in tuple(self.upstreams.values()):
            await upstream.was_probed.wait()

    async def adopt(self, loaded: LoadedConfig) -> None:
        """Switch to another configuration. Requests in flight keep the engine that they have."""
        upstreams = await self._opened(loaded.config)
        gone = [old for name, old in self.upstreams.items() if upstreams.get(name) is not old]
        if loaded.config.listen != self.config.listen:
            log_event("gateway.restart_needed", reason="listen changed")
        if (loaded.config.tls is None) != (self.config.tls is None):
            log_event("gateway.restart_needed", reason="tls came or went")
        self.config, self.digest, self.config_error = loaded.config, loaded.digest, None
        self.registry, self.upstreams = registry_of(loaded.config), upstreams
        for old in gone:
            if old.name in upstreams:
                upstreams[old.name].take_over(old)
        for model in loaded.config.models:
            upstreams[model.name].configure(model, loaded.config)
        for upstream in gone:
            await upstream.retire()
        log_event("gateway.reloaded", digest=self.digest, models=",".join(upstreams))

    async def close(self) -> None:
        """Close every upstream."""
        for upstream in self.upstreams.values():
            await upstream.retire()

    def ready_models(self) -> list[str]:
        """Return the names of the models that can be asked now, in the configuration's order."""
        return [name for name, upstream in self.upstreams.items() if upstream.state is State.READY]

    def servable_models(self) -> list[str]:
        """Return those, and the models on demand that a request would have loaded."""
        return [name for name, each in self.upstreams.items() if each.state is State.READY or each.is_to_be_loaded]

    async def _opened(self, config: GatewayConfig) -> dict[str, Upstream]:
        """Return an upstream per model: the present one where its socket is the same, else a new one."""
        upstreams: dict[str, Upstream] = {}
        fresh: list[Upstream] = []
        for model in config.models:
            present = self.upstreams.get(model.name)
            if present is not None and present.socket == model.socket:
                upstreams[model.name] = present
                continue
            upstreams[model.name] = upstream = Upstream(model, config)
            upstream.start()
            fresh.append(upstream)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_PROBE_S):
                for upstream in fresh:
                    await upstream.was_probed.wait()
        return upstreams
