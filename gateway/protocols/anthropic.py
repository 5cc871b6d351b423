"""Anthropic's errors, as its clients tell them apart: by `error.type`."""

import json
from collections.abc import Mapping
from types import MappingProxyType

from gateway.errors import ApiError
from gateway.protocols.api import ApiProtocol, reason_in
from gateway.sse import EventStream, event

TYPES: Mapping[int, str] = MappingProxyType(
    {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "timeout_error",
    }
)
"""Of other statuses: below 500 the request is wrong, else it is the server's trouble."""


class Anthropic(ApiProtocol):
    """/v1/messages, and the model list for who asks with `anthropic-version`."""

    id_header = "request-id"

    def envelope(self, error: ApiError, request_id: str) -> bytes:
        return told(error.status, error.message, request_id)

    def refusal(self, status: int, body: bytes, request_id: str) -> bytes:
        # vLLM has the outer shape only for some, and never Anthropic's types.
        return told(status, reason_in(body), request_id)

    def stream(self, endings: tuple[bytes, ...], request_id: str) -> EventStream:
        return MessageStream(endings, request_id)


class MessageStream(EventStream):
    """The events of one message."""

    def __init__(self, endings: tuple[bytes, ...], request_id: str) -> None:
        super().__init__(endings)
        self._request_id = request_id

    def error_event(self, error: ApiError) -> bytes:
        return event(told(error.status, error.message, self._request_id), name="error")


def told(status: int, message: str, request_id: str) -> bytes:
    """Return Anthropic's error object in JSON."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = {"type": kind, "message": message}
    return json.dumps({"type": "error", "error": error, "request_id": request_id}).encode()


ANTHROPIC = Anthropic()
