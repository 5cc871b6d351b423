"""How the clients of each API read errors: a status with a body, and an event in a stream that has begun.

One module an API; which one a request speaks is decided here, by its path.
"""

from collections.abc import Mapping

from gateway.protocols.anthropic import ANTHROPIC
from gateway.protocols.api import OPENAI, ApiProtocol
from gateway.protocols.ollama import OLLAMA
from gateway.protocols.responses import RESPONSES


def protocol_of(path: str, headers: Mapping[str, str]) -> ApiProtocol:
    """Return the API that a request speaks: OpenAI's, also on a path that does not exist, unless it is another's."""
    if _is_below(path, "/v1/messages"):
        return ANTHROPIC
    if _is_below(path, "/v1/responses"):
        return RESPONSES
    if _is_below(path, "/api") or path == "/generate":
        return OLLAMA
    if _is_below(path, "/v1/models") and "anthropic-version" in headers:  # both have this route
        return ANTHROPIC
    return OPENAI


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
