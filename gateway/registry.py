"""Which served model a requested name means: a pure lookup built from the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.config import GatewayConfig, ServedModel

DEFAULT_WORDS = frozenset({"", "auto", "default"})
"""What clients of earlier servers send when they leave the choice to the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Every name that is answered, and the model behind it."""

    models: Mapping[str, ServedModel]
    owner: Mapping[str, str]
    default: str
    adapters: frozenset[str] = frozenset()
    """Names that are answered by the engine of the model that owns them, and under which it is asked."""

    def resolve(self, asked: str | None) -> str | None:
        """Return the canonical name, None if nobody serves the name. A configured alias beats a default word."""
        if asked is None:
            return self.default
        found = self.owner.get(asked)
        if found is None and asked in DEFAULT_WORDS:
            return self.default
        return found

    def served_name(self, asked: str | None, model: str) -> str:
        """Return the name under which the engine of `model`, to which `asked` resolved, serves what was asked for."""
        return asked if asked in self.adapters else model


def registry_of(config: GatewayConfig) -> Registry:
    """Index a configuration by name."""
    owner = {name: model.name for model in config.models for name in (model.name, *model.aliases, *model.adapters)}
    return Registry(
        models=MappingProxyType({model.name: model for model in config.models}),
        owner=MappingProxyType(owner),
        default=config.default_model,
        adapters=frozenset(name for model in config.models for name in model.adapters),
    )
