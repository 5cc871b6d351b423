"""What an API's clients read of errors; as it stands here, OpenAI's."""

import json

from gateway.errors import ApiError
from gateway.sse import EventStream

REASON_CHARS = 2000
"""Of an engine's refusal that is not in a shape we know."""


class ApiProtocol:
    """One API. The methods are those of OpenAI, and of engines; other APIs replace them."""

    id_header: str | None = None
    """Where its clients look for the request's id, beside X-Request-Id."""

    def envelope(self, error: ApiError, request_id: str) -> bytes:
        """Return the body that tells of a refusal."""
        return error.envelope()

    def refusal(self, status: int, body: bytes, request_id: str) -> bytes:
        """Return the body that tells of an engine's own refusal."""
        return body

    def stream(self, endings: tuple[bytes, ...], request_id: str) -> EventStream:
        """Return what follows one stream to the client, and can say that it broke."""
        return EventStream(endings)


OPENAI = ApiProtocol()


def reason_in(body: bytes) -> str:
    """Return the sentence in an engine's refusal, whatever it is wrapped in."""
    try:
        told = json.loads(body)
        error = told.get("error", told.get("detail", told))
        reason = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError, RecursionError):
        reason = body.decode(errors="replace")
    return (reason if isinstance(reason, str) else json.dumps(reason))[:REASON_CHARS]
