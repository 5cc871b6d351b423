"""OpenAI's Responses: refusals are OpenAI's, a broken stream ends in an event of the response itself."""

import json
import re
from typing import Any

from gateway.errors import ApiError
from gateway.protocols.api import ApiProtocol
from gateway.sse import EventStream, data_of_first, event

_NUMBER = re.compile(rb'"sequence_number":\s*(\d+)')
TAIL_BYTES = 64 * 1024
"""Of what was passed on, searched for the last number: engines write it first or last in an event."""


class Responses(ApiProtocol):
    """/v1/responses and what is below it."""

    def stream(self, endings: tuple[bytes, ...], request_id: str) -> EventStream:
        return ResponseStream(endings)


class ResponseStream(EventStream):
    """The events of one response. It remembers what the first one says of it, and the last number given."""

    def __init__(self, endings: tuple[bytes, ...] = ()) -> None:
        super().__init__(endings)
        self._sequence_number = -1
        self._response: dict[str, Any] | None = None
        self._is_known = False

    @property
    def response_id(self) -> str | None:
        """The engine's name for the response, once it has said it."""
        said = None if self._response is None else self._response.get("id")
        return said if isinstance(said, str) else None

    def told(self, ready: bytes) -> bytes:
        if not self._is_known:
            self._is_known, self._response = True, _response_in(ready)
        if numbers := _NUMBER.findall(ready[-TAIL_BYTES:]):
            self._sequence_number = int(numbers[-1])
        return ready

    def error_event(self, error: ApiError) -> bytes:
        number = self._sequence_number + 1
        if self._response is None:  # nothing that could have failed was announced
            return _event("error", code=error.code, message=error.message, param=error.param, sequence_number=number)
        reason = {"code": "server_error", "message": error.message}
        failed = {**self._response, "status": "failed", "error": reason}
        return _event("response.failed", sequence_number=number, response=failed)


def _event(kind: str, **said: object) -> bytes:
    return event(json.dumps({"type": kind, **said}).encode(), name=kind)


def _response_in(ready: bytes) -> dict[str, Any] | None:
    try:
        response = json.loads(data_of_first(ready))["response"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return response if isinstance(response, dict) else None


RESPONSES = Responses()
