"""Every document that the operator's computer, the agent, a release and the gateway exchange."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from agent.message import Message


@dataclass(frozen=True)
class ReleaseDescription(Message):
    """release.json: what is needed to know about a release without reading all of it."""

    SCHEMA: ClassVar[str] = "axion.release/1"

    digest: str
    """Of all its files, its engine environment and its units."""
    created_at: str
    source: str
    """Which checkout rendered it."""
    build: str
    """Digest of its engine environment."""
    units: Mapping[str, str]
    """Per engine, and for `gateway`, a digest of all that needs a restart to take effect."""
    gateway_config_digest: str
    """Of what the gateway takes over by a reload."""
    files: Mapping[str, str]
    """SHA-256 of each file, by its path below the release's directory."""
    listen: tuple[str, ...]
    """Where its gateway listens: host:port."""
    sequence: int = 0
    """The host's own count of its releases. 0 for one from before there was a count."""
    follows: "str | None" = None
    """The release that served when this one was made."""

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read one. Before schemas had names, it said 1."""
        if isinstance(document, dict) and document.get("schema") == 1:
            document = {**document, "schema": cls.SCHEMA}
        return super().from_data(document)

    @property
    def engines(self) -> Mapping[str, str]:
        """Unit digest of each engine."""
        return {name: digest for name, digest in self.units.items() if name != "gateway"}
