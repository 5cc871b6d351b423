"""One request of Ollama's API as an engine is asked for it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What the client waits for."""

    CHAT = "chat"
    GENERATE = "generate"
    EMBED = "embed"
    EMBEDDINGS = "embeddings"
    """The older form of EMBED, of one text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Where and what an engine is asked, and what its answer is to become."""

    kind: Kind
    path: str
    """Of the engine."""
    body: dict[str, Any]
    model: str
    """As the client wrote it, which is how the answer calls it."""
    is_streamed: bool = False
    is_load: bool = False
    """Without a prompt Ollama only loads the model: no engine is asked."""
    wants_thoughts: bool = True
